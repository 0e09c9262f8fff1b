//! What every handler may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use redis::aio::ConnectionManager;
use sqlx::PgPool;

use crate::background::Background;
use crate::config::Config;
use crate::health::Probe;
use crate::request::admission::Admission;

/// What every handler may use; clones share it.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// PostgreSQL.
    pub database: PgPool,
    /// How the service is.
    pub health: Probe,
    /// How much is taken on at once.
    pub admission: Admission,
    /// When the process began to serve.
    pub started: Instant,
    stopping: Arc<AtomicBool>,
}

impl App {
    /// An application on connections that are already made.
    pub fn new(config: Config, database: PgPool, redis: ConnectionManager, background: &Background) -> Self {
        let config = Arc::new(config);
        Self {
            health: Probe::start(Arc::clone(&config), redis, background),
            config,
            database,
            admission: Admission::default(),
            started: Instant::now(),
            stopping: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Whether the process was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// From now on `/health` is 503, so that a load balancer looks elsewhere.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}
