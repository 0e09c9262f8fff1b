//! Whether the backend is ready that a watcher has started.

use std::fmt;
use std::path::PathBuf;

use super::files::Files;
use super::report::{Phase, WatchReport};
use crate::plan::{Probe, Unready};
use crate::product::HEALTH_PATH;
use crate::runner::Runner;
use crate::stack::service::{Service, local};
use crate::tool::backend;

/// The question whether the backend is ready that the watcher of these files has started: it is not, while the one that
/// answers is still an older one.
pub fn of_watched(files: &Files, port: u16) -> Box<dyn Probe> {
    Box::new(WatcherIsIdle { report: files.report(), port })
}

/// The watcher has done what it was started for.
struct WatcherIsIdle {
    report: PathBuf,
    port: u16,
}

impl Probe for WatcherIsIdle {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        match WatchReport::load(&self.report) {
            Some(report) if report.phase == Phase::Idle => {
                backend::health(local(self.port), HEALTH_PATH)?;
                Ok(())
            }
            Some(report) => Err(format!("its watcher is {}", report.phase).into()),
            None => Err("its watcher says nothing yet".to_owned().into()),
        }
    }
}

impl fmt::Display for WatcherIsIdle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{HEALTH_PATH} is healthy", Service::Backend.definition().address(self.port))
    }
}
