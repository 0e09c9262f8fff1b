//! The image that ships: its name, and how it is built.

use std::path::Path;

use crate::checkout;
use crate::context::Context;
use crate::product::SLUG;
use crate::step::Step;
use crate::tool::{compose, docker, git};

/// What images are built by.
pub const DOCKERFILE: &str = "infra/Dockerfile";

/// The image of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name with its tag.
    pub tag: String,
    /// The version in its labels.
    pub version: String,
    /// The commit in its labels, with `-dirty` where files differ from it.
    pub revision: String,
    /// Where its source is, in its labels; empty where the checkout has no remote.
    pub source: String,
}

impl Image {
    /// The image of what is checked out, under a tag of its version and commit or under another.
    pub fn of(context: &Context, tag: Option<&str>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let revision = checkout::commit(context);
        let source = context.runner.read(&git::remote(context.project.root())).unwrap_or_default().stdout;
        let tag = tag.map_or_else(|| format!("{SLUG}:{}", tag_of(&version, &revision)), str::to_owned);
        Self { tag, version, revision, source: without_credentials(source.trim()) }
    }

    /// Whether it was made of files that no commit has.
    pub fn is_dirty(&self) -> bool {
        self.revision.ends_with("-dirty")
    }

    /// Builds it from the checkout.
    pub fn build(&self, context: &Context, no_cache: bool, pull: bool) -> Step {
        self.build_in(context.project.root(), DOCKERFILE, no_cache, pull)
    }

    /// Builds it from a folder, by a Dockerfile in it.
    pub fn build_in(&self, folder: &Path, dockerfile: &str, no_cache: bool, pull: bool) -> Step {
        let arguments = [("VERSION", &self.version), ("REVISION", &self.revision), ("SOURCE", &self.source)];
        docker::build(folder, dockerfile, &self.tag, "production", &arguments, no_cache, pull)
    }
}

/// How far a build is, in a line of its output.
pub fn progress(line: &str) -> Option<String> {
    compose::progress(line)
}

/// Version and the commit's first twelve digits.
fn tag_of(version: &str, revision: &str) -> String {
    let (commit, dirty) = match revision.strip_suffix("-dirty") {
        Some(commit) => (commit, "-dirty"),
        None => (revision, ""),
    };
    format!("{version}-{}{dirty}", commit.chars().take(12).collect::<String>())
}

/// An address without the user and the password that may stand in it.
fn without_credentials(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        // A folder of this machine says nothing to anybody else.
        None if address.contains('@') => address.to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_says_version_commit_and_whether_it_is_really_that() {
        assert_eq!(tag_of("0.1.0", "0123456789abcdef"), "0.1.0-0123456789ab");
        assert_eq!(tag_of("0.1.0", "0123456789abcdef-dirty"), "0.1.0-0123456789ab-dirty");
    }

    #[test]
    fn no_credentials_and_no_folders_come_into_the_labels() {
        assert_eq!(without_credentials("https://me:token@example.com/x/y.git"), "https://example.com/x/y.git");
        assert_eq!(without_credentials("git@example.com:x/y.git"), "git@example.com:x/y.git");
        assert_eq!(without_credentials("/home/me/project"), "");
    }
}
