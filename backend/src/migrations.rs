//! Migrations, embedded in the binary, applied by one process at a time.
//!
//! The library's own lock waits for ever and does not say for whom. Here the advisory lock is tried until
//! `MIGRATION_LOCK_TIMEOUT` is over, and the error names its holder.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::info;

/// Every migration of this version of the backend.
pub static EMBEDDED: Migrator = sqlx::migrate!("./migrations");

/// The key of the advisory lock; PostgreSQL keeps advisory locks for each database on its own.
pub const LOCK: i64 = 0x0074_6875_6e64_6572; // "thunder"
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Why migrations were not applied.
#[derive(Debug)]
pub enum MigrationError {
    /// Somebody else is migrating the same database, and still was when the time was over.
    Locked {
        /// How long the lock was waited for.
        waited: Duration,
        /// Who holds it, as far as the database tells.
        holder: Option<String>,
    },
    /// Applied migrations differ from the embedded ones; nothing was changed.
    Diverged(Vec<String>),
    /// A migration failed; it was rolled back, those before it stay applied.
    Failed {
        /// The migration's version and name.
        migration: String,
        /// What the database said.
        error: sqlx::Error,
        /// How many were applied before it.
        applied: usize,
    },
    /// The database did not do what was asked around the migrations.
    Database(anyhow::Error),
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { waited, holder } => {
                write!(f, "another process holds the migration lock, and did for {} s", waited.as_secs())?;
                match holder {
                    Some(holder) => write!(f, ": {holder}"),
                    None => Ok(()),
                }
            }
            Self::Diverged(differences) => {
                write!(f, "the database's migrations differ from this version's:")?;
                differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
            }
            Self::Failed { migration, error, applied } => {
                write!(f, "migration {migration} failed and was rolled back ({applied} applied before it): ")?;
                describe(f, error)
            }
            Self::Database(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for MigrationError {}

/// PostgreSQL's message with what helps to find the place: SQLSTATE, detail, hint.
fn describe(f: &mut fmt::Formatter<'_>, error: &sqlx::Error) -> fmt::Result {
    let Some(error) = error.as_database_error() else {
        return write!(f, "{error}");
    };
    write!(f, "{}", error.message())?;
    if let Some(code) = error.code() {
        write!(f, " (SQLSTATE {code})")?;
    }
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        for (label, text) in [("detail", error.detail()), ("hint", error.hint())] {
            if let Some(text) = text {
                write!(f, "\n  {label}: {text}")?;
            }
        }
    }
    Ok(())
}

impl From<sqlx::Error> for MigrationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<MigrateError> for MigrationError {
    fn from(error: MigrateError) -> Self {
        Self::Database(error.into())
    }
}

/// One migration and whether it is applied.
#[derive(Debug, Serialize)]
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
}

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Applied as it is embedded.
    Applied,
    /// Not applied yet.
    Pending,
    /// Applied, and its file was changed since.
    Altered,
    /// Applied, but unknown to this version: the database is newer, or the file was removed.
    Unknown,
}

/// Every migration that the binary or the database knows, oldest first.
pub async fn status(connection: &mut PgConnection) -> Result<Vec<Entry>> {
    compare(connection, &EMBEDDED).await
}

async fn compare(connection: &mut PgConnection, known: &Migrator) -> Result<Vec<Entry>> {
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
                None => State::Pending,
                Some((_, _, checksum, _)) if *checksum == *migration.checksum => State::Applied,
                Some(_) => State::Altered,
            };
            let name = migration.description.clone();
            Entry { version: migration.version, name, state, applied_at: row.map(|row| row.3) }
        })
        .collect();
    for (version, name, _, applied_at) in applied {
        if !entries.iter().any(|entry| entry.version == version) {
            let (name, applied_at) = (Cow::Owned(name), Some(applied_at));
            entries.push(Entry { version, name, state: State::Unknown, applied_at });
        }
    }
    entries.sort_by_key(|entry| entry.version);
    Ok(entries)
}

fn up(known: &Migrator) -> impl Iterator<Item = &Migration> {
    known.iter().filter(|migration| !migration.migration_type.is_down_migration())
}

/// Applies what is pending and gives back the names of what was applied.
pub async fn run(connection: &mut PgConnection, lock_timeout: Duration) -> Result<Vec<String>, MigrationError> {
    apply(connection, &EMBEDDED, lock_timeout).await
}

/// The same with other migrations than the embedded ones.
pub async fn apply(
    connection: &mut PgConnection,
    known: &Migrator,
    lock_timeout: Duration,
) -> Result<Vec<String>, MigrationError> {
    lock(connection, lock_timeout).await?;
    let outcome = apply_pending(connection, known).await;
    // The session's end would release it as well; a pooled connection may have no end soon.
    let released: Result<bool, _> =
        sqlx::query_scalar("SELECT pg_advisory_unlock($1)").bind(LOCK).fetch_one(&mut *connection).await;
    let applied = outcome?;
    released?;
    Ok(applied)
}

async fn lock(connection: &mut PgConnection, timeout: Duration) -> Result<(), MigrationError> {
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
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

/// Who holds the lock: its process, name, address and age.
async fn holder(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT format('process %s (%s) of %s, connected since %s', a.pid, coalesce(nullif(a.application_name, ''), \
         'unnamed'), coalesce(host(a.client_addr), 'a local socket'), to_char(a.backend_start AT TIME ZONE 'UTC', \
         'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')) \
         FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = \
         current_database()) AND l.classid = ($1 >> 32)::oid AND l.objid = ($1 & 4294967295)::oid",
    )
    .bind(LOCK)
    .fetch_optional(connection)
    .await
}

async fn apply_pending(connection: &mut PgConnection, known: &Migrator) -> Result<Vec<String>, MigrationError> {
    let entries = compare(connection, known).await.map_err(MigrationError::Database)?;
    let altered: Vec<String> = entries
        .iter()
        .filter(|entry| entry.state == State::Altered)
        .map(|entry| format!("{}_{} was applied and its file was changed since", entry.version, entry.name))
        .collect();
    if !altered.is_empty() {
        return Err(MigrationError::Diverged(altered));
    }
    let pending: Vec<&Entry> = entries.iter().filter(|entry| entry.state == State::Pending).collect();
    if !pending.is_empty() {
        connection.ensure_migrations_table(&known.table_name).await?;
    }
    let mut applied = Vec::new();
    for entry in pending {
        let migration = up(known).find(|migration| migration.version == entry.version);
        let Some(migration) = migration else { continue };
        let name = format!("{}_{}", migration.version, migration.description.replace(' ', "_"));
        match connection.apply(&known.table_name, migration).await {
            Ok(took) => info!(migration = name, took_ms = took.as_millis(), "applied"),
            Err(MigrateError::ExecuteMigration(error, _) | MigrateError::Execute(error)) => {
                return Err(MigrationError::Failed { migration: name, error, applied: applied.len() });
            }
            Err(error) => return Err(error.into()),
        }
        applied.push(name);
    }
    Ok(applied)
}

/// A connection of its own for migrating, outside of any pool.
pub async fn connect(config: &crate::config::Config) -> Result<PgConnection> {
    PgConnection::connect_with(&crate::connect::connect_options(config)?).await.context("cannot connect to PostgreSQL")
}
