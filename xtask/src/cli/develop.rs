//! The arguments of the tasks for daily work on the code.

use clap::{Args, ValueEnum};

use super::{Json, Locked, Ready, Servers};
use crate::stack::detect::EngineChoice;
use crate::stack::servers::Origin;

/// `watch`
#[derive(Debug, Args)]
#[command(after_help = "\
`up` watches in the background. `watch` does so in the foreground: it shows the builds and the backend's log until \
Ctrl-C, which stops what it has started. The old backend serves until the new one is ready. After a compile error the \
old backend keeps serving, and `status` shows the error.

Examples:
  cargo xtask watch
  cargo xtask watch --poll            # for shared folders that do not report changes
  cargo xtask watch --engine docker   # in containers")]
pub struct Watch {
    #[command(flatten)]
    pub servers: Servers,
    /// Scan for changes at intervals, where the file system does not report them
    #[arg(long)]
    pub poll: bool,
    #[command(flatten)]
    pub ready: Ready,
    #[command(flatten)]
    pub lock: Locked,
}

/// `test`
#[derive(Debug, Args)]
#[command(after_help = "\
Each test that needs a database gets a copy of one that was migrated once. Tests run with cargo-nextest if it is \
installed. Arguments after -- go unchanged to it, or to cargo test.

Examples:
  cargo xtask test
  cargo xtask test backend
  cargo xtask test -- reports             # tests with this word in their name
  cargo xtask test backend -- --no-capture
  cargo xtask test --servers portable")]
pub struct Test {
    /// Whose tests; both packages', if none is named
    #[arg(value_enum)]
    pub package: Option<TestPackage>,
    #[command(flatten)]
    pub servers: Servers,
    /// Arguments for cargo nextest run, or cargo test
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// A package that has tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TestPackage {
    /// The API
    Backend,
    /// The automation itself
    Xtask,
}

/// `check`
#[derive(Debug, Args)]
#[command(after_help = "\
Makes every check, also after one has failed. A check that was skipped is not a check that passed.

Examples:
  cargo xtask check
  cargo xtask check --fix")]
pub struct Check {
    /// Correct the formatting and the generated files
    #[arg(long)]
    pub fix: bool,
}

/// `smoke`
#[derive(Debug, Args)]
#[command(after_help = "\
With the service's HEALTH_TOKEN in the environment the walk also signs in, as temporary users that it makes and removes.
The local stack's is taken from its settings.

Examples:
  cargo xtask smoke
  HEALTH_TOKEN=... cargo xtask smoke --url https://api.example.com --json")]
pub struct Smoke {
    /// The service's address; the local stack's, if left out
    #[arg(long)]
    pub url: Option<String>,
    #[command(flatten)]
    pub output: Json,
}

/// `bench`
#[derive(Debug, Args)]
#[command(after_help = "\
Prints medians, spread and ratios. It never fails because something is slow.

Examples:
  cargo xtask bench stack
  cargo xtask bench stack --engine docker
  cargo xtask bench image --runs 3 --json
  cargo xtask bench reload
  cargo xtask bench database")]
pub struct Bench {
    /// What to measure
    #[arg(value_enum, default_value_t)]
    pub what: BenchWhat,
    /// How many runs the medians are of; 5 for the stack and the backend, 3 for the database, 1 for the image, 30 for reloads
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100), value_name = "N")]
    pub runs: Option<u16>,
    /// Which engine's stack
    #[arg(long, value_enum, default_value = "host")]
    pub engine: EngineChoice,
    /// Which PostgreSQL and Redis
    #[arg(long, value_enum, default_value_t)]
    pub servers: Origin,
    #[command(flatten)]
    pub output: Json,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum BenchWhat {
    /// xtask's build, its overhead, and `up` from nothing and with data
    #[default]
    Stack,
    /// Builds of the image that ships, its size, start and memory
    Image,
    /// From an edit to the first answer that shows it, and 200 reloads under load
    Reload,
    /// Resets, migrations and checks, and a million rows added, saved and restored; takes minutes
    Database,
    /// Requests to a release build, beside bare handlers that do the same queries, and its memory
    Backend,
    /// Rehearsed deployments: from the command until it is verified, the switch, and what of it is ours
    Deploy,
}

/// `seed`
#[derive(Debug, Args)]
#[command(after_help = "\
Repeated, it adds what is missing.

Examples:
  cargo xtask seed
  cargo xtask seed --reports 1000000")]
pub struct Seed {
    /// Besides, bring the reports that are made for work on performance to this number
    #[arg(long, value_name = "N")]
    pub reports: Option<u64>,
}
