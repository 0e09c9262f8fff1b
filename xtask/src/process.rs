//! Processes of the system: whether one is still the one that was meant, and signals to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::interrupt::CancelToken;
use crate::wait::{self, Poll};

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

    /// The record of a running process; none where there is no such process.
    pub fn of(pid: u32) -> Option<Self> {
        let since = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        Some(Self { pid, started: started(pid)?, since })
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
    socket_of,
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

/// The running processes with one of these names, as the system has them; none where it does not show them.
pub fn named(names: &[&str]) -> Vec<(u32, String)> {
    let name = |pid: u32| Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned());
    let is_it = |(pid, name): &(u32, String)| names.contains(&name.as_str()) && started(*pid).is_some();
    all().filter_map(|pid| Some((pid, name(pid)?))).filter(is_it).collect()
}

/// The words that a process was started with; none where the system does not show them.
pub fn words(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split('\0').map(str::to_owned).collect()
}

/// The folder that a process works in, also one that was removed since.
pub fn working_folder(pid: u32) -> Option<PathBuf> {
    link(pid, "cwd")
}

/// The program that a process runs, also one that was removed since.
pub fn program(pid: u32) -> Option<PathBuf> {
    link(pid, "exe")
}

fn link(pid: u32, name: &str) -> Option<PathBuf> {
    let target = std::fs::read_link(format!("/proc/{pid}/{name}")).ok()?;
    let text = target.to_string_lossy();
    // proc_pid_exe(5) and proc_pid_cwd(5): what was removed is shown like this.
    Some(text.strip_suffix(" (deleted)").map_or_else(|| target.clone(), PathBuf::from))
}

/// The variable that tells a step's process, and all that it starts, which task of which checkout has started it. A
/// task that is killed leaves them behind, and the next one ends them.
pub const STARTED_BY: &str = "XTASK_STARTED_BY";

/// The value of [`STARTED_BY`] for what this process starts.
static MARK: OnceLock<String> = OnceLock::new();

/// From now on what is started is marked as started by this process for that checkout.
pub fn mark(root: &Path) {
    let pid = std::process::id();
    let session = system::session(pid).unwrap_or_default();
    let mark = format!("{pid} {session} {} {}", started(pid).unwrap_or_default(), root.display());
    drop(MARK.set(mark));
}

/// The mark for what is started now; none before [`mark`].
pub fn current_mark() -> Option<&'static str> {
    MARK.get().map(String::as_str)
}

/// Ends what killed tasks of that checkout have left running: steps, and what those had started. Services carry no mark.
pub fn end_orphans(root: &Path, warn: &dyn Fn(String)) -> Result<()> {
    let orphans: Vec<Record> = all().filter(|pid| is_orphan(*pid, root)).filter_map(Record::of).collect();
    for (signal, timeout) in [("TERM", 5), ("KILL", 5)] {
        let running: Vec<&Record> = orphans.iter().filter(|record| record.is_running()).collect();
        if running.is_empty() {
            return Ok(());
        }
        if signal == "TERM" {
            warn(format!("ending {} that a killed task has left running", in_words(&running)));
        }
        running.iter().try_for_each(|record| record.signal(signal).map(drop))?;
        wait::until(Duration::from_secs(timeout), &CancelToken::never(), || {
            let is_over = orphans.iter().all(|record| !record.is_running());
            Ok(if is_over { Poll::Ready(()) } else { Poll::Pending(String::new()) })
        })?;
    }
    Ok(())
}

fn in_words(records: &[&Record]) -> String {
    let names = records.iter().map(|record| {
        let program = words(record.pid).first().map(|word| word.rsplit('/').next().unwrap_or(word).to_owned());
        format!("{} (process {})", program.unwrap_or_default(), record.pid)
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Whether a process was started by a task of that checkout which is no more. One that made a session of its own has
/// left the task by intent, as servers do that build tools keep.
fn is_orphan(pid: u32, root: &Path) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let prefix = format!("{STARTED_BY}=");
    let mark = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(prefix.as_bytes()));
    let Some(mark) = mark.map(|mark| String::from_utf8_lossy(mark).into_owned()) else { return false };
    let mut parts = mark.splitn(4, ' ');
    let (Some(owner), Some(session), Some(start), Some(folder)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_gone = owner.parse().is_ok_and(|owner| started(owner).is_none_or(|now| now != start));
    Path::new(folder) == root && is_gone && system::session(pid).is_some_and(|own| own == session)
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

    /// The socket that a server was given by [`pass_socket`], as our own: both listen on it from now on. The system may
    /// not allow it (`ptrace(2)`, "Ptrace access mode checking").
    #[cfg(target_os = "linux")]
    pub fn socket_of(pid: u32) -> std::io::Result<TcpListener> {
        use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
        let number = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let process = pidfd_open(number.ok_or(std::io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
        Ok(pidfd_getfd(process, FIRST_SOCKET, PidfdGetfdFlags::empty())?.into())
    }

    #[cfg(not(target_os = "linux"))]
    pub fn socket_of(_: u32) -> std::io::Result<TcpListener> {
        Err(std::io::ErrorKind::Unsupported.into())
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

    /// The session that a process is in: `/proc/<pid>/stat`, `proc_pid_stat(5)`; none where the system does not tell.
    pub fn session(pid: u32) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(3)?.to_owned())
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

    pub fn socket_of(_: u32) -> std::io::Result<TcpListener> {
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

    pub fn session(_: u32) -> Option<String> {
        None
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
