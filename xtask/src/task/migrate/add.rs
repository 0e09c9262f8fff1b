//! `migrate add`: the files of a new migration, and newer names for those that came too late.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use super::status::{self, Entry};
use crate::checkout;
use crate::cli::MigrateAdd;
use crate::context::Context;
use crate::database::migrations;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::product::MIGRATIONS;
use crate::stack::Stack;
use crate::stack::service::Service;

/// What a new migration begins with.
const UP: &str = "\
-- What this changes, and why.
--
-- The version before this one goes on running while this is applied: add what it does not know of, and take away what it
-- needs only in a later migration. Until there is a statement here, nothing is applied.
";

/// Writes a new migration, or gives those that are out of order newer names.
pub fn run(context: &Context, arguments: &MigrateAdd) -> Result<u8> {
    match &arguments.name {
        Some(name) => add(context, name),
        None => renumber(context),
    }
}

/// Writes both files of a new migration.
fn add(context: &Context, words: &str) -> Result<u8> {
    let name = name_of(words).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("{words:?} has no letters or digits to make a name of"))
            .hint("cargo xtask migrate add report_severity")
    })?;
    let folder = context.project.root().join(MIGRATIONS);
    let version = next_version(&folder)?;
    for (end, text) in [("up", UP), ("down", migrations::DOWN)] {
        let path = folder.join(format!("{version}_{name}.{end}.sql"));
        let shown = context.project.relative(&path);
        if context.dry_run {
            context.terminal.data(format!("# write {shown}"))?;
        } else {
            file::write(&path, text.as_bytes(), 0o644)?;
            context.terminal.data(shown)?;
        }
    }
    if !context.dry_run {
        context.terminal.next(
            "write the SQL into both files, then cargo xtask migrate; while the stack is up, saving the first is enough",
        );
    }
    Ok(0)
}

/// The words as they are written in a file's name.
fn name_of(words: &str) -> Option<String> {
    let parts: Vec<String> = words
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    (!parts.is_empty()).then(|| parts.join("_"))
}

/// The time, as `20261124093000`; later than every migration that is there, whatever their authors' clocks said.
fn next_version(folder: &Path) -> Result<u64> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let now: u64 = now.chars().filter(char::is_ascii_digit).collect::<String>().parse()?;
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let newest = names.filter_map(|name| name.split('_').next()?.parse::<u64>().ok()).max();
    Ok(newest.map_or(now, |newest| now.max(newest + 1)))
}

/// Puts pending migrations that are older than an applied one behind it.
fn renumber(context: &Context) -> Result<u8> {
    let (program, build) = Stack::open(context)?.program(&[Service::Postgres])?;
    let step = program.migration_status(true);
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(step)?;
        context.terminal.data("# rename the files of each migration that is out of order")?;
        return Ok(0);
    }
    build.run(context).result?;
    let entries = status::ask(context, &step)?.entries;
    let late: Vec<&Entry> = entries.iter().filter(|entry| entry.out_of_order).collect();
    if late.is_empty() {
        context.terminal.note("no migration is out of order");
        return Ok(0);
    }
    refuse_shared(context, &entries, &late)?;
    if let Some(half) = late.iter().find(|entry| entry.statements_done > 0) {
        let what = format!("{} {} is half done, under this name", half.version, half.name);
        return Err(Failure::new(Exit::Refused, what).hint("cargo xtask migrate status").into());
    }
    let folder = context.project.root().join(MIGRATIONS);
    for entry in late {
        let version = next_version(&folder)?;
        for path in migrations::files_of(&folder, entry.version)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let new = folder.join(name.replacen(&entry.version.to_string(), &version.to_string(), 1));
            std::fs::rename(&path, &new).with_context(|| format!("cannot rename {}", path.display()))?;
            context.terminal.data(format!(
                "{} -> {}",
                context.project.relative(&path),
                context.project.relative(&new)
            ))?;
        }
    }
    Ok(0)
}

/// What the origin has is applied elsewhere under its name. There the newer ones, which are only here, have to wait.
fn refuse_shared(context: &Context, entries: &[Entry], late: &[&Entry]) -> Result<()> {
    let shared = checkout::shared_migrations(context);
    let known: Vec<&&Entry> = late.iter().filter(|entry| shared.contains(&entry.version.to_string())).collect();
    let Some(first) = known.first() else { return Ok(()) };
    let before = entries.iter().rfind(|entry| entry.applied_at.is_some() && entry.version < first.version);
    let names = known.iter().map(|entry| format!("{} {}", entry.version, entry.name));
    let what = "the origin has these migrations already: other databases have them under these names";
    let failure = Failure::new(Exit::Refused, what).details(names);
    let to = before.map_or(0, |entry| entry.version);
    Err(failure.hint(format!("cargo xtask migrate revert --to {to}, then cargo xtask migrate")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[test]
    fn whoever_has_added_a_migration_is_told_what_comes_next() {
        let mut fixture = Fixture::new(&[]);
        fixture.write(&format!("{MIGRATIONS}/20260101000000_a.up.sql"), "");
        let ran = fixture.xtask(&["migrate", "add", "report severity"]).expect(0);
        assert_eq!(ran.stdout.lines().count(), 2, "stdout has the files alone: {}", ran.stdout);
        assert!(ran.stderr.starts_with("next: write the SQL") && ran.stderr.contains("cargo xtask migrate"));
        let dry = fixture.xtask(&["migrate", "add", "x", "--dry-run"]).expect(0);
        assert_eq!(dry.stderr, "");
    }

    #[test]
    fn a_name_is_made_of_the_words() {
        assert_eq!(name_of("Index reports, by program!").as_deref(), Some("index_reports_by_program"));
        assert_eq!(name_of("../x").as_deref(), Some("x"));
        assert_eq!(name_of("…"), None);
    }

    #[test]
    fn a_new_migration_comes_after_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let first = next_version(folder.path()).unwrap();
        assert!((20_260_000_000_000..30_000_000_000_000).contains(&first), "{first}");
        std::fs::write(folder.path().join("29991231235959_far.up.sql"), "").unwrap();
        assert_eq!(next_version(folder.path()).unwrap(), 29_991_231_235_960);
    }
}
