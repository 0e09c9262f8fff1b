//! Who holds a port.

use crate::runner::Runner;
use crate::tool::{docker, lsof, system};

/// How much of a command line is shown.
const SHOWN_CHARACTERS: usize = 60;

/// Who listens on the port of this machine, in words.
pub fn of_port(port: u16, runner: &dyn Runner) -> String {
    let process = if cfg!(target_os = "linux") { in_proc(port) } else { by_lsof(port, runner) };
    match process {
        // Docker's own process holds the port for a container; the container is what a person knows.
        Some(holder) if !holder.is_docker() => holder.in_words(),
        other => container(port, runner).or_else(|| other.map(|holder| holder.in_words())).unwrap_or_else(|| {
            "nobody who listens now: another checkout is starting there, or a connection has just ended".to_owned()
        }),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Holder {
    Process { pid: u32, name: String, command: String },
    User(u32),
}

impl Holder {
    fn is_docker(&self) -> bool {
        matches!(self, Self::Process { name, .. } if name.starts_with("docker-proxy") || name.starts_with("com.docker"))
            || *self == Self::User(0)
    }

    fn in_words(&self) -> String {
        match self {
            Self::Process { pid, name, command } if command.is_empty() => format!("{name} (process {pid})"),
            Self::Process { pid, name, command } => format!("{name} (process {pid}: {command})"),
            Self::User(uid) => format!("a process of the user {}", system::user_name(*uid)),
        }
    }
}

fn container(port: u16, runner: &dyn Runner) -> Option<String> {
    runner.find("docker")?;
    let output = runner.read(&docker::container_on(port)).ok().filter(crate::runner::Output::is_success)?;
    let name = output.stdout.lines().next().filter(|name| !name.is_empty())?.to_owned();
    Some(format!("the container {name}"))
}

fn by_lsof(port: u16, runner: &dyn Runner) -> Option<Holder> {
    let output = runner.read(&lsof::listening_on(port)).ok()?;
    let (pid, name) = lsof::parse(&output.stdout)?;
    Some(Holder::Process { pid, name, command: String::new() })
}

/// By the kernel's tables of sockets: the port leads to a socket, the socket to the process that has it open.
fn in_proc(port: u16) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let (uid, inode) = tables.iter().find_map(|table| listener(table, port))?;
    let socket = format!("socket:[{inode}]");
    let process = crate::process::all().find(|pid| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files
            .map(|file| file.path())
            .any(|file| std::fs::read_link(file).is_ok_and(|link| link.as_os_str() == &*socket))
    });
    Some(match process {
        None => Holder::User(uid),
        Some(pid) => {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            Holder::Process { pid, name, command: shortened(command.replace('\0', " ").trim()) }
        }
    })
}

/// The port on which a process listens; none where it listens on none, or the system does not tell.
pub fn port_of(pid: u32) -> Option<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let sockets: Vec<String> =
        files.filter_map(|file| Some(std::fs::read_link(file.path()).ok()?.to_string_lossy().into_owned())).collect();
    let ports = tables.iter().flat_map(|table| listeners(table));
    ports.filter(|(_, _, inode)| sockets.contains(&format!("socket:[{inode}]"))).map(|(port, ..)| port).next()
}

/// The user and the socket that listen on the port, in a table as proc(5) describes it.
fn listener(table: &str, port: u16) -> Option<(u32, u64)> {
    listeners(table).find(|(listening, ..)| *listening == port).map(|(_, uid, inode)| (uid, inode))
}

/// Every port that somebody listens on, with the user and the socket.
fn listeners(table: &str) -> impl Iterator<Item = (u16, u32, u64)> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(local_port, 16).ok().filter(|_| fields.get(3) == Some(&LISTEN))?;
        Some((port, fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?))
    })
}

fn shortened(command: &str) -> String {
    if command.chars().count() <= SHOWN_CHARACTERS {
        return command.to_owned();
    }
    command.chars().take(SHOWN_CHARACTERS).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_is_found_among_connections() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1538 0100007F:9A5C 01 00000000:00000000 00:00000000 00000000     0        0 111 1 0\n\
             1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   105        0 222 1 0\n";
        assert_eq!(listener(table, 5432), Some((105, 222)));
        assert_eq!(listener(table, 5433), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_listener_is_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        // Other tests of this process listen as well, and any of their ports is as right an answer.
        for port in [own, port_of(std::process::id()).unwrap()] {
            let Some(Holder::Process { pid, .. }) = in_proc(port) else { panic!("we may see ourselves") };
            assert_eq!(pid, std::process::id());
        }
    }
}
