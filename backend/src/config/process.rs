//! Where the process runs, how it begins and how it ends.

use std::time::Duration;

use super::setting::{seconds, settings, word};

settings! {
    /// The life of the process.
    pub struct ProcessSettings {
        /// development or production.
        pub environment: Environment = plain("APP_ENV", "development", word(ENVIRONMENTS));
        /// Seconds to wait at start for PostgreSQL to accept connections.
        pub startup_timeout: Duration = plain("STARTUP_TIMEOUT", "30", seconds);
        /// Seconds that requests in flight are given to finish after SIGTERM.
        pub shutdown_timeout: Duration = plain("SHUTDOWN_TIMEOUT", "10", seconds);
    }
}

/// Where the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine or CI.
    Development,
    /// In front of customers.
    Production,
}

const ENVIRONMENTS: &[(&str, Environment)] =
    &[("development", Environment::Development), ("production", Environment::Production)];
