//! Processes of the system: whether one is still the one that was meant, and signals to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// A process that was started to stay, as its record file says.
///
/// The number alone may have been given to somebody else since, so that it counts only together with the moment at
/// which the process started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number.
    pub pid: u32,
    /// When it started, in the system's own terms; only good for comparing.
    pub started: String,
    /// When it started, RFC 3339.
    pub since: String,
}

impl Record {
    /// The record of this very process.
    pub fn of_ourselves() -> Result<Self> {
        let pid = std::process::id();
        let started = started(pid).context("cannot tell when this process started")?;
        Ok(Self { pid, started, since: humantime::format_rfc3339_millis(SystemTime::now()).to_string() })
    }

    /// The record in that file; none when there is no file, or one that a crash left half-written.
    pub fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Whether that very process is still running.
    pub fn is_running(&self) -> bool {
        started(self.pid).is_some_and(|started| started == self.started)
    }

    /// How long it has been running.
    pub fn age(&self) -> Option<Duration> {
        humantime::parse_rfc3339(&self.since).ok()?.elapsed().ok()
    }

    /// Sends it a signal; false when it is gone already.
    pub fn signal(&self, signal: &str) -> Result<bool> {
        if self.is_running() { system::signal(self.pid, signal) } else { Ok(false) }
    }
}

/// When the process started, in the system's own terms; none when it is not running. One that has ended and was not
/// waited for by its parent is not running.
pub fn started(pid: u32) -> Option<String> {
    system::started(pid)
}

/// Whether the process has ended and its parent has not asked after it, so that its number still counts as taken.
pub fn is_zombie(pid: u32) -> bool {
    started(pid).is_none() && system::exists(pid)
}

/// Whether any process has that number.
#[cfg(test)]
pub fn is_running(pid: u32) -> bool {
    started(pid).is_some()
}

pub use system::{
    describe_exit, exit_code, group_exists, lead_group, ourselves, pass_socket, replace, signal, signal_group,
};

/// The processes whose working folder is this one or below; none where the system does not tell.
pub fn working_in(folder: &Path) -> Vec<u32> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    all()
        .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&folder)))
        .collect()
}

/// Every process that the system shows by number in `/proc`.
pub fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process groups that end with us: those of the steps that are running.
static GROUPS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Keeps process groups registered until it is dropped.
pub struct GroupGuard(Vec<u32>);

/// From now on [`kill_groups`] ends the groups that these processes lead.
pub fn register_groups(leaders: Vec<u32>) -> GroupGuard {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).extend(&leaders);
    GroupGuard(leaders)
}

/// Ends every group that is registered, at once.
pub fn kill_groups() {
    for leader in GROUPS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        // One that is gone is what was wanted, and nothing can be done about one that may not be signalled.
        drop(signal_group(*leader, "KILL"));
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        for leader in &self.0 {
            groups.remove(leader);
        }
    }
}

#[cfg(unix)]
mod system {
    use std::net::TcpListener;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::path::PathBuf;
    use std::process::{Command, ExitStatus};
    use std::str::FromStr;

    use anyhow::{Context, Result};
    use command_fds::{CommandFdExt, FdMapping};
    use nix::errno::Errno;
    use nix::sys::signal::Signal;
    use nix::unistd::Pid;

    fn number(pid: u32) -> Pid {
        // Beyond this range there are no processes; 0 and below would mean whole groups.
        Pid::from_raw(i32::try_from(pid).ok().filter(|pid| *pid > 0).unwrap_or(i32::MAX))
    }

    fn named(signal: &str) -> Result<Signal> {
        Signal::from_str(&format!("SIG{signal}")).with_context(|| format!("no signal is named {signal}"))
    }

    fn sent(outcome: nix::Result<()>) -> Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub fn signal(pid: u32, signal: &str) -> Result<bool> {
        sent(nix::sys::signal::kill(number(pid), named(signal)?))
            .with_context(|| format!("cannot send SIG{signal} to process {pid}"))
    }

    /// Sends a signal to everything in the group that the process leads; false when there is nobody.
    pub fn signal_group(pid: u32, signal: &str) -> Result<bool> {
        sent(nix::sys::signal::killpg(number(pid), named(signal)?))
            .with_context(|| format!("cannot send SIG{signal} to process group {pid}"))
    }

    /// Whether the number is taken, by whatever is left of its process.
    pub fn exists(pid: u32) -> bool {
        nix::sys::signal::kill(number(pid), None) != Err(Errno::ESRCH)
    }

    /// Whether anybody is left in the group that the process leads.
    pub fn group_exists(pid: u32) -> bool {
        nix::sys::signal::killpg(number(pid), None).is_ok()
    }

