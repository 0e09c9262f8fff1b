//! How long a migration waits for a lock on a table, and what it does then.
//!
//! While a statement waits for a strong lock, everybody who needs the table waits behind it. So it waits for a short time
//! only, gives way to those behind it, and is tried again.

use std::time::Duration;

use sqlx::{Executor as _, PgConnection};
use tracing::warn;

/// The timeouts of every script that runs in a transaction, unless its own `SET LOCAL` says otherwise.
const TIMEOUTS: &str = "SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '15min'";
/// The pauses between attempts.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// What PostgreSQL says where a lock was not got in time: `lock_not_available`.
const NOT_GOT: &str = "55P03";

/// Sets the timeouts of the transaction that has begun.
pub async fn set_timeouts(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    transaction.execute(TIMEOUTS).await?;
    Ok(())
}

/// Whether a lock was not got in time.
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == NOT_GOT)
}

/// Whether it is worth another attempt, after so many: then the pause before it is over.
pub async fn again(connection: &mut PgConnection, attempts: usize, error: &sqlx::Error, name: &str) -> bool {
    let Some(pause) = PAUSES.get(attempts).filter(|_| is_lock_timeout(error)) else { return false };
    // Whoever it was may be gone by now; what is still under way is the likeliest.
    let others = others(connection).await.unwrap_or_default();
    warn!(
        migration = name,
        attempt = attempts + 1,
        pause_ms = pause.as_millis(),
        "a lock was not got in time and the migration was rolled back; trying again{}{others}",
        if others.is_empty() { "" } else { ". Oldest transactions: " }
    );
    tokio::time::sleep(*pause).await;
    true
}

/// The oldest transactions of others in the database, and how to end them.
async fn others(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let all: Vec<String> = sqlx::query_scalar(
        "SELECT format('process %s (%s), %s since %s s: %s; SELECT pg_terminate_backend(%s) ends it', pid, \
         coalesce(nullif(application_name, ''), 'unnamed'), state, extract(epoch FROM now() - xact_start)::int, \
         left(regexp_replace(query, '\\s+', ' ', 'g'), 120), pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL \
         ORDER BY xact_start LIMIT 3",
    )
    .fetch_all(connection)
    .await?;
    Ok(all.join(" · "))
}
