//! Asking PostgreSQL and Redis how they are: one at a time, on a connection of its own, at most once a second.
//!
//! However many ask for the health, and however busy the pool is, it costs the same. A background task asks, so that
//! nobody who gives up waiting leaves a question half asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redis::aio::ConnectionManager;
use sqlx::{Connection, PgConnection};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::checks::{Check, Checks};
use crate::background::Background;
use crate::config::Config;
use crate::connect;
use crate::migrations::{self, EMBEDDED, State};

/// How long one check may take: a platform's probe gives up soon after.
const CHECK: Duration = Duration::from_millis(1200);
/// For how long an answer holds.
const FRESH: Duration = Duration::from_secs(1);
/// The same for whoever waits for PostgreSQL at this moment.
const RECENT: Duration = Duration::from_millis(200);

/// What was found, and when.
#[derive(Debug, Clone)]
struct Findings {
    checks: Arc<Checks>,
    at: Instant,
}

impl Findings {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }

    fn is_recent(&self) -> bool {
        self.at.elapsed() < RECENT
    }
}

/// The way to the task that asks; clones share it.
#[derive(Debug, Clone)]
pub struct Probe {
    wanted: Arc<Notify>,
    latest: watch::Receiver<Option<Findings>>,
}

impl Probe {
    /// Starts the task.
    pub fn start(config: Arc<Config>, redis: ConnectionManager, background: &Background) -> Self {
        let wanted = Arc::new(Notify::new());
        let (sender, latest) = watch::channel(None);
        let (asked, sender) = (Arc::clone(&wanted), Arc::new(sender));
        background.supervise("health", move |stop| {
            let prober = Prober { config: Arc::clone(&config), redis: redis.clone(), database: None };
            prober.run(stop, Arc::clone(&asked), Arc::clone(&sender))
        });
        Self { wanted, latest }
    }

    /// Resolves once PostgreSQL takes questions and does not answer. A server that is stopped, or a network that swallows
    /// packets, keeps connections waiting that nothing else would end.
    pub async fn postgres_hangs(&self) {
        loop {
            tokio::time::sleep(RECENT).await;
            let mut latest = self.latest.clone();
            let is_recent = latest.borrow_and_update().as_ref().is_some_and(Findings::is_recent);
            if !is_recent {
                self.wanted.notify_one();
                // Where the task itself does not answer, nothing is known.
                timeout(CHECK * 2, latest.changed()).await.ok();
            }
            let hangs = |findings: &Findings| findings.is_recent() && findings.checks.postgres.took(CHECK);
            if latest.borrow().as_ref().is_some_and(hangs) {
                return;
            }
        }
    }

    /// What was found in the last second.
    pub async fn checks(&self) -> Arc<Checks> {
        let mut latest = self.latest.clone();
        // Looked at before it is asked for anew: an answer that comes in between is noticed.
        if let Some(findings) = latest.borrow_and_update().as_ref().filter(|findings| findings.is_fresh()) {
            return Arc::clone(&findings.checks);
        }
        self.wanted.notify_one();
        let changed = timeout(CHECK * 2, latest.changed()).await;
        match (changed, latest.borrow().as_ref()) {
            (Ok(Ok(())), Some(findings)) => Arc::clone(&findings.checks),
            _ => Arc::new(Checks::unknown()),
        }
    }
}

impl Checks {
    /// The task itself does not answer.
    fn unknown() -> Self {
        let check = || Check::new(Err("was not checked in time".to_owned()), CHECK * 2);
        Self { postgres: check(), redis: check(), migrations: check() }
    }
}

/// The task.
struct Prober {
    config: Arc<Config>,
    redis: ConnectionManager,
    database: Option<Database>,
}

/// A connection that worked when it was last used.
struct Database {
    connection: PgConnection,
    /// The newest applied migration, once all are: asked once for each connection.
    head: Option<i64>,
}

impl Database {
    async fn connect(config: &Config) -> Result<Self> {
        let mut connection = connect::session(config).await?;
        sqlx::query("SELECT 1").execute(&mut connection).await?;
        Ok(Self { connection, head: None })
    }

