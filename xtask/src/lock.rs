//! Locks between processes: one task at a time changes a stack, the others wait and say for whom.
//!
//! A lock is the system's own on an open file: it is gone with its holder, however that ended.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::process;
use crate::terminal::Terminal;
use crate::wait::{self, Poll, Waited};

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Who has a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// When that started, in the system's own terms.
    #[serde(default)]
    started: String,
    /// What it does.
    pub task: String,
    /// Since when it has had the lock, RFC 3339.
    pub since: String,
}

impl Holder {
    /// Who has the lock at `path` now; none where nobody has. Asking takes nothing from those who wait.
    pub fn of(path: &Path) -> Option<Self> {
        let holder: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let is_it = process::started(holder.pid).is_some_and(|started| started == holder.started);
        is_it.then_some(holder)
    }

    /// For how long it has had it.
    pub fn age(&self) -> Option<Duration> {
        let age = humantime::parse_rfc3339(&self.since).ok()?.elapsed().ok()?;
        Some(Duration::from_secs(age.as_secs()))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody has it from now on; what cannot be written is told by the process being gone.
        drop(self.file.set_len(0));
    }
}

impl Lock {
    /// Takes the lock at `path` for a task, waiting up to `timeout` for whoever has it.
    pub fn take(path: &Path, task: &str, timeout: Duration, cancel: &CancelToken, terminal: &Terminal) -> Result<Self> {
        if let Some(lock) = Self::attempt(path)? {
            return lock.sign(task);
        }
        let mut told = false;
        let waited = wait::until(timeout, cancel, || {
            if let Some(lock) = Self::attempt(path)? {
                return Ok(Poll::Ready(lock));
            }
            let holder = describe(path);
            if !told && timeout > Duration::ZERO {
                terminal.note(format!("waiting for {holder}, which is changing this stack"));
                told = true;
            }
            Ok(Poll::Pending(holder))
        })?;
        match waited {
            Waited::Done(lock) => lock.sign(task),
            Waited::TimedOut(holder) => {
                let what = format!("{holder} is changing this stack, and was not done within {}", in_words(timeout));
                Err(Failure::new(Exit::Locked, what)
                    .hint("wait for it, or end it with Ctrl-C")
                    .hint("--lock-timeout SECONDS, to wait longer or not at all")
                    .into())
            }
        }
    }

    /// The lock, unless somebody has it.
    pub fn attempt(path: &Path) -> Result<Option<Self>> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let open = || {
            std::fs::create_dir_all(folder)?;
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
        };
        // Whoever lets go of a lock may remove its file, and the folder with the last of them, at any moment between
        // our steps. That is over after one more attempt, unless somebody does nothing else.
        for _ in 0..100 {
            let file = match open() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                outcome => outcome.with_context(|| format!("cannot open {}", path.display()))?,
            };
            match file.try_lock() {
                // Removed between our opening and our locking: nobody else will look at this one.
                Ok(()) if !is_still_there(&file, path) => {}
                Ok(()) => return Ok(Some(Self { file, path: path.to_owned() })),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
        Ok(None)
    }

    /// Says who has it, for others who wait.
    fn sign(mut self, task: &str) -> Result<Self> {
        let since = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let pid = std::process::id();
        let started = process::started(pid).unwrap_or_default();
        let holder = Holder { pid, started, task: task.to_owned(), since };
        let sign = |file: &mut File| -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(serde_json::to_string(&holder)?.as_bytes())
        };
        sign(&mut self.file).with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self)
    }

    /// Removes the file while the lock is still held; whoever waits for it notices and makes a new one.
    pub fn remove_file(&self) -> Result<()> {
        crate::file::remove(&self.path)
    }
}

#[cfg(unix)]
fn is_still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(ours), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn is_still_there(_: &File, path: &Path) -> bool {
    path.exists()
}

fn describe(path: &Path) -> String {
    let Some(holder) = Holder::of(path) else { return "another task".to_owned() };
    let age = holder.age().map(|age| format!(", for {}", in_words(age))).unwrap_or_default();
    format!("`{}` (process {}{age})", holder.task, holder.pid)
}

fn in_words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests;
