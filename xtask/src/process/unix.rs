//! Processes of Unix systems: signals, groups, and what `/proc` or `ps` tells.

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
