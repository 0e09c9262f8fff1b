//! Why migrations were not applied, in words that say what the database holds now.

use std::fmt;
use std::time::Duration;

use sqlx::migrate::MigrateError;

use crate::connect;

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
    /// Pending migrations are older than one that is applied; nothing was changed.
    OutOfOrder {
        /// Those.
        pending: Vec<String>,
        /// The newest that is applied.
        newest: String,
    },
    /// Files without a statement, which are not applied; nothing was changed.
    Empty(Vec<String>),
    /// Some migrations are pending where all of them are needed.
    Pending(usize),
    /// There is nothing that could be applied again.
    NothingToRedo(String),
    /// A migration that was to be applied again could not be reverted.
    NotReverted {
        /// The migration's version and name.
        migration: String,
        /// Why not.
        reason: NotReverted,
        /// Newer ones that were reverted before, and are pending now.
        reverted: Vec<String>,
    },
    /// A script that runs outside of a transaction is half done, so that nothing can be reverted; nothing was changed.
    HalfDone {
        /// Its version.
        version: i64,
        /// The name of its files, without their ending.
        file: String,
        /// How many of its statements are done.
        done: usize,
    },
    /// A version that was to stay, and is not applied.
    NotApplied(i64),
    /// A version that was to be blessed, and is not altered.
    NotAltered(i64),
    /// A file that is not any more what was looked at.
    ChangedMeanwhile(String),
    /// A migration failed; those before it stay applied.
    Failed {
        /// The migration's version and name.
        migration: String,
        /// What the database said.
        error: sqlx::Error,
        /// The line of its up file with the statement that failed.
        line: Option<usize>,
        /// How many were applied before it.
        applied: usize,
        /// What is left of it.
        left: Left,
        /// Whether it was applied before, in an older form, and has just been reverted.
        was_reverted: bool,
    },
    /// The database did not do what was asked around the migrations.
    Database(anyhow::Error),
}

/// Why a migration was not reverted.
#[derive(Debug)]
pub enum NotReverted {
    /// Nobody recorded how.
    NoDown,
    /// What was recorded fails.
    Failed {
        /// What the database said.
        error: sqlx::Error,
        /// The line of the script with the statement that failed.
        line: Option<usize>,
        /// What is left of it.
        left: Left,
    },
}

