//! The arguments of the tasks that build and ship.

use clap::{Args, ValueEnum};

use super::Json;
use crate::product::SLUG;
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

/// `ci`
#[derive(Debug, Args)]
#[command(after_help = "\
Without a part it runs all of them in their order, and stops at the first that fails.

Examples:
  cargo xtask ci
  cargo xtask ci journey --servers portable
  cargo xtask ci journey --engine docker")]
pub struct Ci {
    /// check, systems, test, journey; all, if none is named
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
}
