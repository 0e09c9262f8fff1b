//! The advisory lock that lets one process at a time migrate a database.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;
use tracing::info;

use super::MigrationError;

/// The key of the advisory lock; PostgreSQL keeps advisory locks for each database on its own.
pub const LOCK: i64 = 0x0074_6875_6e64_6572; // "thunder"
const PAUSE: Duration = Duration::from_millis(200);

/// Takes the lock, or names its holder when the time is over.
pub async fn take(connection: &mut PgConnection, timeout: Duration) -> Result<(), MigrationError> {
    let started = Instant::now();
    let mut told = false;
    loop {
        let mine: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut *connection).await?;
        if mine {
            return Ok(());
        }
        let holder = holder(connection).await?;
        if started.elapsed() >= timeout {
            return Err(MigrationError::Locked { waited: timeout, holder });
        }
        if !told {
            info!(holder, timeout_s = timeout.as_secs(), "waiting for the migration lock");
            told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets go of it. The session's end would as well; a pooled connection may have no end soon.
pub async fn release(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let _: bool = sqlx::query_scalar("SELECT pg_advisory_unlock($1)").bind(LOCK).fetch_one(connection).await?;
    Ok(())
}

/// Who holds the lock: its process, name, address and age, what it does, and how to end it.
async fn holder(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT format('process %s (%s) of %s, connected since %s, %s: %s; SELECT pg_terminate_backend(%s) ends it', \
         a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(host(a.client_addr), 'a local socket'), \
         to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), coalesce(a.state, 'unknown'), \
         left(regexp_replace(a.query, '\\s+', ' ', 'g'), 120), a.pid) \
         FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = \
         current_database()) AND l.classid = ($1 >> 32)::oid AND l.objid = ($1 & 4294967295)::oid",
    )
    .bind(LOCK)
    .fetch_optional(connection)
    .await
}
