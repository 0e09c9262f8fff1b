//! The arguments of the database's tasks.

use clap::{Args, Subcommand};

use super::Json;

/// `migrate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask migrate
  cargo xtask migrate add report_severity
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
    /// Show every migration; exits with 5 unless all are applied
    Status(Json),
}
