//! Migrations, embedded in the binary, applied by one process at a time.
//!
//! The library's own lock waits for ever and does not say for whom. Here the advisory lock is tried until
//! `MIGRATION_LOCK_TIMEOUT` is over, and the error names its holder.

mod apply;
mod bless;
mod error;
mod lock;
mod progress;
mod revert;
mod run;
mod script;
mod sql;
mod status;
mod text;
mod wait;

use sqlx::PgConnection;
use sqlx::migrate::Migrator;

pub use self::bless::{Altered, altered};
pub use self::error::{Left, MigrationError, NotReverted};
pub use self::lock::LOCK;
pub use self::run::{Change, Migrate};
pub use self::status::{Entry, State, status};
pub use self::wait::is_lock_timeout;

/// Every migration of this version of the backend.
pub static EMBEDDED: Migrator = sqlx::migrate!("./migrations");

/// Fails unless every embedded migration is applied.
pub async fn require_all(connection: &mut PgConnection) -> Result<(), MigrationError> {
    let entries = status(connection, &EMBEDDED).await?;
    match entries.iter().filter(|entry| matches!(entry.state, State::Pending | State::Empty)).count() {
        0 => Ok(()),
        pending => Err(MigrationError::Pending(pending)),
    }
}
