//! What `up` is asked for, and what came of it.

use std::time::Duration;

use super::servers::Origin;
use super::service::Service;

/// What `up` is asked to do.
#[derive(Debug, Clone)]
pub struct Request {
    /// The services, in the order in which they start.
    pub services: Vec<Service>,
    /// Which servers may be used.
    pub origin: Origin,
    /// How long a service may take to become ready.
    pub timeout: Duration,
    /// Whether the backend is the image that ships, instead of what is built from source.
    pub production: bool,
    /// How many backends; only the image that ships can be several.
    pub replicas: u16,
    /// Whether the backend is to be built and reloaded at each change; none to leave that as it is.
    pub watch: Option<bool>,
    /// Whether the watcher is to look at intervals; none to leave that as it is.
    pub polls: Option<bool>,
}

/// What `up` did.
#[derive(Debug, PartialEq, Eq)]
pub enum UpOutcome {
    /// Everything was running.
    Unchanged,
    /// What was missing was started.
    Started,
    /// A dry run printed what would be done.
    Planned,
}
