//! The process groups of the steps that are running, for an end of everything at once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::signal_group;

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
