//! The arguments of the database's tasks.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Json;

/// `migrate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask migrate
  cargo xtask migrate add report_severity
  cargo xtask migrate lint
  cargo xtask migrate status --json")]
pub struct Migrate {
    /// Apply what is pending, if left out
    #[command(subcommand)]
    pub command: Option<MigrateCommand>,
}

/// `migrate …`
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply what is pending
    Run,
    /// Write the two files of a new migration; its version is the current time
    #[command(after_help = "\
Examples:
  cargo xtask migrate add report_severity
  cargo xtask migrate add 'index reports by program'")]
    Add {
        /// What it does, in a few words
        name: String,
    },
    /// Revert the newest migration with its down file as it was applied, then apply it again; its data is lost
    Redo {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Find what a migration would do to a database that is in use
    Lint(Lint),
    /// Show every migration; exits with 5 unless all are applied
    Status(Json),
}

/// `migrate lint`
#[derive(Debug, Args)]
#[command(after_help = "\
Finds long locks, rewrites of tables, and changes that break the version that still runs. Asks no database. Exits \
with 1 if it finds something. A comment above a statement accepts a finding: -- accept RULE: reason.

Examples:
  cargo xtask migrate lint
  cargo xtask migrate lint draft.sql --json")]
pub struct Lint {
    /// Scripts to lint; every migration since linting began, if none is named
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub output: Json,
}