    /// Itself, if the server answers on it.
    async fn answering(mut self) -> Option<Self> {
        sqlx::query("SELECT 1").execute(&mut self.connection).await.is_ok().then_some(self)
    }
}

impl Prober {
    async fn run(mut self, stop: CancellationToken, wanted: Arc<Notify>, latest: Arc<watch::Sender<Option<Findings>>>) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = wanted.notified() => {}
            }
            let is_recent = latest.borrow().as_ref().is_some_and(Findings::is_recent);
            if !is_recent {
                let checks = Arc::new(self.probe().await);
                latest.send_replace(Some(Findings { checks, at: Instant::now() }));
            }
        }
        if let Some(database) = self.database {
            // Nothing depends on a polite end.
            timeout(CHECK, database.connection.close()).await.ok();
        }
    }

    async fn probe(&mut self) -> Checks {
        let Self { config, redis, database } = self;
        let ((postgres, migrations), redis) = tokio::join!(probe_database(config, database), probe_redis(redis));
        Checks { postgres, redis, migrations }
    }
}

async fn probe_database(config: &Config, database: &mut Option<Database>) -> (Check, Check) {
    let started = Instant::now();
    // Put back only when it has answered: one that was given up on may still have an answer on the way.
    let outcome = limited(async {
        let answering = match database.take() {
            Some(open) => open.answering().await,
            None => None,
        };
        let mut database = match answering {
            Some(open) => open,
            // The one before is broken, since the server was restarted, say: a new one tells how things are.
            None => Database::connect(config).await?,
        };
        let latency = started.elapsed();
        let started = Instant::now();
        let migrations = probe_migrations(&mut database).await;
        let migrations = migrations.unwrap_or_else(|error| Check::new(Err(format!("{error:#}")), started.elapsed()));
        Ok((database, latency, migrations))
    })
    .await;
    match outcome {
        Ok((open, latency, migrations)) => {
            *database = Some(open);
            (Check::new(Ok(()), latency), migrations)
        }
        Err(error) => {
            let migrations = Check::new(Err("PostgreSQL does not answer".to_owned()), Duration::ZERO);
            (Check::new(Err(format!("{error:#}")), started.elapsed()), migrations)
        }
    }
}

/// Pending migrations make the service unfit; ones that only the database knows do not, or the version before could
/// not stay up while the next one is rolled out.
async fn probe_migrations(database: &mut Database) -> Result<Check> {
    let started = Instant::now();
    if let Some(head) = database.head {
        return Ok(Check { head: Some(head), pending: Some(0), ..Check::new(Ok(()), started.elapsed()) });
    }
    let entries = migrations::status(&mut database.connection, &EMBEDDED).await?;
    let count = |state| entries.iter().filter(|entry| entry.state == state).count();
    let (pending, altered) = (count(State::Pending) + count(State::Empty), count(State::Altered));
    let head = entries.iter().filter(|entry| entry.applied_at.is_some()).map(|entry| entry.version).max();
    let outcome = match (pending, altered) {
        (0, 0) => Ok(()),
        (0, altered) => Err(format!("{altered} altered after they were applied")),
        (pending, _) => Err(format!("{pending} pending")),
    };
    if outcome.is_ok() {
        database.head = head;
    }
    Ok(Check { head, pending: Some(pending), ..Check::new(outcome, started.elapsed()) })
}

async fn probe_redis(redis: &mut ConnectionManager) -> Check {
    let started = Instant::now();
    let outcome = limited(async {
        let ping = redis::cmd("PING");
        // The first question after Redis was restarted finds a broken connection, and has a new one made.
        if ping.query_async::<()>(redis).await.is_ok() {
            return Ok(());
        }
        ping.query_async::<()>(redis).await.context("no answer")
    })
    .await;
    Check::new(outcome.map_err(|error| format!("{error:#}")), started.elapsed())
}

async fn limited<T>(question: impl Future<Output = Result<T>>) -> Result<T> {
    let answer = timeout(CHECK, question).await;
    ensure!(answer.is_ok(), "no answer within {} ms", CHECK.as_millis());
    answer?
}
