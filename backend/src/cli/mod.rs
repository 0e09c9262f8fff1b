//! The command line of `thunder`: the server, and everything that operating it needs.
//!
//! It is part of the library, and the binary only calls it: what a binary holds is compiled after the library
//! and not beside it, each time that anything changes.

mod config;
mod connected;
mod healthcheck;
mod migrate;
mod output;
mod seed;
mod smoke;
mod user;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError};
use crate::migrations::{Left, MigrationError};
use crate::seed::Busy;
use crate::server::End;
use crate::{boot, connect, logging};

/// Thunder Security's API. Settings come from the environment; `thunder config` describes them.
#[derive(Parser)]
#[command(name = "thunder", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed · 2 usage · 3 a setting is wrong or missing · 4 unhealthy or timed out
            5 migrations pending, empty or altered · 6 somebody else is migrating or seeding · 9 refused";

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM (what happens without a command); exits with 4 when requests had to be cut off
    Serve,
    /// Apply pending migrations, or say where they stand
    Migrate(migrate::Arguments),
    /// Ask a running server whether it is healthy; for container health checks
    Healthcheck(healthcheck::Arguments),
    /// Walk through a running service as a client
    Smoke(smoke::Arguments),
    /// Add demo data where it is missing
    Seed(seed::Arguments),
    /// Make the first administrator, and other users without a mail
    User(user::Arguments),
    /// Describe every setting, or check those of this environment
    Config(config::Arguments),
}

/// A command's end with this exit code, where everything was said already.
#[derive(Debug)]
struct Stopped(u8);

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Stopped {}

/// What is not done in this environment, and why.
#[derive(Debug)]
struct Refused(&'static str);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Two providers in the dependency graph would panic at the first connection; naming ours makes that impossible.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return fail(&anyhow::anyhow!("a TLS provider was already installed"));
    }
    let outcome = run(cli.command.unwrap_or(Command::Serve));
    logging::finish();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve => match boot::serve(Config::from_environment()?)? {
            End::Drained => Ok(()),
            End::TimedOut => Err(Stopped(4).into()),
        },
        Command::Migrate(arguments) => migrate::run(arguments),
        Command::Healthcheck(arguments) => healthcheck::run(arguments),
        Command::Smoke(arguments) => smoke::run(&arguments),
        Command::Seed(arguments) => seed::run(&arguments),
        Command::User(arguments) => user::run(arguments),
        Command::Config(arguments) => config::run(&arguments),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(Stopped(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    // There is nobody left to tell when stderr is closed.
    drop(writeln!(std::io::stderr(), "thunder: {error:#}"));
    ExitCode::from(exit_code(error))
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() {
        return 3;
    }
    if error.is::<Refused>() {
        return 9;
    }
    if error.is::<Busy>() {
        return 6;
    }
    if connect::is_away(error) {
        return 4;
    }
    match error.downcast_ref::<MigrationError>() {
        Some(error) if error.is_of_a_lost_connection() => 4,
        Some(MigrationError::Locked { .. }) => 6,
        Some(
            MigrationError::Diverged(_)
            | MigrationError::OutOfOrder { .. }
            | MigrationError::Empty(_)
            | MigrationError::Pending(_)
            | MigrationError::NothingToRedo(_)
            | MigrationError::NotReverted { .. }
            | MigrationError::HalfDone { .. }
            | MigrationError::Failed { left: Left::Changed { .. }, .. },
        ) => 5,
        Some(
            MigrationError::NotApplied(_)
            | MigrationError::NotAltered(_)
            | MigrationError::ChangedMeanwhile(_)
            | MigrationError::Failed { .. }
            | MigrationError::Database(_),
        )
        | None => 1,
    }
}
