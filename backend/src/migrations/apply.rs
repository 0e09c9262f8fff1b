//! One migration, applied or reverted together with what is noted of it.
//!
//! sqlx's own way is not used, because it cannot tell what a failed migration has left behind: a script may hold a COMMIT
//! of its own. Here a row that is written first in the same transaction is looked for afterwards.

use std::time::Duration;

use sqlx::migrate::Migration;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::Instant;

use super::error::Left;
use super::{sql, text};

/// A script that failed, and what it has left behind.
pub type Failure = (sqlx::Error, Left);

/// Applies a migration and says how long it took.
pub async fn up(connection: &mut PgConnection, up: &Migration, down: Option<&Migration>) -> Result<Duration, Failure> {
    let started = Instant::now();
    // One that a killed process has left would be taken for this one's.
    text::forget(connection, up.version).await.map_err(|error| (error, Left::Nothing))?;
    let outcome = if up.no_tx {
        apply(connection, up, down).await
    } else {
        async {
            let mut transaction = connection.begin().await?;
            apply(&mut transaction, up, down).await?;
            transaction.commit().await
        }
        .await
    };
    if let Err(error) = outcome {
        let left =
            if up.no_tx { Left::OutsideOfTransaction } else { left(&text::exists(connection, up.version).await) };
        if left != Left::Nothing {
            // Best effort: the next attempt forgets it as well.
            drop(text::forget(connection, up.version).await);
        }
        return Err((error, left));
    }
    let took = started.elapsed();
    // For people only, and true only once all is committed; the migration is applied with or without it.
    drop(
        sqlx::query("UPDATE _sqlx_migrations SET execution_time = $2 WHERE version = $1")
            .bind(up.version)
            .bind(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
            .execute(connection)
            .await,
    );
    Ok(took)
}

async fn apply(connection: &mut PgConnection, up: &Migration, down: Option<&Migration>) -> Result<(), sqlx::Error> {
    text::record(connection, up, down).await?;
    sqlx::raw_sql(up.sql.clone()).execute(&mut *connection).await?;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ($1, $2, true, $3, -1)",
    )
    .bind(up.version)
    .bind(&*up.description)
    .bind(&*up.checksum)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reverts a migration by the script that was recorded when it was applied.
pub async fn down(connection: &mut PgConnection, version: i64, script: String) -> Result<(), Failure> {
    if sql::is_without_transaction(&script) {
        return async {
            sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *connection).await?;
            forget(connection, version).await
        }
        .await
        .map_err(|error| (error, Left::OutsideOfTransaction));
    }
    let outcome = async {
        let mut transaction = connection.begin().await?;
        // Before the script, so that the row tells afterwards whether all of it was rolled back.
        forget(&mut transaction, version).await?;
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *transaction).await?;
        transaction.commit().await
    }
    .await;
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => {
            let left = left(&text::exists(connection, version).await.map(|exists| !exists));
            Err((error, left))
        }
    }
}

async fn forget(connection: &mut PgConnection, version: i64) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1").bind(version).execute(&mut *connection).await?;
    text::forget(connection, version).await
}

fn left(is_committed: &Result<bool, sqlx::Error>) -> Left {
    match is_committed {
        Ok(true) => Left::BeforeItsCommit,
        Ok(false) => Left::Nothing,
        Err(_) => Left::Unknown,
    }
}
