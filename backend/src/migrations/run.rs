//! Applying what is pending, and applying anew what is still being written.

use std::fmt;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::migrate::{Migrate as _, Migration, Migrator};

use super::error::MigrationError;
use super::revert::{refuse_half_done, revert};
use super::status::{self, Entry, State, status};
use super::{EMBEDDED, apply, bless, lock, sql, text};
use crate::config::Config;

/// How a database is brought to a set of migrations.
#[derive(Debug, Clone, Copy)]
pub struct Migrate<'a> {
    /// The migrations.
    pub known: &'a Migrator,
    /// How long to wait for another process that migrates.
    pub lock_timeout: Duration,
    /// Versions that are still being written: when one was altered, it is reverted and applied anew.
    pub drafts: &'a [i64],
}

/// What was done about one migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was pending.
    Applied(String),
    /// It was altered and named as a draft.
    DraftAppliedAgain(String),
    /// That was asked for.
    AppliedAgain(String),
    /// That was asked for, too.
    Reverted(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied(name) => write!(f, "applied {name}"),
            Self::DraftAppliedAgain(name) => write!(f, "draft {name} changed: reverted, applied again"),
            Self::AppliedAgain(name) => write!(f, "{name}: reverted, applied again"),
            Self::Reverted(name) => write!(f, "reverted {name}"),
        }
    }
}

impl Migrate<'static> {
    /// The embedded migrations, as the settings say.
    pub fn embedded(config: &Config) -> Self {
        Self { known: &EMBEDDED, lock_timeout: config.migrations.lock_timeout, drafts: &[] }
    }
}

