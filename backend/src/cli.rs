//! The command line of `thunder`: the server, and everything that operating it needs.
//!
//! It is part of the library, and the binary nothing but a call of it: what a binary holds is compiled after the library
//! and not beside it, each time that anything changes.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tokio::runtime::Runtime;
use tracing::{error, info, warn};

use crate::app::App;
use crate::config::{Config, ConfigError, Environment, SETTINGS};
use crate::migrations::{self, MigrationError, State};
use crate::server::activation;
use crate::{connect, logging, router, seed, server, smoke};

/// Thunder Security's API. Settings come from the environment; `thunder config` describes them.
#[derive(Parser)]
#[command(name = "thunder", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed · 2 usage · 3 a setting is wrong or missing · 4 unhealthy or timed out
            5 migrations pending or altered · 6 somebody else is migrating · 9 refused";

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM (what happens without a command)
    Serve,
    /// Apply pending migrations, or say where they stand
    Migrate(Migrate),
    /// Ask a running server whether it is healthy; for container health checks
    Healthcheck(Healthcheck),
    /// Walk through a running service as a client
    Smoke(Smoke),
    /// Add demo data where it is missing
    Seed,
    /// Describe every setting, or check those of this environment
    Config(Describe),
}

#[derive(Args)]
struct Migrate {
    #[command(subcommand)]
    command: Option<MigrateCommand>,
}

