//! The arguments of the set-up tasks.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Confirm, Environment, Json};

/// `doctor`
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 3 if the stack could not start.

Examples:
  cargo xtask doctor
  cargo xtask doctor --json | jq '.checks[] | select(.status != \"ok\")'")]
pub struct Doctor {
    #[command(flatten)]
    pub output: Json,
}

/// `env`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask env init --add-missing
  cargo xtask env check
  cargo xtask env show
  cargo xtask env diff --environment staging")]
pub struct Env {
    /// Which of them
    #[command(subcommand)]
    pub command: EnvCommand,
}

/// `env …`
#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// Make .env.docker from .env.docker.example, with generated secrets (mode 0600)
    Init {
        /// Replace the file if there is one; the old one is kept as .env.docker.old
        #[arg(long)]
        force: bool,
        /// Add the settings that the file lacks, as the example has them
        #[arg(long, conflicts_with = "force")]
        add_missing: bool,
    },
    /// Compare .env.docker with .env.docker.example
    Check(Json),
    /// Show the settings and the ports in use; secrets as ***
    #[command(after_help = "\
Examples:
  cargo xtask env show
  set -a; source <(cargo xtask env show --reveal); set +a; cargo run")]
    Show {
        /// Show secrets too
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        output: Json,
    },
    /// Compare the names of variables with those of an environment; exits with 3 if one that is needed is missing there
    #[command(after_help = "\
Asks for names only: no value leaves the environment.

Examples:
  cargo xtask env diff --environment staging
  cargo xtask env diff --file .env.production --json")]
    Diff(EnvDiff),
    /// Set variables of an environment from a file, in one request and without a deployment
    #[command(after_help = "\
The values go through stdin, and appear in no argument and no output. Variables that the file does not name stay as \
they are.

Examples:
  cargo xtask env push --environment staging
  cargo xtask env push --file secrets.env --confirm production")]
    Push(EnvPush),
}

/// `env diff`
#[derive(Debug, Args)]
pub struct EnvDiff {
    #[command(flatten)]
    pub to: Environment,
    /// Which service, where infra/railway.json declares several
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// The file to compare with; .env.NAME of the environment, if it is there
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub output: Json,
}

/// `env push`
#[derive(Debug, Args)]
pub struct EnvPush {
    #[command(flatten)]
    pub to: Environment,
    #[command(flatten)]
    pub confirm: Confirm,
    /// Which service, where infra/railway.json declares several
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// The file with the values; .env.NAME of the environment, if left out
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `completions`
#[derive(Debug, Args)]
#[command(after_help = "\
cargo cannot complete the words after an alias. The completions are for the binary, or for a shell alias that you \
name with --name. --install writes them where the shell looks for them, and prints that path.

Examples:
  alias x='cargo xtask'; cargo xtask completions bash --name x --install
  cargo xtask completions zsh --name x > ~/.zfunc/_x
  cargo xtask completions fish --name x --install")]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
    /// The name that is typed
    #[arg(long, default_value = "xtask")]
    pub name: String,
    /// Write them to the file in which the shell looks for them, instead of to stdout
    #[arg(long)]
    pub install: bool,
}
