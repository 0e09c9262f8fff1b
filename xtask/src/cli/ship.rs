//! The arguments of the tasks that build and ship.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Json;
use crate::product::{PRODUCTION, SLUG};
use crate::stack::detect::EngineChoice;
use crate::stack::servers::Origin;

/// `build-prod`
#[derive(Debug, Args)]
#[command(after_help = format!("\
Fails on an image that is too large, runs as root, or holds a shell, a secret or a key. The image's tag is version \
and commit.

Examples:
  cargo xtask build-prod
  cargo xtask build-prod --tag registry.example.com/{SLUG}:1 --push
  cargo xtask build-prod --json | jq .size_bytes"))]
pub struct BuildProd {
    /// Another name than the product's with version and commit
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,
    /// Push it to the registry in its name
    #[arg(long)]
    pub push: bool,
    /// Build every layer again
    #[arg(long)]
    pub no_cache: bool,
    /// Ask the registry for newer base images
    #[arg(long)]
    pub pull: bool,
    #[command(flatten)]
    pub output: Json,
}

/// Which environment of which project.
#[derive(Debug, Args)]
pub struct Environment {
    /// The environment's name at Railway
    #[arg(short, long, default_value = PRODUCTION, value_name = "NAME")]
    pub environment: String,
    /// The project's id; needed unless `RAILWAY_TOKEN` or infra/railway.json says it
    #[arg(long, value_name = "ID")]
    pub project: Option<String>,
}

/// What says that production is meant.
#[derive(Debug, Args)]
pub struct Confirm {
    /// The environment's name, instead of typing it: for CI
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

/// `deploy`
#[derive(Debug, Args)]
#[command(after_help = format!("\
Comes back with 0 only when this commit answers in the environment and works. Exits with 3, 5, 6 or 9 if something is \
in the way and nothing was changed, with 7 if it failed and the version before is still live, with 8 if it was live, \
failed, and the version before was put back. A dry run asks everything and changes nothing.

Examples:
  cargo xtask deploy --environment staging
  cargo xtask deploy --dry-run
  cargo xtask deploy --confirm production --json --receipt receipt.json
  cargo xtask deploy --environment staging --unlock
  cargo xtask deploy --image ghcr.io/acme/{SLUG} --confirm production
  cargo xtask deploy --preview pr-12
  cargo xtask deploy --preview pr-12 --remove --confirm pr-12
  cargo xtask deploy --rehearse
  cargo xtask deploy --rehearse --remove"))]
pub struct Deploy {
    #[command(flatten)]
    pub to: Environment,
    #[command(flatten)]
    pub confirm: Confirm,
    /// Verify at this address instead of at the service's own domain
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Build, inspect and boot the image here, push it to this repository, and have the service run its digest
    #[arg(long, value_name = "REGISTRY/NAME", conflicts_with = "allow_dirty")]
    pub image: Option<String>,
    #[command(flatten)]
    pub preview: Preview,
    /// Watch the share of 5xx for so long after the switch; 0s leaves it out
    #[arg(long, default_value = "2m", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub watch: Duration,
    /// How long each service may take to be built and to serve
    #[arg(long, default_value_t = 1800, value_name = "SECONDS")]
    pub timeout: u64,
    /// How long to wait for another deploy to the same environment
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub lock_timeout: u64,
    /// Write what came of it into this file, for CI to keep
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// Give back the lock that a killed deploy has left, and do nothing else
    #[arg(long)]
    pub unlock: bool,
    #[command(flatten)]
    pub output: Json,
}

/// Another place than an environment that is there: one for a change that is not merged yet, or this machine.
#[derive(Debug, Args)]
pub struct Preview {
    /// Deploy to a preview environment of this name, which is made where it is not there
    #[arg(long = "preview", id = "preview", value_name = "NAME", group = "removable", conflicts_with = "environment")]
    pub name: Option<String>,
    /// Go through the same phases on this machine, in containers of its own, without an account
    #[arg(long, group = "removable", conflicts_with_all = ["environment", "project", "image", "url"])]
    pub rehearse: bool,
    /// Which environment a preview is a copy of
    #[arg(long, value_name = "NAME", default_value = "staging", requires = "preview")]
    pub from: String,
    /// Remove the preview environment or all of the rehearsal with its data, and do nothing else
    #[arg(long, requires = "removable")]
    pub remove: bool,
}

/// What a deploy does although preflight would refuse it.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Overrides {
    /// Deploy files that are in no commit, or a commit that no remote has
    #[arg(long)]
    pub allow_dirty: bool,
    /// Deploy a commit that was put back before
    #[arg(long)]
    pub again: bool,
    /// Deploy a commit that lacks migrations which the live version has
    #[arg(long)]
    pub older: bool,
    /// Go without a backup where a migration rules out a way back
    #[arg(long)]
    pub without_backup: bool,
}

