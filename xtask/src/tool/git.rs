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

/// Asks for the files below a folder that the branch has which others start from.
pub fn shared_files(root: &Path, folder: &str) -> Step {
    step("ask git for files of the origin", root).args([
        "ls-tree",
        "-r",
        "--name-only",
        "refs/remotes/origin/HEAD",
        "--",
        folder,
    ])
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

/// Asks for the first line of the message of the commit that is checked out.
pub fn subject(root: &Path) -> Step {
    step("ask git for the commit's message", root).args(["log", "-1", "--format=%s"])
}

/// Asks for the branches of remotes that have the commit which is checked out.
pub fn remote_branches(root: &Path) -> Step {
    step("ask git where the commit is", root).args(["branch", "--remotes", "--contains", "HEAD"])
}

/// Asks for what differs from the commit that is checked out, in files that git tracks.
pub fn differences(root: &Path) -> Step {
    step("ask git for differences", root).args(["diff", "--no-color", "--no-ext-diff", "HEAD"])
}

/// Asks for the files below a folder that a commit has.
pub fn files_of(root: &Path, commit: &str, folder: &str) -> Step {
    step("ask git for the files of a commit", root).args(["ls-tree", "-r", "--name-only", commit, "--", folder])
}

/// Asks for the tracked files below these paths.
pub fn tracked_files(root: &Path, paths: &[String]) -> Step {
    step("ask git for tracked files", root).args(["ls-files", "--cached", "-z", "--"]).args(paths)
}

/// Asks for the name of whoever commits here.
pub fn user(root: &Path) -> Step {
    step("ask git who this is", root).args(["config", "user.name"])
}

/// Asks for git's version.
pub fn version() -> Step {
    Step::new("ask for the version of git", "git").arg("--version").only_reads()
}

/// Copies what is committed into a new folder.
pub fn clone(root: &Path, into: &Path) -> Step {
    Step::new("clone the checkout", "git").args(["clone", "--quiet", "--no-hardlinks"]).arg(root).arg(into)
}

/// Commits everything that lies in a checkout which is only there for a while, also where nothing differs.
pub fn commit_all(root: &Path, message: &str) -> Step {
    let who = ["-c", "user.name=xtask", "-c", "user.email=xtask@localhost", "-c", "commit.gpgsign=false"];
    step("commit everything", root).args(who).args([
        "commit",
        "--quiet",
        "--all",
        "--allow-empty",
        "--message",
        message,
    ])
}

/// Goes to another commit.
pub fn switch_to(root: &Path, commit: &str) -> Step {
    step("go to another commit", root).args(["checkout", "--quiet", "--detach", commit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::{fails, says};

    #[test]
    fn no_file_with_such_a_line_is_an_answer_and_a_broken_git_is_none() {
        assert_eq!(parse_files_with(&says("a\nb c\n")).unwrap(), ["a", "b c"]);
        assert!(parse_files_with(&fails(1, "")).unwrap().is_empty());
        let error = parse_files_with(&fails(128, "fatal: not a git repository\n")).unwrap_err();
        assert_eq!(error.to_string(), "git does not tell its files: fatal: not a git repository");
        assert!(parse_files_with(&Output::default()).is_err(), "ended by a signal");
    }

    #[test]
    fn git_is_only_asked_and_always_about_that_checkout() {
        let root = Path::new("/a b");
        let cases = [
            (head(root), "rev-parse --short=12 HEAD"),
            (changes(root), "status --porcelain"),
            (files(root), "ls-files --cached --others --exclude-standard"),
            (files_of(root, "HEAD", "backend/migrations"), "ls-tree -r --name-only HEAD -- backend/migrations"),
            (files_with(root, "^#!"), "grep --files-with-matches -I -E '^#!'"),
            (remote(root), "remote get-url origin"),
        ];
        for (step, words) in cases {
            assert_eq!(step.to_string(), format!("git -C '/a b' {words}"));
            assert!(step.is_read_only(), "{words}");
        }
        assert!(!clone(root, Path::new("/c")).is_read_only());
    }
}
