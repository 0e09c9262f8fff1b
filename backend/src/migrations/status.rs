//! Where each migration stands.

use std::borrow::Cow;
use std::fmt;

use anyhow::Result;
use serde::Serialize;
use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr as _};
use time::OffsetDateTime;

use super::{progress, sql};

/// One migration and whether it is applied.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The time stamp in the file's name.
    pub version: i64,
    /// The rest of the file's name.
    pub name: Cow<'static, str>,
    /// Where it stands.
    pub state: State,
    /// When it was applied, RFC 3339.
    #[serde(with = "time::serde::rfc3339::option")]
    pub applied_at: Option<OffsetDateTime>,
    /// Whether it is pending although a newer one is applied, so that it will not be.
    pub out_of_order: bool,
    /// How many statements of a pending migration are done, because they run outside of a transaction.
    pub statements_done: usize,
}

impl Entry {
    /// The name of its files, without their ending.
    pub fn file(&self) -> String {
        format!("{}_{}", self.version, self.name.replace(' ', "_"))
    }

    pub(super) fn is_applied(&self) -> bool {
        self.applied_at.is_some()
    }
}

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Applied as it is embedded.
    Applied,
    /// Not applied yet.
    Pending,
    /// Not applied, and without a statement that could be.
    Empty,
    /// Applied, and its file was changed since.
    Altered,
    /// Applied, but unknown to this version: the database is newer, or the file was removed.
    Unknown,
}

impl State {
    /// Every state, in the order in which they are explained.
    pub const ALL: [Self; 5] = [Self::Applied, Self::Pending, Self::Empty, Self::Altered, Self::Unknown];

    /// What to do about a migration in this state; nothing about one that is applied.
    pub fn next(self) -> Option<&'static str> {
        match self {
            Self::Applied => None,
            Self::Pending => Some("`migrate run` applies it"),
            Self::Empty => {
                Some("write the SQL into its .up.sql, or remove both of its files; until then nothing is applied")
            }
            Self::Altered => Some(
                "undo the edit, and put the change into a migration of its own; the newest, while it is only on your \
                 machine, can be reverted and applied again by `migrate redo`; `migrate bless` takes an edit that changes \
                 nothing, such as a comment",
            ),
            Self::Unknown => {
                Some("another version of the code applied it; nothing to do where that one is newer than this")
            }
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Empty => "empty",
            Self::Altered => "altered",
            Self::Unknown => "unknown",
        })
    }
}

/// Every migration that `known` or the database has, oldest first.
pub async fn status(connection: &mut PgConnection, known: &Migrator) -> Result<Vec<Entry>, sqlx::Error> {
    // Only reads: asking for the status must not create the table.
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    let applied: Vec<(i64, String, Vec<u8>, OffsetDateTime)> = if exists {
        sqlx::query_as("SELECT version, description, checksum, installed_on FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await?
    } else {
        Vec::new()
    };
    let mut entries: Vec<Entry> = up(known)
        .map(|migration| {
            let row = applied.iter().find(|(version, ..)| *version == migration.version);
            let state = match row {
                None if sql::has_statement(migration.sql.as_str()) => State::Pending,
                None => State::Empty,
                Some((_, _, checksum, _)) if is_of(checksum, migration) => State::Applied,
                Some(_) => State::Altered,
            };
            let name = migration.description.clone();
            let applied_at = row.map(|row| row.3);
            Entry { version: migration.version, name, state, applied_at, out_of_order: false, statements_done: 0 }
        })
        .collect();
    for (version, name, _, applied_at) in applied {
        if !entries.iter().any(|entry| entry.version == version) {
            let (name, applied_at) = (Cow::Owned(name), Some(applied_at));
            entries.push(Entry {
                version,
                name,
                state: State::Unknown,
                applied_at,
                out_of_order: false,
                statements_done: 0,
            });
        }
    }
    entries.sort_by_key(|entry| entry.version);
    let newest = entries.iter().rfind(|entry| entry.is_applied()).map(|entry| entry.version);
    let begun = progress::all(connection).await?;
    for entry in &mut entries {
        let done = begun.iter().find(|(version, _)| *version == entry.version && !entry.is_applied());
        entry.statements_done = done.map_or(0, |(_, done)| *done);
        entry.out_of_order = entry.state == State::Pending && newest.is_some_and(|newest| entry.version < newest);
    }
    Ok(entries)
}

/// Whether a checksum is that of the migration, whatever its lines end with: git may check a file out with other line
/// endings than the one that was applied had.
fn is_of(checksum: &[u8], migration: &Migration) -> bool {
    let has = |text: String| *checksum == *with_text(migration, text).checksum;
    let text = migration.sql.as_str();
    *checksum == *migration.checksum || {
        let plain = text.replace("\r\n", "\n");
        has(plain.replace('\n', "\r\n")) || has(plain)
    }
}

fn with_text(migration: &Migration, text: String) -> Migration {
    let (description, kind) = (migration.description.clone(), migration.migration_type);
    Migration::new(migration.version, description, kind, AssertSqlSafe(text).into_sql_str(), migration.no_tx)
}

pub(super) fn up(known: &Migrator) -> impl Iterator<Item = &Migration> {
    known.iter().filter(|migration| !migration.migration_type.is_down_migration())
}