/// `rollback`
#[derive(Debug, Args)]
#[command(after_help = "\
Goes back to a deployment whose image Railway still keeps, with the variables that it had, and sees that it answers. \
Refuses where migrations came since that it cannot go on with.

Examples:
  cargo xtask rollback --list
  cargo xtask rollback --environment staging
  cargo xtask rollback --to 4f1c2d3e-0000-4000-8000-000000000000 --confirm production")]
pub struct Rollback {
    #[command(flatten)]
    pub environment: Environment,
    #[command(flatten)]
    pub confirm: Confirm,
    /// The deployment's id, or its commit; the newest that was live before, if left out
    #[arg(long, value_name = "ID")]
    pub to: Option<String>,
    /// Which service, where infra/railway.json declares several
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Go back in the rehearsal on this machine
    #[arg(long, conflicts_with_all = ["environment", "project", "url"])]
    pub rehearse: bool,
    /// Show what can be gone back to, and do nothing
    #[arg(long)]
    pub list: bool,
    /// Go back although nobody knows whether that version can live with the schema
    #[arg(long)]
    pub without_check: bool,
    /// Ask this address for its health instead of the service's own domain
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// How long to wait for another deploy to the same environment
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub lock_timeout: u64,
    #[command(flatten)]
    pub output: Json,
}

/// `releases`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask releases
  cargo xtask releases --environment staging --json | jq '.releases[0]'")]
pub struct Releases {
    #[command(flatten)]
    pub to: Environment,
    /// What was rehearsed on this machine
    #[arg(long, conflicts_with_all = ["environment", "project"])]
    pub rehearse: bool,
    #[command(flatten)]
    pub output: Json,
}

/// `ci`
#[derive(Debug, Args)]
#[command(after_help = "\
Without a part it runs all of them in their order, and stops at the first that fails.

Examples:
  cargo xtask ci
  cargo xtask ci journey --servers portable
  cargo xtask ci journey --engine docker")]
pub struct Ci {
    /// check, systems, test, journey, renamed, ship, rehearse; all, if none is named
    #[arg(value_name = "PART", value_enum)]
    pub parts: Vec<CiPart>,
    /// What runs the journey's stack
    #[arg(long, value_enum, default_value = "host")]
    pub engine: EngineChoice,
    /// Which PostgreSQL and Redis
    #[arg(long, value_enum, default_value_t)]
    pub servers: Origin,
}

/// A part of `ci`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum CiPart {
    /// What `cargo xtask check` does
    Check,
    /// Type-check xtask for macOS and Windows
    Systems,
    /// What `cargo xtask test` does
    Test,
    /// Take a fresh clone of HEAD from `up` to `clean`, killing every service on the way
    Journey,
    /// Give the product another name in a fresh clone of HEAD, by the files that docs/adopting.md names, and bring it up
    Renamed,
    /// Deploy with the real Railway CLI to a Railway that is played
    Ship,
    /// Rehearse deployments of two versions in turn under load, and of versions that fail, in containers
    Rehearse,
}
