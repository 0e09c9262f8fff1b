//! git.

use std::path::Path;

use anyhow::Result;

use crate::runner::Output;
use crate::step::Step;

fn step(purpose: &str, root: &Path) -> Step {
    Step::new(purpose, "git").arg("-C").arg(root).only_reads()
}

/// Asks for the commit that is checked out.
pub fn head(root: &Path) -> Step {
    step("ask git for the commit", root).args(["rev-parse", "--short=12", "HEAD"])
}

/// Asks for changes that are in no commit.
pub fn changes(root: &Path) -> Step {
    step("ask git for changes", root).args(["status", "--porcelain"])
}

/// Asks for the files that are tracked, or could be.
pub fn files(root: &Path) -> Step {
    step("ask git for files", root).args(["ls-files", "--cached", "--others", "--exclude-standard"])
}

/// Asks for the tracked files with a line of that pattern.
pub fn files_with(root: &Path, pattern: &str) -> Step {
    step("ask git for files", root).args(["grep", "--files-with-matches", "-I", "-E", pattern])
}

/// The answer to [`files_with`]: git ends with 1 where no file has such a line.
pub fn parse_files_with(output: &Output) -> Result<Vec<String>> {
    match output.code {
        Some(0 | 1) => Ok(output.stdout.lines().map(str::to_owned).collect()),
        _ => anyhow::bail!("git does not tell its files: {}", output.stderr.trim()),
    }
}

/// Asks where the checkout came from.
pub fn remote(root: &Path) -> Step {
    step("ask git for the origin", root).args(["remote", "get-url", "origin"])
}

/// Asks for git's version.
pub fn version() -> Step {
    Step::new("ask for the version of git", "git").arg("--version").only_reads()
}

/// Copies what is committed into a new folder.
pub fn clone(root: &Path, into: &Path) -> Step {
    Step::new("clone the checkout", "git").args(["clone", "--quiet", "--no-hardlinks"]).arg(root).arg(into)
}
