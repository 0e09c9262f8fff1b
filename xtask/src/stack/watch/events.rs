//! When to look at the sources again: as the system tells, or at intervals.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Result;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Message;
use super::sources::Sources;
use crate::wait;

/// How often to look where the system does not tell.
const POLL_INTERVAL: Duration = Duration::from_millis(400);

/// What tells that something may have changed: the system, or a clock.
pub struct Events {
    /// Tells for as long as it lives.
    _system: Option<RecommendedWatcher>,
    /// The folders that it tells of, which have to be these very ones.
    watched: Option<Vec<Identity>>,
}

/// A folder, and what tells it from another one of that name.
type Identity = (PathBuf, Option<u64>);

impl Events {
    /// From now on the channel is told. Where the system cannot tell, a clock does, and `note` is told why.
    pub fn start(sources: &Sources, polls: bool, sender: &Sender<Message>, note: &dyn Fn(String)) -> Self {
        if !polls {
            match by_system(sources, sender) {
                Ok(events) => return events,
                Err(error) => note(format!("the system does not tell of changes ({error:#}); looking at intervals")),
            }
        }
        let sender = sender.clone();
        std::thread::spawn(move || {
            while sender.send(Message::MayHaveChanged).is_ok() {
                wait::pause(POLL_INTERVAL);
            }
        });
        Self { _system: None, watched: None }
    }

    /// Whether the folders that are watched are still those that are there: one that was removed and made again, as a
    /// change of branches may do, tells nothing any more.
    pub fn are_current(&self, sources: &Sources) -> bool {
        self.watched.as_ref().is_none_or(|watched| *watched == identities(sources))
    }
}

fn by_system(sources: &Sources, sender: &Sender<Message>) -> Result<Events> {
    let sender = sender.clone();
    let tell = move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| is_change(event.kind)) {
            // Nobody listens any more when the watcher ends.
            drop(sender.send(Message::MayHaveChanged));
        }
    };
    let mut watcher = notify::recommended_watcher(tell)?;
    let told_of = identities(sources);
    for (folder, is_deep) in sources.folders() {
        watcher.watch(&folder, if is_deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive })?;
    }
    Ok(Events { _system: Some(watcher), watched: Some(told_of) })
}

/// Reading is no change; the compiler and we ourselves do it all the time.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

fn identities(sources: &Sources) -> Vec<Identity> {
    sources.folders().into_iter().map(|(folder, _)| (folder.clone(), identity(&folder))).collect()
}

#[cfg(unix)]
fn identity(folder: &std::path::Path) -> Option<u64> {
    std::fs::metadata(folder).ok().map(|found| std::os::unix::fs::MetadataExt::ino(&found))
}

#[cfg(not(unix))]
fn identity(_: &std::path::Path) -> Option<u64> {
    None
}
