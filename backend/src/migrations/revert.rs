//! Taking migrations back, newest first, by the down scripts that were recorded when they were applied.

use sqlx::PgConnection;

use super::error::{MigrationError, NotReverted};
use super::status::{Entry, status};
use super::{Change, Migrate, apply, progress, text};

impl Migrate<'_> {
    /// Reverts the newest applied migration, or all that are newer than `to`, which stays; 0 keeps none.
    pub async fn revert(&self, connection: &mut PgConnection, to: Option<i64>) -> Result<Vec<Change>, MigrationError> {
        self.locked(connection, async |connection| {
            let entries = status(connection, self.known).await?;
            let chosen = newer_than(&entries, to)?;
            if chosen.is_empty() {
                return Ok(Vec::new());
            }
            refuse_half_done(connection, &entries).await?;
            text::ensure_table(connection).await?;
            self.record_texts(connection, &entries).await?;
            revert(connection, &chosen).await?;
            Ok(chosen.iter().map(|entry| Change::Reverted(entry.file())).collect())
        })
        .await
    }
}

/// The applied migrations that are newer than that one, newest first; only the newest, if none is named.
fn newer_than(entries: &[Entry], to: Option<i64>) -> Result<Vec<&Entry>, MigrationError> {
    let applied = entries.iter().rev().filter(|entry| entry.is_applied());
    let Some(to) = to else { return Ok(applied.take(1).collect()) };
    if to != 0 && !applied.clone().any(|entry| entry.version == to) {
        return Err(MigrationError::NotApplied(to));
    }
    Ok(applied.filter(|entry| entry.version > to).collect())
}

/// Fails where a script is half done that runs outside of a transaction. It stands on what would be reverted, and the next
/// run would go on with it as if nothing had been.
pub(super) async fn refuse_half_done(connection: &mut PgConnection, entries: &[Entry]) -> Result<(), MigrationError> {
    let is_applied = |version| entries.iter().any(|entry| entry.version == version && entry.is_applied());
    let begun = progress::all(connection).await?;
    let Some((version, done)) = begun.into_iter().find(|(version, done)| *done > 0 && !is_applied(*version)) else {
        return Ok(());
    };
    let file = entries.iter().find(|entry| entry.version == version).map(Entry::file);
    Err(MigrationError::HalfDone { version, file: file.unwrap_or_else(|| version.to_string()), done })
}

/// Reverts these, newest first, by what was recorded of each; nothing happens unless something was recorded of all.
pub(super) async fn revert(connection: &mut PgConnection, entries: &[&Entry]) -> Result<(), MigrationError> {
    let mut scripts = Vec::new();
    for entry in entries {
        let Some(script) = text::down(connection, entry.version).await? else {
            let (migration, reason) = (entry.file(), NotReverted::NoDown);
            return Err(MigrationError::NotReverted { migration, reason, reverted: Vec::new() });
        };
        scripts.push(script);
    }
    let mut reverted = Vec::new();
    for (entry, script) in entries.iter().zip(scripts) {
        if let Err(apply::Failure { error, left, line }) = apply::down(connection, entry.version, script).await {
            let (migration, reason) = (entry.file(), NotReverted::Failed { error, line, left });
            return Err(MigrationError::NotReverted { migration, reason, reverted });
        }
        reverted.push(entry.file());
    }
    Ok(())
}
