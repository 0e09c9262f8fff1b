//! Processes of the system: whether one is still the one that was meant, and signals to it.

mod group;
mod mark;
#[cfg(not(unix))]
#[path = "process/other.rs"]
mod system;
#[cfg(unix)]
#[path = "process/unix.rs"]
mod system;

use std::path::{Path, PathBuf};
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

pub use self::group::{GroupGuard, kill_groups, register_groups};
pub use self::mark::{STARTED_BY, current_mark, mark};
pub use self::system::{
    describe_exit, exit_code, group_exists, lead_group, ourselves, pass_socket, replace, session, signal, signal_group,
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

    #[test]
    fn a_record_that_a_crash_left_half_written_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        assert_eq!(Record::load(&path), None);
        let record = Record::of_ourselves().unwrap();
        let text = serde_json::to_string(&record).unwrap();
        for cut in [0, 1, text.len() / 2, text.len() - 1] {
            std::fs::write(&path, &text[..cut]).unwrap();
            assert_eq!(Record::load(&path), None, "{cut}");
        }
        std::fs::write(&path, &text).unwrap();
        assert_eq!(Record::load(&path), Some(record));
    }

    #[test]
    fn an_age_is_told_only_where_the_time_makes_sense() {
        let record = |since: &str| Record { since: since.to_owned(), ..Record::of_ourselves().unwrap() };
        assert!(record("2026-01-01T00:00:00Z").age().is_some());
        for since in ["", "yesterday", "9999-01-01T00:00:00Z"] {
            assert_eq!(record(since).age(), None, "{since}");
        }
    }

    #[test]
    fn only_signals_that_there_are_are_sent_and_never_to_everybody() {
        let ourselves = std::process::id();
        assert_eq!(signal(ourselves, "NONSENSE").unwrap_err().to_string(), "no signal is named NONSENSE");
        // 0 would be our own group, and what is beyond the numbers of processes everybody.
        for nobody in [0, u32::MAX, i32::MAX as u32 + 1] {
            assert!(!signal(nobody, "TERM").unwrap() && !signal_group(nobody, "TERM").unwrap(), "{nobody}");
            assert!(!group_exists(nobody) && !is_running(nobody) && !is_zombie(nobody), "{nobody}");
        }
    }

    #[test]
    fn an_end_is_told_as_a_code_or_as_a_signal() {
        use std::os::unix::process::ExitStatusExt;
        let status = |raw| std::process::ExitStatus::from_raw(raw);
        for (raw, code, words) in
            [(0, 0, "exit code 0"), (3 << 8, 3, "exit code 3"), (9, 137, "signal SIGKILL"), (15, 143, "signal SIGTERM")]
        {
            assert_eq!((exit_code(status(raw)), describe_exit(status(raw))), (code, words.to_owned()));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_process_runs_and_where_is_told_of_ourselves() {
        let ourselves = std::process::id();
        assert_eq!(program(ourselves).unwrap(), std::env::current_exe().unwrap());
        assert_eq!(working_folder(ourselves).unwrap(), std::env::current_dir().unwrap());
        assert!(words(ourselves)[0].ends_with(std::env::args().next().unwrap().as_str()));
        assert!(working_in(&std::env::current_dir().unwrap()).contains(&ourselves));
        assert!(all().any(|pid| pid == ourselves));
        assert_eq!((program(u32::MAX), working_folder(u32::MAX), session(u32::MAX)), (None, None, None));
        assert_eq!(words(u32::MAX), [""]);
    }
}
