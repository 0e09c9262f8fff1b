//! Whether each service is ready, asked as its clients would.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use super::thunder::{DATABASE, HEALTH_PATH, ROLE};
use crate::plan::Probe;
use crate::tool::{backend, postgres, redis};

fn here(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// PostgreSQL takes connections.
pub struct PostgresAnswers {
    /// On this port.
    pub port: u16,
}

impl Probe for PostgresAnswers {
    fn look(&self) -> Result<(), String> {
        postgres::ping(here(self.port), ROLE, DATABASE)
    }
}

impl fmt::Display for PostgresAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL takes connections on 127.0.0.1:{}", self.port)
    }
}

/// Redis answers.
pub struct RedisAnswers {
    /// On this port.
    pub port: u16,
    /// To this password.
    pub password: String,
}

impl Probe for RedisAnswers {
    fn look(&self) -> Result<(), String> {
        redis::ping(here(self.port), &self.password)
    }
}

impl fmt::Display for RedisAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis answers on 127.0.0.1:{}", self.port)
    }
}

/// The backend is healthy.
pub struct BackendIsHealthy {
    /// On this port.
    pub port: u16,
}

impl Probe for BackendIsHealthy {
    fn look(&self) -> Result<(), String> {
        backend::health(here(self.port), HEALTH_PATH).map(|_| ())
    }
}

impl fmt::Display for BackendIsHealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://127.0.0.1:{}{HEALTH_PATH} is healthy", self.port)
    }
}
