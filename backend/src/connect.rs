//! The connections to PostgreSQL and Redis, and the wait for both at start.
//!
//! A platform's private network may come up after the process does, and a database may still be recovering: what can
//! pass is tried again with a growing pause, what cannot (a wrong password) fails at once.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::config::{Config, ConfigError, SettingProblem};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long one attempt may take: a host that swallows packets must not use up the whole time.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection; after twice as much, the client has its answer that there is none.
const ACQUIRE: Duration = Duration::from_millis(1500);
/// How long the start waits for Redis, which it can do without.
const REDIS_AT_START: Duration = Duration::from_secs(2);

/// How long an unused connection is trusted without a check.
const TRUSTED: Duration = Duration::from_millis(500);

/// What PostgreSQL itself ends: a query that takes too long, also when nobody waits for it any more, and a transaction
/// that nobody goes on with. Dropping a query's future does neither.
const LIMITS: &str = "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'";
/// How often PostgreSQL looks whether the client of a running query is still there.
const CLIENT_CHECK: &str = "SET client_connection_check_interval = '1s'";

/// A pool for requests, which connects when it is used.
pub fn pool(config: &Config) -> Result<PgPool> {
    let options = options(config)?;
    Ok(PgPoolOptions::new()
        .max_connections(config.database.max_connections)
        .acquire_timeout(ACQUIRE)
        // A question before each query doubles what a short one costs.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(LIMITS).await?;
                check_client(connection).await;
                Ok(())
            })
        })
        .connect_lazy_with(options))
}

/// A connection outside of any pool, with no limits on what it does, once the server answers: it is waited for up to
/// `STARTUP_TIMEOUT`.
pub async fn postgres(config: &Config) -> Result<PgConnection> {
    let options = options(config)?;
    // A server that is restarted may take the first question, and break the connection at the second.
    let (mut connection, is_pooled) = retry("PostgreSQL", config.process.startup_timeout, || async {
        let session = async {
            let mut connection = options.connect().await?;
            let is_pooled = is_pooled(&options, &mut connection).await?;
            Ok((connection, is_pooled))
        };
        session.await.map_err(|error: sqlx::Error| (database_may_come(&error), error.into()))
    })
    .await?;
    if is_pooled {
        return Err(pooled().into());
    }
    check_client(&mut connection).await;
    Ok(connection)
}

/// A connection outside of any pool, with the limits of one in it. It does not wait.
pub async fn session(config: &Config) -> Result<PgConnection> {
    let mut connection = options(config)?.connect().await?;
    connection.execute(LIMITS).await?;
    Ok(connection)
}

/// Lets PostgreSQL notice that this process is gone, also in the middle of a query. Some platforms' cannot.
async fn check_client(connection: &mut PgConnection) {
    if let Err(error) = connection.execute(CLIENT_CHECK).await {
        debug!("PostgreSQL does not check for clients that are gone: {error}");
    }
}

/// How to reach the database, with a name that an administrator recognises in `pg_stat_activity`.
fn options(config: &Config) -> Result<PgConnectOptions> {
    // The error is dropped on purpose: it may repeat a part of the URL.
    let options = PgConnectOptions::from_str(config.database.url.reveal())
        .map_err(|_| anyhow::anyhow!("DATABASE_URL is not a PostgreSQL URL"))?;
    Ok(options.application_name(concat!("thunder ", env!("CARGO_PKG_VERSION"))))
}

/// Whether connections have no session of their own: prepared statements and migration locks break there. No port and no
/// name tells, but a pooler in transaction mode is known by two connections that get the same session.
async fn is_pooled(options: &PgConnectOptions, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mut other = options.connect().await?;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push((session_id(connection).await?, session_id(&mut other).await?));
    }
    other.close().await.ok();
    let (one, two) = sessions[0];
    Ok(one == two || sessions.iter().any(|pair| *pair != (one, two)))
}

fn pooled() -> ConfigError {
    let problem = "leads to a pooler in transaction mode, where prepared statements and migration locks break; use the \
                   direct connection or session pooling";
    ConfigError { problems: vec![SettingProblem { name: "DATABASE_URL", problem: problem.to_owned() }] }
}

