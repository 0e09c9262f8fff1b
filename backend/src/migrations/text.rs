//! The text of every applied migration, beside sqlx's own table, which keeps only checksums.
//!
//! It lets a file that was altered be shown with its difference, and a draft be undone by the down script as it was
//! when the draft was applied.

use sqlx::migrate::{Migration, Migrator};
use sqlx::{Executor, PgConnection};

use super::sql;

/// Makes the table where it is missing.
pub async fn ensure_table(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Asked first: IF NOT EXISTS sends a notice on every run.
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_migration_texts') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !exists {
        connection
            .execute(
                "CREATE TABLE IF NOT EXISTS _migration_texts (version bigint PRIMARY KEY, up text NOT NULL, down text, \
                 recorded_at timestamptz NOT NULL DEFAULT now())",
            )
            .await?;
    }
    Ok(())
}

/// What is recorded of a migration.
pub struct Text {
    /// Which one.
    pub version: i64,
    /// The script that applied it.
    pub up: String,
    /// The script that takes it back.
    pub down: Option<String>,
}

/// Everything that is recorded.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<Text>, sqlx::Error> {
    let rows: Vec<(i64, String, Option<String>)> =
        sqlx::query_as("SELECT version, up, down FROM _migration_texts").fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(version, up, down)| Text { version, up, down }).collect())
}

/// The script that applied a migration, where it was recorded.
pub async fn up(connection: &mut PgConnection, version: i64) -> Result<Option<String>, sqlx::Error> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_migration_texts') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !exists {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT up FROM _migration_texts WHERE version = $1")
        .bind(version)
        .fetch_optional(connection)
        .await
}

/// Records what a migration is made of. A way back that is recorded stays where its file has no statement now.
pub async fn record(
    connection: &mut PgConnection,
    up: &Migration,
    down: Option<&Migration>,
) -> Result<(), sqlx::Error> {
    let down = down.map(|down| down.sql.as_str()).filter(|down| sql::has_statement(down));
    sqlx::query(
        "INSERT INTO _migration_texts (version, up, down) VALUES ($1, $2, $3) \
         ON CONFLICT (version) DO UPDATE SET up = excluded.up, \
         down = coalesce(excluded.down, _migration_texts.down), recorded_at = now()",
    )
    .bind(up.version)
    .bind(up.sql.as_str())
    .bind(down)
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a migration is recorded.
pub async fn exists(connection: &mut PgConnection, version: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM _migration_texts WHERE version = $1)")
        .bind(version)
        .fetch_one(connection)
        .await
}

/// Forgets a migration.
pub async fn forget(connection: &mut PgConnection, version: i64) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM _migration_texts WHERE version = $1").bind(version).execute(connection).await?;
    Ok(())
}

/// The down script that was recorded; none where none was, or one without a statement.
pub async fn down(connection: &mut PgConnection, version: i64) -> Result<Option<String>, sqlx::Error> {
    let found: Option<Option<String>> = sqlx::query_scalar("SELECT down FROM _migration_texts WHERE version = $1")
        .bind(version)
        .fetch_optional(connection)
        .await?;
    Ok(found.flatten().filter(|text| sql::has_statement(text)))
}

/// Which of a set of migrations takes another one back.
pub fn down_of(known: &Migrator, version: i64) -> Option<&Migration> {
    known.iter().find(|one| one.version == version && one.migration_type.is_down_migration())
}