impl Migrate<'_> {
    /// Applies what is pending, and drafts that were altered anew.
    pub async fn run(&self, connection: &mut PgConnection) -> Result<Vec<Change>, MigrationError> {
        self.locked(connection, async |connection| self.run_locked(connection).await).await
    }

    /// Reverts the newest applied migration and applies it as it is now.
    pub async fn redo(&self, connection: &mut PgConnection) -> Result<Change, MigrationError> {
        self.locked(connection, async |connection| self.redo_locked(connection).await).await
    }

    /// Does something with the lock that one process at a time has.
    pub(super) async fn locked<T>(
        &self,
        connection: &mut PgConnection,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, MigrationError>,
    ) -> Result<T, MigrationError> {
        lock::take(connection, self.lock_timeout).await?;
        let outcome = work(connection).await;
        let released = lock::release(connection).await;
        let value = outcome?;
        released?;
        Ok(value)
    }

    /// The scripts that a run would execute now, each with the name of its migration. Nothing is changed, and an error is
    /// the one that the run would give before it changes anything.
    pub async fn scripts(&self, connection: &mut PgConnection) -> Result<Vec<(String, String)>, MigrationError> {
        let entries = status(connection, self.known).await?;
        let (drafts, wanted) = self.wanted(connection, &entries).await?;
        let mut scripts = Vec::new();
        for draft in drafts {
            let down = text::down(connection, draft.version).await?.unwrap_or_default();
            scripts.push((format!("{}.down.sql, as it was recorded", draft.file()), down));
        }
        for (entry, migration) in wanted {
            scripts.push((format!("{}.up.sql", entry.file()), migration.sql.as_str().to_owned()));
        }
        Ok(scripts)
    }

    /// The drafts that have to be reverted, newest first, and what is to be applied, oldest first. An error where that
    /// cannot be done, before anything is changed.
    async fn wanted<'e>(
        &'e self,
        connection: &mut PgConnection,
        entries: &'e [Entry],
    ) -> Result<(Vec<&'e Entry>, Vec<(&'e Entry, &'e Migration)>), MigrationError> {
        let drafts = match self.altered_drafts(entries) {
            Err(MigrationError::Diverged(differences)) => {
                return Err(MigrationError::Diverged(self.with_lines(connection, differences).await?));
            }
            outcome => outcome?,
        };
        let pending = entries.iter().filter(|entry| matches!(entry.state, State::Pending | State::Empty));
        let mut wanted: Vec<&Entry> = pending.chain(drafts.iter().copied()).collect();
        wanted.retain(|entry| entry.state != State::Unknown);
        wanted.sort_by_key(|entry| entry.version);
        let wanted: Vec<(&Entry, &Migration)> =
            wanted.into_iter().filter_map(|entry| Some((entry, self.up(entry.version)?))).collect();
        refuse_empty(&wanted)?;
        refuse_out_of_order(entries, &drafts)?;
        if !drafts.is_empty() {
            refuse_half_done(connection, entries).await?;
        }
        Ok((drafts, wanted))
    }

    async fn run_locked(&self, connection: &mut PgConnection) -> Result<Vec<Change>, MigrationError> {
        let entries = status(connection, self.known).await?;
        let (drafts, wanted) = self.wanted(connection, &entries).await?;
        if !wanted.is_empty() {
            connection.ensure_migrations_table(&self.known.table_name).await?;
        }
        if !wanted.is_empty() || entries.iter().any(Entry::is_applied) {
            text::ensure_table(connection).await?;
            self.record_texts(connection, &entries).await?;
        }
        revert(connection, &drafts).await?;
        let mut changes = Vec::new();
        for (entry, migration) in wanted {
            let name = entry.file();
            self.apply(connection, migration, &name, changes.len(), entry.is_applied()).await?;
            let change = if entry.is_applied() { Change::DraftAppliedAgain(name) } else { Change::Applied(name) };
            changes.push(change);
        }
        Ok(changes)
    }

    async fn redo_locked(&self, connection: &mut PgConnection) -> Result<Change, MigrationError> {
        let entries = status(connection, self.known).await?;
        let Some(newest) = entries.iter().rfind(|entry| entry.is_applied()) else {
            return Err(MigrationError::NothingToRedo("no migration is applied".to_owned()));
        };
        let name = newest.file();
        let Some(migration) = self.up(newest.version) else {
            let reason = format!("the newest that is applied, {name}, is not among this version's");
            return Err(MigrationError::NothingToRedo(reason));
        };
        refuse_empty(&[(newest, migration)])?;
        refuse_half_done(connection, &entries).await?;
        text::ensure_table(connection).await?;
        self.record_texts(connection, &entries).await?;
        revert(connection, &[newest]).await?;
        self.apply(connection, migration, &name, 0, true).await?;
        Ok(Change::AppliedAgain(name))
    }

    async fn apply(
        &self,
        connection: &mut PgConnection,
        migration: &Migration,
        name: &str,
        applied: usize,
        was_reverted: bool,
    ) -> Result<(), MigrationError> {
        let down = text::down_of(self.known, migration.version);
        match apply::up(connection, migration, down).await {
            Ok(_) => Ok(()),
            Err(apply::Failure { error, left, line }) => {
                let migration = name.to_owned();
                Err(MigrationError::Failed { migration, error, line, applied, left, was_reverted })
            }
        }
    }

    pub(super) fn up(&self, version: i64) -> Option<&Migration> {
        status::up(self.known).find(|migration| migration.version == version)
    }

    /// What has to be reverted so that every altered migration can be applied as it is now: the newest ones down to the
    /// oldest that was altered, newest first. All of them have to be drafts.
    fn altered_drafts<'e>(&self, entries: &'e [Entry]) -> Result<Vec<&'e Entry>, MigrationError> {
        let Some(oldest) = entries.iter().find(|entry| entry.state == State::Altered) else { return Ok(Vec::new()) };
        let newest: Vec<&Entry> =
            entries.iter().rev().filter(|entry| entry.is_applied() && entry.version >= oldest.version).collect();
        let in_the_way = newest.iter().filter(|entry| !self.drafts.contains(&entry.version));
        let differences: Vec<String> = in_the_way
            .rev()
            .map(|entry| match entry.state {
                State::Altered => format!("{} was applied and its file was changed since", entry.file()),
                _ => format!("{} was applied after a draft that was changed since, and is no draft", entry.file()),
            })
            .collect();
        if differences.is_empty() { Ok(newest) } else { Err(MigrationError::Diverged(differences)) }
    }

    /// The differences, each followed by the first line that differs where what was applied is known.
    async fn with_lines(
        &self,
        connection: &mut PgConnection,
        differences: Vec<String>,
    ) -> Result<Vec<String>, MigrationError> {
        let altered = bless::altered(connection, self.known).await?;
        let told = differences.into_iter().map(|difference| {
            let own = altered.iter().find(|one| difference.starts_with(&one.file));
            own.and_then(bless::Altered::first_difference)
                .map_or_else(|| difference.clone(), |line| format!("{difference}: {line}"))
        });
        Ok(told.collect())
    }

    /// Keeps the recorded texts as the files are, for as long as the up file is the one that was applied: a down file is
    /// often written after the migration was tried out.
    pub(super) async fn record_texts(
        &self,
        connection: &mut PgConnection,
        entries: &[Entry],
    ) -> Result<(), MigrationError> {
        let recorded = text::all(connection).await?;
        for entry in entries.iter().filter(|entry| entry.state == State::Applied) {
            let Some(up) = self.up(entry.version) else { continue };
            let text = recorded.iter().find(|text| text.version == entry.version);
            let down = text::down_of(self.known, entry.version).filter(|down| sql::has_statement(down.sql.as_str()));
            let is_recorded = text.is_some_and(|text| {
                text.up == up.sql.as_str() && down.is_none_or(|down| text.down.as_deref() == Some(down.sql.as_str()))
            });
            if !is_recorded {
                text::record(connection, up, down).await?;
            }
        }
        Ok(())
    }
}

/// Fails unless every one of these has something to run: nothing is applied then, so that the file can still be written.
fn refuse_empty(wanted: &[(&Entry, &Migration)]) -> Result<(), MigrationError> {
    let is_empty = |migration: &Migration| !sql::has_statement(migration.sql.as_str());
    let empty: Vec<String> =
        wanted.iter().filter(|(_, migration)| is_empty(migration)).map(|(entry, _)| entry.file()).collect();
    if empty.is_empty() { Ok(()) } else { Err(MigrationError::Empty(empty)) }
}

/// Fails where something that is pending is older than what is applied and stays so: applied now, it would come in
/// another order here than on a new database.
fn refuse_out_of_order(entries: &[Entry], reverted: &[&Entry]) -> Result<(), MigrationError> {
    let stays = |entry: &&Entry| entry.is_applied() && !reverted.iter().any(|other| other.version == entry.version);
    let Some(newest) = entries.iter().rfind(stays) else { return Ok(()) };
    let late = entries.iter().filter(|entry| entry.state == State::Pending && entry.version < newest.version);
    let pending: Vec<String> = late.map(Entry::file).collect();
    if pending.is_empty() { Ok(()) } else { Err(MigrationError::OutOfOrder { pending, newest: newest.file() }) }
}
