//! How far a script has come that runs outside of a transaction: nothing is rolled back there, so that the next attempt has
//! to go on where the last one ended.

use sqlx::{Executor as _, PgConnection};

use super::script::{Statement, statements};

/// How far a script has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// How many of its statements are done.
    pub done: usize,
    is_begun: bool,
    /// The script as it was then.
    script: String,
}

async fn exists(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass('_migration_progress') IS NOT NULL").fetch_one(connection).await
}

/// How far the script of that version has come; none where it was not begun.
pub async fn load(connection: &mut PgConnection, version: i64) -> Result<Option<Progress>, sqlx::Error> {
    if !exists(connection).await? {
        return Ok(None);
    }
    let row: Option<(i32, bool, String)> =
        sqlx::query_as("SELECT done, is_begun, script FROM _migration_progress WHERE version = $1")
            .bind(version)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|(done, is_begun, script)| Progress { done: usize::try_from(done).unwrap_or(0), is_begun, script }))
}

/// How many statements are done of each script that was begun.
pub async fn all(connection: &mut PgConnection) -> Result<Vec<(i64, usize)>, sqlx::Error> {
    if !exists(connection).await? {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, i32)> =
        sqlx::query_as("SELECT version, done FROM _migration_progress").fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(version, done)| (version, usize::try_from(done).unwrap_or(0))).collect())
}

/// Notes that the script of that version is begun, or goes on in its present form, and whether its next statement was
/// begun.
pub async fn begin(
    connection: &mut PgConnection,
    version: i64,
    script: &str,
    is_begun: bool,
) -> Result<(), sqlx::Error> {
    if !exists(connection).await? {
        let create = "CREATE TABLE IF NOT EXISTS _migration_progress (version bigint PRIMARY KEY, done integer NOT NULL, \
                      is_begun boolean NOT NULL, script text NOT NULL, noted_at timestamptz NOT NULL DEFAULT now())";
        connection.execute(create).await?;
    }
    sqlx::query(
        "INSERT INTO _migration_progress (version, done, is_begun, script) VALUES ($1, 0, $3, $2) ON CONFLICT (version) \
         DO UPDATE SET is_begun = excluded.is_begun, script = excluded.script, noted_at = now()",
    )
    .bind(version)
    .bind(script)
    .bind(is_begun)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that so many statements are done, and whether the next one is begun.
pub async fn note(connection: &mut PgConnection, version: i64, done: usize, is_begun: bool) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE _migration_progress SET done = $2, is_begun = $3, noted_at = now() WHERE version = $1")
        .bind(version)
        .bind(i32::try_from(done).unwrap_or(i32::MAX))
        .bind(is_begun)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets it: the migration is applied, or reverted.
pub async fn forget(connection: &mut PgConnection, version: i64) -> Result<(), sqlx::Error> {
    if exists(connection).await? {
        sqlx::query("DELETE FROM _migration_progress WHERE version = $1").bind(version).execute(connection).await?;
    }
    Ok(())
}

impl Progress {
    /// The statement that was begun, and nobody knows how it ended.
    pub fn begun(&self) -> Option<Statement<'_>> {
        statements(&self.script).get(self.done).copied().filter(|_| self.is_begun)
    }

    /// The line of the first statement that is done and has another text now; none where the script can go on.
    pub fn changed_line(&self, now: &[Statement<'_>]) -> Option<usize> {
        let before = statements(&self.script);
        (0..self.done).find_map(|index| {
            let is_same = before.get(index).map(|one| one.text) == now.get(index).map(|one| one.text);
            (!is_same).then(|| now.get(index).or(now.last()).map_or(1, |statement| statement.line))
        })
    }
}
