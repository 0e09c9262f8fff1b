//! Whether each service is ready, asked as its clients would.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;

use super::thunder::{DATABASE, HEALTH_PATH, Ports, REDIS_PASSWORD, ROLE, Service};
use super::watch::files::Files;
use super::watch::report::{Phase, WatchReport};
use crate::plan::{Probe, Unready};
use crate::runner::Runner;
use crate::settings::Settings;
use crate::tool::{backend, postgres, redis};

/// The question whether a service is ready.
pub fn of(service: Service, ports: Ports, settings: &Settings) -> Result<Box<dyn Probe>> {
    let port = ports.of(service);
    Ok(match service {
        Service::Postgres => Box::new(PostgresAnswers { port }),
        Service::Redis => Box::new(RedisAnswers { port, password: settings.require(REDIS_PASSWORD)?.to_owned() }),
        Service::Backend => Box::new(BackendIsHealthy { port }),
    })
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The question whether the backend is ready that the watcher of these files has started: it is not, while the one that
/// answers is still an older one.
pub fn of_watched(files: &Files, ports: Ports) -> Box<dyn Probe> {
    let health = BackendIsHealthy { port: ports.backend };
    Box::new(WatcherIsIdle { report: files.report(), health })
}

/// The watcher has done what it was started for.
struct WatcherIsIdle {
    report: PathBuf,
    health: BackendIsHealthy,
}

impl Probe for WatcherIsIdle {
    fn look(&self, runner: &dyn Runner) -> std::result::Result<(), Unready> {
        match WatchReport::load(&self.report) {
            Some(report) if report.phase == Phase::Idle => self.health.look(runner),
            Some(report) => Err(format!("its watcher is {}", report.phase).into()),
            None => Err("its watcher says nothing yet".to_owned().into()),
        }
    }
}

impl fmt::Display for WatcherIsIdle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.health.fmt(f)
    }
}

/// PostgreSQL takes connections.
struct PostgresAnswers {
    /// On this port.
    port: u16,
}

impl Probe for PostgresAnswers {
    fn look(&self, _: &dyn Runner) -> std::result::Result<(), Unready> {
        Ok(postgres::ping(here(self.port), ROLE, DATABASE)?)
    }
}

impl fmt::Display for PostgresAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL takes connections on 127.0.0.1:{}", self.port)
    }
}

/// Redis answers.
struct RedisAnswers {
    /// On this port.
    port: u16,
    /// To this password.
    password: String,
}

impl Probe for RedisAnswers {
    fn look(&self, _: &dyn Runner) -> std::result::Result<(), Unready> {
        Ok(redis::ping(here(self.port), &self.password)?)
    }
}

impl fmt::Display for RedisAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis answers on 127.0.0.1:{}", self.port)
    }
}

/// The backend is healthy.
struct BackendIsHealthy {
    /// On this port.
    port: u16,
}

impl Probe for BackendIsHealthy {
    fn look(&self, _: &dyn Runner) -> std::result::Result<(), Unready> {
        backend::health(here(self.port), HEALTH_PATH)?;
        Ok(())
    }
}

impl fmt::Display for BackendIsHealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://127.0.0.1:{}{HEALTH_PATH} is healthy", self.port)
    }
}
