//! What every handler may use.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use redis::aio::ConnectionManager;
use sqlx::PgPool;

use crate::background::Background;
use crate::config::Config;
use crate::health::Probe;
use crate::mail::Mailer;
use crate::password::Passwords;
use crate::rate_limit::RateLimit;
use crate::request::admission::Admission;
use crate::session::Sessions;

/// What every handler may use. Cloned several times for each request, which costs one count and not one for each part.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// PostgreSQL.
    pub database: PgPool,
    /// How the service is.
    pub health: Probe,
    /// The way to tell somebody something.
    pub mailer: Mailer,
    /// How many requests a client may send.
    pub rate_limit: RateLimit,
    /// Who is signed in.
    pub sessions: Sessions,
    /// What hashes passwords.
    pub passwords: Passwords,
    /// How much is taken on at once.
    pub admission: Admission,
    /// When the process began to serve.
    pub started: Instant,
    stopping: AtomicBool,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// An application on connections that are already made.
    pub fn new(config: Config, database: PgPool, redis: ConnectionManager, background: &Background) -> Self {
        let config = Arc::new(config);
        Self(Arc::new(Parts {
            rate_limit: RateLimit::new(config.rate_limit.clone(), redis.clone()),
            sessions: Sessions::new(&config.signing, database.clone(), redis.clone()),
            passwords: Passwords::default(),
            health: Probe::start(Arc::clone(&config), redis, background),
            mailer: Mailer::start(&config, background),
            config,
            database,
            admission: Admission::default(),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
        }))
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
