//! Whether what is checked out can be released.

use super::super::Release;
use super::Finding;
use crate::failure::Exit;
use crate::plan::Access;
use crate::runner::Output;
use crate::step::Step;
use crate::tool::git;

/// A release is of a commit that others can look at.
pub fn look(release: &Release, access: &Access<'_>) -> Vec<Finding> {
    let root = access.context.project.root();
    let ask = |step: &Step| access.runner.read(step).ok().filter(Output::is_success);
    if release.request.allow_dirty {
        return Vec::new();
    }
    let mut findings = Vec::new();
    match ask(&git::changes(root)) {
        None => findings.push(
            Finding::new(Exit::Missing, "git does not say what is checked out").hint("run it inside of a git checkout"),
        ),
        Some(changes) if !changes.stdout.trim().is_empty() => {
            let count = changes.stdout.lines().count();
            let names: Vec<&str> = changes.stdout.lines().filter_map(|line| line.get(3..)).take(5).collect();
            let what = format!("{count} files differ from the commit: {}", names.join(", "));
            findings.push(Finding::new(Exit::Refused, what).hint("git commit, or --allow-dirty"));
        }
        Some(_) => {}
    }
    if !release.target.is_shared() {
        return findings;
    }
    let branches = ask(&git::remote_branches(root)).unwrap_or_default();
    if branches.stdout.trim().is_empty() {
        let what = format!("{} is on no branch of a remote: nobody else could look at it", release.commit.id);
        findings.push(Finding::new(Exit::Refused, what).hint("git push, or --allow-dirty"));
    }
    findings
}
