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
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Config;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long one attempt may take: a host that swallows packets must not use up the whole time.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A pool with one connection already made, waiting up to `STARTUP_TIMEOUT` for the server.
pub async fn postgres(config: &Config) -> Result<PgPool> {
    let options = connect_options(config)?;
    let pool = PgPoolOptions::new()
        .max_connections(config.database_max_connections)
        // The library's 30 s would hold a request of a dead database far longer than any client waits.
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(options.clone());
    retry("PostgreSQL", config.startup_timeout, || async {
        // Asked directly, because the pool turns every refusal into the same time-out.
        use sqlx::ConnectOptions as _;
        let connection = options.connect().await.map_err(|error| (database_may_come(&error), error.into()))?;
        drop(connection);
        Ok(())
    })
    .await?;
    Ok(pool)
}

/// How to reach the database, with a name that an administrator recognises in `pg_stat_activity`.
pub fn connect_options(config: &Config) -> Result<PgConnectOptions> {
    // The error is dropped on purpose: it may repeat a part of the URL.
    let options = PgConnectOptions::from_str(config.database_url.reveal())
        .map_err(|_| anyhow::anyhow!("DATABASE_URL is not a PostgreSQL URL"))?;
    Ok(options.application_name(concat!("thunder ", env!("CARGO_PKG_VERSION"))))
}

/// A connection that is shared by clones and made anew after it broke, waiting up to `STARTUP_TIMEOUT` for the server.
pub async fn redis(config: &Config) -> Result<ConnectionManager> {
    let client =
        redis::Client::open(config.redis_url.reveal()).map_err(|_| anyhow::anyhow!("REDIS_URL is not a Redis URL"))?;
    let settings = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(2)))
        .set_number_of_retries(1);
    retry("Redis", config.startup_timeout, || async {
        let mut connection = ConnectionManager::new_with_config(client.clone(), settings.clone())
            .await
            .map_err(|error| (redis_may_come(&error), error.into()))?;
        let answer: redis::RedisResult<()> = redis::cmd("PING").query_async(&mut connection).await;
        answer.map_err(|error| (redis_may_come(&error), error.into()))?;
        Ok(connection)
    })
    .await
}

fn database_may_come(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
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
async fn retry<T, F>(what: &str, limit: Duration, attempt: impl Fn() -> F) -> Result<T>
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
            return Err(error).with_context(|| format!("{what} did not answer within {} s", limit.as_secs()));
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

    #[tokio::test(start_paused = true)]
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

    #[tokio::test(start_paused = true)]
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

    #[tokio::test(start_paused = true)]
    async fn the_limit_holds_and_the_last_error_is_told() {
        let started = Instant::now();
        let answer: Result<()> = retry("it", Duration::from_secs(10), std::future::pending).await;
        assert_eq!(format!("{:#}", answer.unwrap_err()), "it did not answer within 10 s: no answer in time");
        assert!(started.elapsed() <= Duration::from_secs(10));
    }
}