    /// Lets the command's process lead a group of its own, and be that user.
    pub fn lead_group(command: &mut Command, user: Option<(u32, u32)>) {
        command.process_group(0);
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
    }

    /// The file descriptor of the first socket that is passed on, by `sd_listen_fds(3)`.
    const FIRST_SOCKET: i32 = 3;

    /// Lets the command's process have the socket where programs look for one that is held for them.
    pub fn pass_socket(command: &mut Command, socket: &TcpListener) -> std::io::Result<()> {
        let socket = FdMapping { parent_fd: socket.try_clone()?.into(), child_fd: FIRST_SOCKET };
        command.fd_mappings(vec![socket]).map(drop).map_err(std::io::Error::other)
    }

    /// Our own program, also when its file has been replaced since: a build puts another one in its place.
    pub fn ourselves() -> Result<PathBuf> {
        if cfg!(target_os = "linux") {
            return Ok(PathBuf::from("/proc/self/exe"));
        }
        std::env::current_exe().context("cannot tell where xtask itself is")
    }

    /// Becomes the command, as that user; comes back only with an error.
    pub fn replace(mut command: Command, user: Option<(u32, u32)>) -> std::io::Error {
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command.exec()
    }

    /// The code that a shell would give for the status: 128 and the signal's number where a signal ended it.
    pub fn exit_code(status: ExitStatus) -> u8 {
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        u8::try_from(code).unwrap_or(1)
    }

    /// How a process ended, in words.
    pub fn describe_exit(status: ExitStatus) -> String {
        match (status.code(), status.signal().and_then(|signal| Signal::try_from(signal).ok())) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "a signal".to_owned(),
        }
    }

    /// The start in clock ticks since boot, and the boot: `/proc/<pid>/stat`, `proc_pid_stat(5)`.
    #[cfg(target_os = "linux")]
    pub fn started(pid: u32) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in brackets, and a name may hold anything, brackets too.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X" | "x") {
            return None;
        }
        let ticks = fields.nth(18)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Some(format!("{}:{ticks}", boot.trim()))
    }

    /// The start to the second, as `ps` prints it.
    #[cfg(not(target_os = "linux"))]
    pub fn started(pid: u32) -> Option<String> {
        let shell = xshell::Shell::new().ok()?;
        #[expect(clippy::disallowed_methods, reason = "a question about a process, asked where no runner is at hand")]
        let command = shell.cmd("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).env("LC_ALL", "C").quiet();
        let line = command.ignore_stderr().read().ok()?;
        let (state, started) = line.trim().split_once(char::is_whitespace)?;
        (!state.starts_with('Z')).then(|| started.trim().to_owned())
    }
}

/// The host engine does not run here (docker and WSL 2 do); what is here lets everything else compile and work.
#[cfg(not(unix))]
mod system {
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::process::{Command, ExitStatus};

    use anyhow::{Context, Result, bail};

    pub fn signal(_: u32, _: &str) -> Result<bool> {
        bail!("processes have no signals on this system")
    }

    pub fn signal_group(_: u32, _: &str) -> Result<bool> {
        bail!("processes have no signals on this system")
    }

    pub fn exists(_: u32) -> bool {
        false
    }

    pub fn group_exists(_: u32) -> bool {
        false
    }

    pub fn lead_group(_: &mut Command, _: Option<(u32, u32)>) {}

    pub fn pass_socket(_: &mut Command, _: &TcpListener) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    pub fn ourselves() -> Result<PathBuf> {
        std::env::current_exe().context("cannot tell where xtask itself is")
    }

    #[expect(clippy::disallowed_methods, reason = "called by the runner; a process cannot be replaced here")]
    pub fn replace(mut command: Command, _: Option<(u32, u32)>) -> std::io::Error {
        match command.status() {
            #[expect(clippy::exit, reason = "stands for the program that took our place")]
            Ok(status) => std::process::exit(status.code().unwrap_or(1)),
            Err(error) => error,
        }
    }

    pub fn exit_code(status: ExitStatus) -> u8 {
        status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }

    pub fn describe_exit(status: ExitStatus) -> String {
        status.code().map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"))
    }

    pub fn started(_: u32) -> Option<String> {
        None
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_running_and_is_itself() {
        let record = Record::of_ourselves().unwrap();
        assert!(record.is_running());
    }

    #[test]
    fn a_number_that_was_given_to_somebody_else_does_not_count() {
        let record = Record { started: "another boot:1".to_owned(), ..Record::of_ourselves().unwrap() };
        assert!(!record.is_running());
        assert!(!record.signal("KILL").unwrap(), "and is never signalled");
    }

    #[test]
    fn a_number_beyond_all_processes_is_nobody() {
        assert_eq!(started(u32::MAX), None);
        assert!(!group_exists(u32::MAX));
    }
}
