//! The life of a serving process: from settings to the last answer.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tracing::{error, info, warn};

use crate::app::App;
use crate::config::Config;
use crate::migrations::{self, Migrate};
use crate::server::activation;
use crate::{connect, logging, router, server};

/// Serves until SIGTERM or SIGINT.
pub fn serve(config: Config) -> Result<()> {
    logging::start(&config);
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(serve_until_told(config));
    // A name lookup may still hang in a thread that nothing can end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

async fn serve_until_told(config: Config) -> Result<()> {
    let mut signals = Signals::new()?;
    let app = tokio::select! {
        app = prepare(config) => app?,
        name = signals.first() => {
            info!(signal = name, "told to stop before the start was complete");
            return Ok(());
        }
    };
    let config = app.config.clone();
    let inherited = activation::listener().context("the socket that was handed over cannot be used")?;
    let is_inherited = inherited.is_some();
    let listener = match inherited {
        Some(listener) => listener,
        None => server::listen(config.host, config.port)
            .with_context(|| format!("cannot listen on {} port {}", config.host, config.port))?,
    };
    info!(
        address = %listener.local_addr()?,
        version = env!("CARGO_PKG_VERSION"),
        commit = config.commit.as_deref().unwrap_or("unknown"),
        "listening"
    );
    activation::ready();
    let stop = {
        let app = app.clone();
        async move {
            let name = signals.first().await;
            logging::mark_as_draining();
            info!(signal = name, "stopping");
            activation::stopping();
            // Behind a socket that others go on serving there is nobody who would have to look elsewhere.
            if !is_inherited {
                app.stop();
            }
            // Whoever sends the signal again does not want to wait.
            tokio::spawn(async move {
                let name = signals.first().await;
                warn!(signal = name, "told twice; leaving at once");
                #[expect(clippy::exit, reason = "the promise is to leave without finishing anything")]
                std::process::exit(if name == "SIGINT" { 130 } else { 143 });
            });
        }
    };
    let limits = server::Limits::default();
    server::serve(listener, router::of(app.clone()), limits, stop, config.shutdown_timeout).await;
    app.database.close().await;
    info!("stopped");
    Ok(())
}

/// Connections made, migrations applied where that was asked for.
async fn prepare(config: Config) -> Result<App> {
    let (database, redis) = tokio::try_join!(connect::postgres(&config), connect::redis(&config)).map_err(|error| {
        error!("cannot start: {error:#}");
        error
    })?;
    if config.run_migrations {
        let migrate = Migrate { drafts: &config.migration_drafts, ..Migrate::embedded(&config) };
        let changes = migrate.run(&mut migrations::connect(&config).await?).await;
        let changes = changes.inspect_err(|error| error!("cannot start: {error}"))?;
        info!(applied = changes.len(), "migrations are up to date");
    }
    Ok(App::new(config, database, redis))
}

/// The two ways in which a process is asked to end.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn first(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
