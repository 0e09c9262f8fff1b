//! The image that ships: built, checked against the policy, and booted as production boots it.

pub mod boot;
pub mod build;
pub mod contents;
pub mod policy;

pub use self::build::{DOCKERFILE, Image, progress};

use anyhow::Result;

use crate::runner::{self, Runner};
use crate::tool::docker;

/// Whether an image of that name is there. A daemon that does not answer is an error, and not a "no".
pub fn is_present(runner: &dyn Runner, name: &str) -> Result<bool> {
    Ok(!runner::lines(runner, &docker::images_named(name))?.is_empty())
}