#[derive(Subcommand)]
enum MigrateCommand {
    /// Apply what is pending
    Run,
    /// Every migration and whether it is applied; exits with 5 unless all are
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Healthcheck {
    /// Where to ask; this machine and PORT, if left away
    #[arg(long)]
    url: Option<String>,
}

#[derive(Args)]
struct Smoke {
    /// Where the service is, such as `https://api.example.com`
    #[arg(long)]
    url: String,
    /// Seconds that one request may take
    #[arg(long, default_value_t = 10)]
    timeout: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Describe {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Check the settings of this environment instead, and exit with 3 if any is wrong
    #[arg(long)]
    check: bool,
}

/// Why a command failed, where the exit code says more than that it did.
#[derive(Debug)]
struct Stopped(u8);

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Stopped {}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Two providers in the dependency graph would panic at the first connection; naming ours makes that impossible.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return fail(&anyhow::anyhow!("a TLS provider was already installed"));
    }
    match run(cli.command.unwrap_or(Command::Serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(Stopped(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    // There is nobody left to tell when stderr is closed.
    drop(writeln!(std::io::stderr(), "thunder: {error:#}"));
    if error.is::<ConfigError>() {
        return ExitCode::from(3);
    }
    match error.downcast_ref::<MigrationError>() {
        Some(MigrationError::Locked { .. }) => ExitCode::from(6),
        Some(MigrationError::Diverged(_)) => ExitCode::from(5),
        _ => ExitCode::FAILURE,
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve => serve(),
        Command::Migrate(Migrate { command: None | Some(MigrateCommand::Run) }) => migrate(),
        Command::Migrate(Migrate { command: Some(MigrateCommand::Status { json }) }) => migrate_status(json),
        Command::Healthcheck(Healthcheck { url }) => healthcheck(url),
        Command::Smoke(Smoke { url, timeout, json }) => walk(&url, Duration::from_secs(timeout), json),
        Command::Seed => add_demo_data(),
        Command::Config(Describe { check: true, .. }) => {
            Config::from_environment()?;
            print("every setting is fine\n")
        }
        Command::Config(Describe { json, check: false }) => describe(json),
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to stdout"),
    }
}

fn print_json(document: &serde_json::Value) -> Result<()> {
    print(&format!("{document:#}\n"))
}

fn serve() -> Result<()> {
    let config = Config::from_environment()?;
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
        let applied = migrations::run(&mut migrations::connect(&config).await?, config.migration_lock_timeout).await;
        let applied = applied.inspect_err(|error| error!("cannot start: {error}"))?;
        info!(applied = applied.len(), "migrations are up to date");
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

fn migrate() -> Result<()> {
    let config = Config::from_environment()?;
    logging::start(&config);
    let applied = Runtime::new()?.block_on(async {
        connect::postgres(&config).await?.close().await;
        let mut connection = migrations::connect(&config).await?;
        anyhow::Ok(migrations::run(&mut connection, config.migration_lock_timeout).await?)
    })?;
    if applied.is_empty() {
        return print("nothing to apply\n");
    }
    print(&format!("applied {}\n", applied.join("\napplied ")))
}

fn migrate_status(json: bool) -> Result<()> {
    let config = Config::from_environment()?;
    let entries = Runtime::new()?.block_on(async {
        let mut connection = migrations::connect(&config).await?;
        migrations::status(&mut connection).await
    })?;
    let count = |state| entries.iter().filter(|entry| entry.state == state).count();
    let (pending, altered, unknown) = (count(State::Pending), count(State::Altered), count(State::Unknown));
    if json {
        print_json(&json!({
            "schema_version": 1, "migrations": entries, "pending": pending, "altered": altered, "unknown": unknown,
        }))?;
    } else {
        let mut text = String::new();
        for entry in &entries {
            let state = match entry.state {
                State::Applied => "applied",
                State::Pending => "pending",
                State::Altered => "altered",
                State::Unknown => "unknown",
            };
            text.push_str(&format!("{state:8} {} {}\n", entry.version, entry.name));
        }
        print(&text)?;
    }
    if pending + altered > 0 { Err(Stopped(5).into()) } else { Ok(()) }
}

fn healthcheck(url: Option<String>) -> Result<()> {
    let url = url.unwrap_or_else(own_url);
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(4)))
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut answer = agent.get(&url).call().with_context(|| format!("no answer from {url}"))?;
    let body = answer.body_mut().read_to_string().unwrap_or_default();
    print(&format!("{}\n", body.trim()))?;
    if answer.status() == 200 { Ok(()) } else { Err(Stopped(1).into()) }
}

/// Where the server of this environment answers: `PORT`, on `HOST` or, where that stands for all, on this machine.
fn own_url() -> String {
    let setting = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let port = setting("PORT").unwrap_or_else(|| "3000".to_owned());
    match setting("HOST").and_then(|host| host.parse().ok()) {
        Some(IpAddr::V4(host)) if host != Ipv4Addr::UNSPECIFIED => format!("http://{host}:{port}/health"),
        Some(IpAddr::V6(host)) if host != Ipv6Addr::UNSPECIFIED => format!("http://[{host}]:{port}/health"),
        _ => format!("http://127.0.0.1:{port}/health"),
    }
}

fn walk(url: &str, timeout: Duration, json: bool) -> Result<()> {
    let mut unwritten = Ok(());
    let checks = smoke::run(url, timeout, |check| {
        if !json {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            let line = format!("{mark} {:17} {:5} ms  {}\n", check.name, check.milliseconds, check.detail);
            unwritten = print(&line);
        }
    });
    unwritten?;
    let ok = smoke::is_complete(&checks);
    if json {
        print_json(&json!({ "schema_version": 1, "url": url, "ok": ok, "checks": checks }))?;
    }
    match checks.last() {
        _ if ok => Ok(()),
        Some(check) if check.name == "health" => Err(Stopped(4).into()),
        _ => Err(Stopped(1).into()),
    }
}

fn add_demo_data() -> Result<()> {
    let config = Config::from_environment()?;
    if config.environment == Environment::Production {
        drop(writeln!(std::io::stderr(), "thunder: refused: demo data has no place in production"));
        return Err(Stopped(9).into());
    }
    let seeded = Runtime::new()?.block_on(async {
        let mut connection = migrations::connect(&config).await?;
        seed::run(&mut connection).await
    })?;
    if seeded.programs == 0 {
        return print("the demo data is already there\n");
    }
    print(&format!("added {} programs and {} reports\n", seeded.programs, seeded.reports))
}

fn describe(json: bool) -> Result<()> {
    if json {
        return print_json(&json!({ "schema_version": 1, "settings": SETTINGS }));
    }
    let bold = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut text = String::new();
    for setting in SETTINGS {
        let need = match (setting.required, setting.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) if !default.is_empty() => format!("default {default}"),
            (false, _) => "optional".to_owned(),
        };
        let secret = if setting.secret { ", secret" } else { "" };
        text.push_str(&format!("{}{}{} ({need}{secret})\n    {}\n", bold.0, setting.name, bold.1, setting.description));
    }
    print(&text)
}