/// The server's process behind a connection. Asked without preparing a statement, which a pooler may not keep.
async fn session_id(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    use sqlx::Row as _;
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

/// A connection that is shared by clones and made anew after it broke. It waits a moment for the server, and goes on
/// without one that is away: it is there once the server is.
pub async fn redis(config: &Config) -> Result<ConnectionManager> {
    let client =
        redis::Client::open(config.redis.url.reveal()).map_err(|_| anyhow::anyhow!("REDIS_URL is not a Redis URL"))?;
    let settings = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        .set_response_timeout(Some(Duration::from_secs(1)))
        .set_number_of_retries(1);
    let connection = ConnectionManager::new_lazy_with_config(client, settings)?;
    let outcome = retry("Redis", config.process.startup_timeout.min(REDIS_AT_START), || async {
        let answer: redis::RedisResult<()> = redis::cmd("PING").query_async(&mut connection.clone()).await;
        answer.map_err(|error| (redis_may_come(&error), error.into()))
    })
    .await;
    match outcome {
        Ok(()) => {}
        Err(error) if error.is::<NotYet>() => warn!("starting without Redis: {error:#}"),
        Err(error) => return Err(error),
    }
    Ok(connection)
}

/// Whether a command failed because the database is away, and may come back: nothing is wrong with what was asked.
pub fn is_away(error: &anyhow::Error) -> bool {
    // The context is not a part of the chain that can be searched for it.
    error.is::<NotYet>() || error.chain().filter_map(|cause| cause.downcast_ref()).any(database_may_come)
}

/// What was waited for is not there, and may still come.
#[derive(Debug)]
struct NotYet {
    what: &'static str,
    seconds: u64,
}

impl std::fmt::Display for NotYet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} did not answer within {} s", self.what, self.seconds)
    }
}

/// Whether the database is away, and may come back.
pub fn database_may_come(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        // What sqlx makes of a server that goes away before it answers the first byte.
        sqlx::Error::Protocol(what) => what.contains("SSLRequest: 0x00"),
        // Class 57P: starting up, shutting down, crash recovery; 53300: too many connections just now.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code.as_ref() == "53300")
        }
        _ => false,
    }
}

fn redis_may_come(error: &redis::RedisError) -> bool {
    use redis::{ErrorKind, ServerErrorKind};
    error.is_io_error()
        || error.is_timeout()
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain))
}

/// Calls `attempt` until it succeeds, fails for good (`false` beside the error) or `limit` is over.
async fn retry<T, F>(what: &'static str, limit: Duration, attempt: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T, (bool, anyhow::Error)>>,
{
    let started = Instant::now();
    let deadline = started + limit;
    let mut pause = FIRST_PAUSE;
    for number in 1_u32.. {
        let outcome = tokio::time::timeout_at(deadline.min(Instant::now() + ATTEMPT), attempt()).await;
        let error = match outcome {
            Ok(Ok(value)) => {
                if number > 1 {
                    info!(attempts = number, waited_ms = started.elapsed().as_millis(), "{what} answers");
                }
                return Ok(value);
            }
            Ok(Err((false, error))) => return Err(error).with_context(|| format!("{what} refused the connection")),
            Ok(Err((true, error))) => error,
            Err(_) => anyhow::anyhow!("no answer in time"),
        };
        if Instant::now() + pause >= deadline {
            return Err(error.context(NotYet { what, seconds: limit.as_secs() }));
        }
        warn!(attempt = number, pause_ms = pause.as_millis(), "waiting for {what}: {error:#}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    bail!("{what} was never asked")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_can_pass_is_tried_again_until_it_does() {
        let tries = AtomicU32::new(0);
        let answer = retry("it", Duration::from_secs(30), || async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0..4 => Err((true, anyhow::anyhow!("refused"))),
                _ => Ok(7),
            }
        })
        .await;
        assert_eq!((answer.unwrap(), tries.load(Ordering::Relaxed)), (7, 5));
    }

    #[test]
    fn a_database_that_is_away_is_told_from_one_that_refuses() {
        let broken = || sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into());
        assert!(is_away(&anyhow::Error::new(broken()).context("seeding")));
        assert!(is_away(&anyhow::anyhow!("refused").context(NotYet { what: "PostgreSQL", seconds: 1 }).context("x")));
        assert!(!is_away(&sqlx::Error::RowNotFound.into()) && !is_away(&anyhow::anyhow!("no luck")));
    }

    #[tokio::test]
    async fn what_cannot_pass_fails_at_once() {
        let tries = AtomicU32::new(0);
        let answer: Result<()> = retry("it", Duration::from_secs(30), || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Err((false, anyhow::anyhow!("wrong password")))
        })
        .await;
        assert_eq!(format!("{:#}", answer.unwrap_err()), "it refused the connection: wrong password");
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_limit_holds_and_the_last_error_is_told() {
        let started = Instant::now();
        let limit = Duration::from_secs(1);
        let answer: Result<()> = retry("it", limit, std::future::pending).await;
        assert_eq!(format!("{:#}", answer.unwrap_err()), "it did not answer within 1 s: no answer in time");
        assert!((limit..limit * 4).contains(&started.elapsed()), "{:?}", started.elapsed());
    }
}
