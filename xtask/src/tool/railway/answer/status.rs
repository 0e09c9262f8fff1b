//! The statuses of deployments.

/// What a deployment's status means for who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It serves, or would as soon as somebody asks.
    Good,
    /// It will not serve.
    Bad,
    /// It waits for a person.
    NeedsApproval,
    /// It is under way.
    UnderWay,
    /// A word that nobody here knows: it may become anything.
    Unknown,
}

impl Status {
    /// The words of the schema, and `CANCELLED`, which it lacks and which is seen: a deployment that a newer one has
    /// overtaken in the queue.
    pub fn of(word: &str) -> Self {
        match word {
            "SUCCESS" | "SLEEPING" => Self::Good,
            "FAILED" | "CRASHED" | "REMOVED" | "REMOVING" | "SKIPPED" | "CANCELLED" => Self::Bad,
            "NEEDS_APPROVAL" => Self::NeedsApproval,
            "INITIALIZING" | "QUEUED" | "WAITING" | "BUILDING" | "DEPLOYING" => Self::UnderWay,
            _ => Self::Unknown,
        }
    }
}

/// The words of deployments that are under way, for asking.
pub const UNDER_WAY: [&str; 6] = ["INITIALIZING", "QUEUED", "WAITING", "BUILDING", "DEPLOYING", "NEEDS_APPROVAL"];
/// The words of deployments that were live once, for asking.
pub const WERE_LIVE: [&str; 4] = ["SUCCESS", "REMOVED", "SLEEPING", "CRASHED"];
/// The words of the one that serves, for asking: one that sleeps wakes up when it is asked.
pub const SERVING: [&str; 2] = ["SUCCESS", "SLEEPING"];
