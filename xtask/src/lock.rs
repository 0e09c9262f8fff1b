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
use crate::terminal::Terminal;
use crate::wait::{self, Poll, Waited};

/// The lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    task: String,
    since: String,
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
        let holder = Holder { pid: std::process::id(), task: task.to_owned(), since };
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
    let holder: Option<Holder> = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(holder) = holder else { return "another task".to_owned() };
    let age = humantime::parse_rfc3339(&holder.since).ok().and_then(|since| since.elapsed().ok());
    let age = age.map(|age| format!(", for {}", in_words(Duration::from_secs(age.as_secs())))).unwrap_or_default();
    format!("`{}` (process {}{age})", holder.task, holder.pid)
}

fn in_words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_does_not_get_it_until_the_first_lets_go() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let path = folder.path().join("stack").join("lock");
        let first = Lock::attempt(&path).unwrap().unwrap().sign("up").unwrap();
        assert!(Lock::attempt(&path).unwrap().is_none());
        assert!(describe(&path).starts_with(&format!("`up` (process {}", std::process::id())));
        drop(first);
        assert!(Lock::attempt(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_whose_file_was_removed_does_not_count() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::attempt(&path).unwrap().unwrap();
        first.remove_file().unwrap();
        let second = Lock::attempt(&path).unwrap().unwrap();
        assert!(!is_still_there(&first.file, &path));
        assert!(is_still_there(&second.file, &path));
    }
}
