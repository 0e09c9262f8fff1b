//! The mark on what a task starts: by it the next task finds what a killed one has left.

use std::path::Path;
use std::sync::OnceLock;

use super::{started, system};

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
