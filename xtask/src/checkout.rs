//! What git tells of the checkout: its commit, and which migrations no commit has.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::product::MIGRATIONS;
use crate::runner::Output;
use crate::step::Step;
use crate::tool::git;

/// What git calls the commit that is checked out.
const HEAD: &str = "HEAD";

/// The commit that is checked out, with `-dirty` where files differ from it.
pub fn commit(context: &Context) -> String {
    let root = context.project.root();
    let ask = |step: &Step| context.runner.read(step).ok().filter(Output::is_success);
    let Some(head) = ask(&git::head(root)) else { return "unknown".to_owned() };
    let is_dirty = ask(&git::changes(root)).is_none_or(|changes| !changes.stdout.trim().is_empty());
    format!("{}{}", head.stdout.trim(), if is_dirty { "-dirty" } else { "" })
}

/// The versions of the migrations that are in no commit: they may still change. None where git does not answer.
pub fn drafts(context: &Context) -> Vec<String> {
    let root = context.project.root();
    match context.runner.read(&git::files_of(root, HEAD, MIGRATIONS)) {
        Ok(output) if output.is_success() => drafts_beside(root, &versions(output.stdout.lines())).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The versions of the migrations in the folder that are not among the committed ones.
pub fn drafts_beside(root: &Path, committed: &[String]) -> Result<Vec<String>> {
    let folder = root.join(MIGRATIONS);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let mut drafts = versions(names.iter().map(String::as_str));
    drafts.retain(|version| !committed.contains(version));
    Ok(drafts)
}

/// The versions of the committed migrations; none where git does not answer.
pub fn committed_migrations(context: &Context) -> Option<Vec<String>> {
    migrations_at(context, HEAD)
}

/// The versions of the migrations that a commit has; none where git does not know it.
pub fn migrations_at(context: &Context, commit: &str) -> Option<Vec<String>> {
    // A hash may come from a server, and one that begins with a dash would be an option.
    let is_name = commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let output = is_name.then(|| context.runner.read(&git::files_of(context.project.root(), commit, MIGRATIONS)));
    let output = output?.ok()?;
    output.is_success().then(|| versions(output.stdout.lines()))
}

/// The versions of the migrations that the origin has, as far as was fetched; none where it is not known.
pub fn shared_migrations(context: &Context) -> Vec<String> {
    let output = context.runner.read(&git::shared_files(context.project.root(), MIGRATIONS));
    let output = output.ok().filter(Output::is_success);
    output.map(|output| versions(output.stdout.lines())).unwrap_or_default()
}

/// The versions in the names of migrations, each once.
fn versions<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let version = |name: &'a str| {
        let name = name.rsplit('/').next().unwrap_or(name);
        let version = name.strip_suffix(".up.sql")?.split('_').next()?;
        (!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())).then(|| version.to_owned())
    };
    let mut versions: Vec<String> = names.filter_map(version).collect();
    versions.sort();
    versions.dedup();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_migrations_are_in_their_names() {
        let names =
            ["backend/migrations/20260102000000_b.up.sql", "20260101000000_a.up.sql", "20260101000000_a.down.sql"];
        assert_eq!(versions(names.into_iter()), ["20260101000000", "20260102000000"]);
        assert_eq!(versions(["README.md", "x_y.up.sql"].into_iter()), Vec::<String>::new());
    }

    /// A checkout with two migrations, of which git answers like this.
    fn migrations(committed: crate::runner::Output) -> crate::fixture::Fixture {
        let fixture = crate::fixture::Fixture::new(&[]);
        for name in ["20260101000000_a.up.sql", "20260101000000_a.down.sql", "20260102000000_b.up.sql", "README.md"] {
            fixture.write(&format!("{MIGRATIONS}/{name}"), "");
        }
        fixture.runner.on("git ls-tree", committed);
        fixture
    }

    #[test]
    fn a_migration_that_no_commit_has_is_a_draft_and_where_git_is_silent_none_is() {
        let says = crate::runner::says;
        let first = "backend/migrations/20260101000000_a.up.sql\n";
        let fixture = migrations(says(first));
        assert_eq!(drafts(&fixture.context), ["20260102000000"]);
        assert_eq!(committed_migrations(&fixture.context).unwrap(), ["20260101000000"]);
        let fixture = migrations(says(""));
        assert_eq!(drafts(&fixture.context), ["20260101000000", "20260102000000"]);
        let fixture = migrations(crate::runner::fails(128, "fatal: not a git repository"));
        assert_eq!(drafts(&fixture.context), [""; 0], "what may have been applied elsewhere is no draft");
        assert_eq!(committed_migrations(&fixture.context), None);
        let fixture = migrations(says(first));
        for commit in ["--output=x", "a b", "../x"] {
            assert_eq!(migrations_at(&fixture.context, commit), None);
        }
        assert_eq!(fixture.runner.asked(), [""; 0], "what is no name of a commit is no argument");
        let fixture = crate::fixture::Fixture::new(&[]);
        assert_eq!(drafts(&fixture.context), [""; 0]);
        assert_eq!(committed_migrations(&fixture.context), None);
    }

    #[test]
    fn a_commit_is_clean_only_where_git_says_so() {
        let (says, fails) = (crate::runner::says, crate::runner::fails);
        for (changes, expected) in [(says(""), "abc"), (says("?? x\n"), "abc-dirty"), (fails(128, "no"), "abc-dirty")] {
            let fixture = crate::fixture::Fixture::new(&[]);
            fixture.runner.on("git rev-parse", says("abc\n")).on("git status", changes);
            assert_eq!(commit(&fixture.context), expected);
        }
        assert_eq!(commit(&crate::fixture::Fixture::new(&[]).context), "unknown");
    }
}
