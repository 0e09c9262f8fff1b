//! Services by their records: stopping them, and putting in order what a killed task has left.

mod orphans;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::failure::{Exit, Failure};
use crate::file;
use crate::interrupt::CancelToken;
use crate::process::{self, Record};
use crate::runner::launch;
use crate::wait::{self, Poll, Waited};

pub use self::orphans::end_orphans;

/// How a service is stopped.
#[derive(Debug, Clone)]
pub struct Stop {
    /// The service, as a person calls it.
    pub service: String,
    /// The file that says which process it is.
    pub record: PathBuf,
    /// Signals to send, each with the time that it is given.
    pub signals: Vec<(&'static str, Duration)>,
}

impl Stop {
    /// The file that says that the stop was begun.
    fn begun(&self) -> PathBuf {
        self.record.with_extension("stopping")
    }
}

/// Sends the stop's signals one after the other until the process is gone, then removes its record.
///
/// That it was begun is noted first: a service that is about to end still answers, and the next task must not count
/// on it.
pub fn stop(stop: &Stop, warn: &dyn Fn(String)) -> Result<()> {
    launch::cancel(&stop.record)?;
    if !stop.record.exists() {
        return file::remove(&stop.begun());
    }
    file::write(&stop.begun(), b"", 0o644)?;
    end_service(stop, warn)?;
    file::remove(&stop.record)?;
    file::remove(&stop.begun())
}

/// Stops every process that a record in the stop's folder tells of, one after the other, except those that are spared.
pub fn stop_each(stop: &Stop, is_spared: &dyn Fn(Option<&Record>) -> bool, warn: &dyn Fn(String)) -> Result<()> {
    let entries = std::fs::read_dir(&stop.record).into_iter().flatten().flatten();
    let mut records: Vec<PathBuf> = entries.map(|entry| entry.path().with_extension("json")).collect();
    records.sort();
    records.dedup();
    for record in records {
        let process = Record::load(&record);
        if process.is_some() && is_spared(process.as_ref()) {
            file::remove(&record)?;
            continue;
        }
        self::stop(&Stop { record, ..stop.clone() }, warn)?;
    }
    Ok(())
}

/// Stops a service that a task had begun to stop which was killed meanwhile.
pub fn finish_stop(stop: &Stop, warn: &dyn Fn(String)) -> Result<()> {
    if stop.begun().exists() { self::stop(stop, warn) } else { Ok(()) }
}

fn end_service(stop: &Stop, warn: &dyn Fn(String)) -> Result<()> {
    let Some(record) = Record::load(&stop.record).filter(Record::is_running) else { return Ok(()) };
    for (index, (signal, timeout)) in stop.signals.iter().enumerate() {
        if index > 0 {
            let (service, pid) = (&stop.service, record.pid);
            warn(format!("{service} (process {pid}) does not stop by itself; sending SIG{signal}"));
        }
        record.signal(signal)?;
        let waited = wait::until(*timeout, &CancelToken::never(), || {
            Ok(if record.is_running() { Poll::Pending(String::new()) } else { Poll::Ready(()) })
        })?;
        if matches!(waited, Waited::Done(())) {
            return Ok(());
        }
    }
    Err(Failure::new(Exit::Failed, format!("{} (process {}) cannot be stopped", stop.service, record.pid)).into())
}

/// Servers that lost their head end by themselves, as soon as they notice.
pub fn vacate(folder: &Path, cancel: &CancelToken) -> Result<()> {
    for (signal, timeout) in [(None, 3), (Some("QUIT"), 5), (Some("KILL"), 5)] {
        if let Some(signal) = signal {
            for pid in process::working_in(folder) {
                process::signal(pid, signal)?;
            }
        }
        let waited = wait::until(Duration::from_secs(timeout), cancel, || {
            Ok(if process::working_in(folder).is_empty() { Poll::Ready(()) } else { Poll::Pending(String::new()) })
        })?;
        if matches!(waited, Waited::Done(())) {
            return Ok(());
        }
    }
    let pids = process::working_in(folder);
    Err(Failure::new(Exit::Failed, format!("processes {pids:?} still work in {}", folder.display())).into())
}

#[cfg(test)]
mod tests;
