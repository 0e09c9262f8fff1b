//! The life of a serving process: from settings to the last answer.

use std::num::NonZero;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sqlx::Connection as _;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tracing::{error, info, warn};

use crate::COMMIT;
use crate::app::App;
use crate::background::Background;
use crate::config::Config;
use crate::migrations::Migrate;
use crate::server::{End, Limits, activation};
use crate::signals::Signals;
use crate::{cleanup, connect, logging, router, server};

/// The most threads that work on requests, and the most for what blocks, such as name lookups. Together they stay below
/// the number of processes that the container may have, whatever machine it is on.
const WORKERS: usize = 16;
const BLOCKING: usize = 32;
/// What closing connections may take when finishing requests has used up the time.
const CLOSE: Duration = Duration::from_millis(300);

/// Serves until SIGTERM or SIGINT.
pub fn serve(config: Config) -> Result<End> {
    logging::start(&config);
    let runtime = runtime()?;
    let outcome = runtime.block_on(serve_until_told(config));
    // A name lookup may still hang in a thread that nothing can end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

fn runtime() -> Result<Runtime> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS);
    let mut builder = Builder::new_multi_thread();
    Ok(builder.enable_all().worker_threads(workers).max_blocking_threads(BLOCKING).build()?)
}

async fn serve_until_told(config: Config) -> Result<End> {
    let mut signals = Signals::new()?;
    let background = Background::default();
    let app = tokio::select! {
        app = prepare(config, &background) => app.inspect_err(|error| error!("cannot start: {error:#}"))?,
        name = signals.first() => {
            info!(signal = name, "told to stop before the start was complete");
            return Ok(End::Drained);
        }
    };
    cleanup::start(&app.database, &background);
    let (listener, is_inherited) = listener(&app.config)?;
    let limits = Limits::default();
    let limits = Limits { connections: server::make_room(limits.connections), ..limits };
    info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), commit = COMMIT, "listening");
    activation::ready();

    let told = std::sync::OnceLock::new();
    let stop = async {
        let name = signals.first().await;
        told.get_or_init(Instant::now);
        logging::mark_as_draining();
        info!(signal = name, "stopping");
        activation::stopping();
        // Behind a socket that others keep serving there is nobody who would have to look elsewhere.
        if !is_inherited {
            app.stop();
        }
        tokio::spawn(leave_when_told_again(signals));
    };
    let timeout = app.config.process.shutdown_timeout;
    let end = server::serve(listener, router::of(app.clone()), limits, stop, timeout).await;
    // Everything after SIGTERM is within the one limit.
    let left = timeout.saturating_sub(told.get().map_or(Duration::ZERO, Instant::elapsed)).max(CLOSE);
    let close = async {
        tokio::join!(background.stop(), app.database.close());
    };
    if tokio::time::timeout(left, close).await.is_err() {
        warn!("connections to PostgreSQL were left open, because the time to finish was over");
    }
    match app.mailer.undelivered() {
        0 => {}
        count => error!("{count} mails were not delivered, because the time to finish was over"),
    }
    info!("stopped");
    Ok(end)
}

/// The socket to listen on, and whether somebody else holds it too.
fn listener(config: &Config) -> Result<(TcpListener, bool)> {
    if let Some(listener) = activation::listener().context("the socket that was handed over cannot be used")? {
        return Ok((listener, true));
    }
    let (host, port) = (config.listen.host, config.listen.port);
    let listener = server::listen(host, port).with_context(|| format!("cannot listen on {host} port {port}"))?;
    Ok((listener, false))
}

/// Connections made, migrations applied where that was asked for.
async fn prepare(config: Config, background: &Background) -> Result<App> {
    let database = async {
        let mut connection = connect::postgres(&config).await?;
        if config.migrations.at_start {
            let migrate = Migrate { drafts: &config.migrations.drafts, ..Migrate::embedded(&config) };
            let changes = migrate.run(&mut connection).await?;
            for change in &changes {
                info!("{change}");
            }
            info!(applied = changes.len(), "migrations are up to date");
        }
        // Nothing depends on a polite end.
        connection.close().await.ok();
        connect::pool(&config)
    };
    let (database, redis) = tokio::try_join!(database, connect::redis(&config))?;
    Ok(App::new(config, database, redis, background))
}

/// Whoever sends the signal again does not want to wait.
async fn leave_when_told_again(mut signals: Signals) {
    let name = signals.first().await;
    warn!(signal = name, "told twice; leaving at once");
    logging::finish();
    #[expect(clippy::exit, reason = "the promise is to leave without finishing anything")]
    std::process::exit(Signals::exit_code(name).into());
}
