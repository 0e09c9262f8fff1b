//! A command that works on the database.

use anyhow::Result;
use sqlx::PgConnection;
use tokio::runtime::Builder;

use super::Stopped;
use crate::config::Config;
use crate::signals::Signals;
use crate::{connect, logging};

/// Does something on a connection of its own, once the database answers. SIGTERM and SIGINT end it, also where it is the
/// first process of a container: PostgreSQL notices that nobody waits for the statement, and rolls it back.
pub fn connected<T, E: Into<anyhow::Error>>(
    config: &Config,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T> {
    logging::start_on_stderr(config);
    Builder::new_multi_thread().worker_threads(1).max_blocking_threads(4).enable_all().build()?.block_on(async {
        let mut signals = Signals::new()?;
        let work = async {
            let mut connection = connect::postgres(config).await?;
            work(&mut connection).await.map_err(Into::into)
        };
        tokio::select! {
            outcome = work => outcome,
            name = signals.first() => {
                tracing::warn!(signal = name, "interrupted");
                Err(Stopped(Signals::exit_code(name)).into())
            }
        }
    })
}
