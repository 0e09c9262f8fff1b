//! What killed tasks have left running.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::interrupt::CancelToken;
use crate::process::{self, Record, STARTED_BY, started, words};
use crate::wait::{self, Poll};

/// Ends what killed tasks of that checkout have left running: steps, and what those had started. Services carry no mark.
pub fn end_orphans(root: &Path, warn: &dyn Fn(String)) -> Result<()> {
    let orphans: Vec<Record> = process::all().filter(|pid| is_orphan(*pid, root)).filter_map(Record::of).collect();
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
    Path::new(folder) == root && is_gone && process::session(pid).is_some_and(|own| own == session)
}