/// What a script that failed has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// Everything before its own COMMIT.
    BeforeItsCommit,
    /// Whatever was done outside of a transaction.
    OutsideOfTransaction,
    /// The first statements of those that run outside of a transaction; the next attempt goes on with the one that failed.
    Half {
        /// How many are done.
        done: usize,
        /// How many there are.
        of: usize,
    },
    /// The first statements, one of which has another text now.
    Changed {
        /// How many are done.
        done: usize,
    },
    /// The connection broke before the database could be asked.
    Unknown,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "failed and was rolled back",
            Self::BeforeItsCommit => "failed after a COMMIT of its own, and what it did before that stays",
            Self::OutsideOfTransaction => "failed outside of a transaction, and what it had done may stay",
            Self::Unknown => "failed, and whether it was rolled back is not known, because the connection broke",
            Self::Half { done, of } => {
                return write!(
                    f,
                    "failed outside of a transaction: {done} of its {of} statements are done, and the next run goes on \
                     after them"
                );
            }
            Self::Changed { done } => {
                return write!(
                    f,
                    "cannot go on: {done} of its statements were done by an earlier run, and one of those was changed since"
                );
            }
        })
    }
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { waited, holder } => {
                write!(f, "another process still holds the migration lock after {} s", waited.as_secs())?;
                match holder {
                    Some(holder) => write!(f, ": {holder}"),
                    None => Ok(()),
                }
            }
            Self::Diverged(differences) => {
                write!(f, "the database's migrations differ from this version's:")?;
                differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
            }
            Self::OutOfOrder { pending, newest } => {
                write!(
                    f,
                    "{} than {newest}, which is applied:",
                    count(pending.len(), "migration is older", "migrations are older")
                )?;
                pending.iter().try_for_each(|name| write!(f, "\n  {name}"))?;
                write!(f, "\ngive both of its files a newer time stamp, by `migrate add --renumber`, so that every ")?;
                write!(f, "database has them in one order; nothing was applied")
            }
            Self::Empty(names) => {
                write!(f, "{} without a statement:", count(names.len(), "migration is", "migrations are"))?;
                names.iter().try_for_each(|name| write!(f, "\n  {name}.up.sql"))?;
                write!(
                    f,
                    "\nwrite the SQL into it, or remove the file together with its .down.sql; nothing was applied"
                )
            }
            Self::Pending(1) => write!(f, "1 migration is pending: apply it first, by `migrate run`"),
            Self::Pending(count) => write!(f, "{count} migrations are pending: apply them first, by `migrate run`"),
            Self::NothingToRedo(reason) => write!(f, "there is nothing to apply again: {reason}"),
            Self::NotReverted { migration, reason, reverted } => {
                write!(f, "migration {migration} cannot be reverted: ")?;
                match reason {
                    NotReverted::NoDown => write!(f, "no down script was recorded when it was applied")?,
                    NotReverted::Failed { error, line, left } => {
                        write!(f, "the down script that was recorded {left}: ")?;
                        at(f, *line)?;
                        describe(f, error)?;
                    }
                }
                match (reverted.as_slice(), reason) {
                    ([], NotReverted::NoDown | NotReverted::Failed { left: Left::Nothing, .. }) => {
                        write!(f, "\nnothing was changed")
                    }
                    ([], _) => Ok(()),
                    (names, _) => write!(f, "\nreverted before it, and pending now: {}", names.join(", ")),
                }
            }
            Self::HalfDone { version, file, done } => {
                writeln!(f, "nothing can be reverted while {file} is half done: {done} of its statements are done")?;
                write!(
                    f,
                    "finish it, by `migrate run`; or undo in the database what these statements did, and forget "
                )?;
                write!(f, "them: DELETE FROM _migration_progress WHERE version = {version}")
            }
            Self::NotApplied(version) => {
                write!(
                    f,
                    "{version} is not applied, so that nothing can be reverted to it; `migrate status` lists what is"
                )
            }
            Self::NotAltered(version) => {
                write!(f, "{version} is not altered: its file is the one that was applied")
            }
            Self::ChangedMeanwhile(file) => {
                write!(f, "{file}.up.sql was changed since it was compared: look at it again; nothing was recorded")
            }
            Self::Failed { migration, left: left @ Left::Changed { .. }, line, .. } => {
                write!(f, "migration {migration} {left}: {migration}.up.sql, line {}", line.unwrap_or(1))?;
                let version = migration.split('_').next().unwrap_or_default();
                write!(
                    f,
                    "\nundo the edit; or undo in the database what these statements did, and forget them: DELETE "
                )?;
                write!(f, "FROM _migration_progress WHERE version = {version}")
            }
            Self::Failed { migration, error, line, applied, left, was_reverted } => {
                write!(f, "migration {migration} {left} ({applied} applied before it): ")?;
                at(f, *line)?;
                describe(f, error)?;
                if *was_reverted {
                    write!(f, "\nits older form was reverted, and it is pending now")?;
                }
                Ok(())
            }
            Self::Database(error) => write!(f, "{error:#}"),
        }
    }
}

fn count(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

impl std::error::Error for MigrationError {}

impl MigrationError {
    /// Whether the database went away meanwhile: then nothing is wrong with the migrations.
    pub fn is_of_a_lost_connection(&self) -> bool {
        match self {
            Self::Failed { error, .. } | Self::NotReverted { reason: NotReverted::Failed { error, .. }, .. } => {
                connect::database_may_come(error)
            }
            Self::Database(error) => connect::is_away(error),
            _ => false,
        }
    }
}

fn at(f: &mut fmt::Formatter<'_>, line: Option<usize>) -> fmt::Result {
    line.map_or(Ok(()), |line| write!(f, "line {line}: "))
}

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
