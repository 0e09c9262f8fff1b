//! What git tells of the checkout: its commit, and which migrations no commit has.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::product::MIGRATIONS;
use crate::runner::Output;
use crate::step::Step;
use crate::tool::git;

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
    match context.runner.read(&git::committed_files(root, MIGRATIONS)) {
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
    let output = context.runner.read(&git::committed_files(context.project.root(), MIGRATIONS)).ok()?;
    output.is_success().then(|| versions(output.stdout.lines()))
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
}
