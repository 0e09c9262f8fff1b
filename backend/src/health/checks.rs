//! What is checked, and what that says of the service.

use std::time::Duration;

use serde::Serialize;

use crate::logging::milliseconds;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Requests are answered, some of them more slowly.
    Degraded,
    /// Requests cannot be answered.
    Failing,
    /// The process was told to stop and finishes what it has.
    Stopping,
}

/// Every check.
#[derive(Debug, Clone, Serialize)]
pub struct Checks {
    /// Whether PostgreSQL answers.
    pub postgres: Check,
    /// Whether Redis answers.
    pub redis: Check,
    /// Whether every migration of this version is applied.
    pub migrations: Check,
}

impl Checks {
    /// Nothing works without PostgreSQL; without Redis the service goes on.
    pub fn status(&self) -> Status {
        let is_ok = |check: &Check| check.status == Status::Ok;
        if !is_ok(&self.postgres) || !is_ok(&self.migrations) {
            Status::Failing
        } else if is_ok(&self.redis) {
            Status::Ok
        } else {
            Status::Degraded
        }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What came of it.
    pub status: Status,
    /// How long it took.
    pub latency_ms: f64,
    /// The newest migration that is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<i64>,
    /// How many are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<usize>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Check {
    /// Whether it failed, and only after so long.
    pub fn took(&self, limit: Duration) -> bool {
        self.status != Status::Ok && self.latency_ms >= milliseconds(limit)
    }

    /// What came of a check that took so long.
    pub fn new(outcome: Result<(), String>, latency: Duration) -> Self {
        let status = if outcome.is_ok() { Status::Ok } else { Status::Failing };
        let error = outcome.err();
        Self { status, latency_ms: milliseconds(latency), head: None, pending: None, error }
    }
}
