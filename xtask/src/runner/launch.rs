//! From the decision to start a service to its record: nobody may be killed in between and leave a service that no
//! record tells of.
//!
//! Whoever starts a service announces it first, by a file beside the record. The process that is to become the service
//! takes the announcement away, records itself, and only then becomes the program. A later task cancels what is still
//! announced: after that, no launch from before it can happen any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::file;
use crate::interrupt::CancelToken;
use crate::lock::Lock;
use crate::process::Record;
use crate::wait::{self, Poll, Waited};

/// How long recording oneself may take: it is the writing of one small file.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(20);

fn announcement(record: &Path) -> PathBuf {
    record.with_extension("launch")
}

/// Says that a service is about to be started.
pub fn announce(record: &Path) -> Result<()> {
    file::write(&announcement(record), b"", 0o644)
}

/// Records this process as the service; false when the launch was cancelled meanwhile.
pub fn begin(record: &Path) -> Result<bool> {
    let lock = exclusively(record)?;
    let announcement = announcement(record);
    if !announcement.exists() {
        return Ok(false);
    }
    file::write(record, serde_json::to_string(&Record::of_ourselves()?)?.as_bytes(), 0o644)?;
    file::remove(&announcement)?;
    lock.remove_file()?;
    Ok(true)
}

/// Makes sure that no launch that was announced before happens from now on.
pub fn cancel(record: &Path) -> Result<()> {
    if !announcement(record).exists() {
        return Ok(());
    }
    // A launch that is just recording itself has happened; its record is there when the lock is free.
    let lock = exclusively(record)?;
    file::remove(&announcement(record))?;
    lock.remove_file()
}

fn exclusively(record: &Path) -> Result<Lock> {
    let path = record.with_extension("launching");
    let waited = wait::until(LAUNCH_TIMEOUT, &CancelToken::never(), || {
        Ok(Lock::attempt(&path)?.map_or_else(|| Poll::Pending(String::new()), Poll::Ready))
    })?;
    match waited {
        Waited::Done(lock) => Ok(lock),
        Waited::TimedOut(_) => bail!("somebody holds {} and does not let go of it", path.display()),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn what_was_announced_happens_once() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let record = folder.path().join("service.json");
        announce(&record).unwrap();
        assert!(begin(&record).unwrap());
        assert!(Record::load(&record).unwrap().is_running());
        assert!(!begin(&record).unwrap(), "nobody announced a second one");
    }

    #[test]
    fn what_was_cancelled_does_not_happen() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let record = folder.path().join("service.json");
        cancel(&record).unwrap();
        announce(&record).unwrap();
        cancel(&record).unwrap();
        assert!(!begin(&record).unwrap());
        assert_eq!(Record::load(&record), None);
    }
}
