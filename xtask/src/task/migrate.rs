//! Migrations of the local stack.

pub mod lint;
mod status;

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::checkout;
use crate::cli::MigrateCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::interrupt::CancelToken;
use crate::product::MIGRATIONS;
use crate::stack::service::Service;
use crate::stack::{Stack, foundation};

/// What a new migration begins with.
const UP: &str = "\
-- What this changes, and why.
--
-- The version before this one goes on running while this is applied: add what it does not know of, and take away what it
-- needs only in a later migration. Until there is a statement here, nothing is applied.
";
/// What the file that undoes it begins with.
const DOWN: &str = "-- Undoes what the file beside it does.\n";

/// Applies what is pending, says where each migration stands, writes a new one, or applies the newest again.
pub fn run(context: &Context, command: Option<&MigrateCommand>) -> Result<u8> {
    match command {
        Some(MigrateCommand::Add { name }) => return add(context, name),
        Some(MigrateCommand::Lint(arguments)) => return lint::run(context, arguments),
        Some(MigrateCommand::Status(arguments)) => return status::run(context, arguments.json),
        _ => {}
    }
    // Migrations are compiled into the binary, so that asking an old one would not tell of new files.
    let (program, build) = Stack::open(context)?.program(&[Service::Postgres])?;
    let step = match command {
        Some(MigrateCommand::Redo { yes }) => {
            if !yes && !context.dry_run {
                context.confirm("Revert the newest migration, and lose what is in its tables and columns?", "--yes")?;
            }
            program.redo_migration(foundation::MIGRATION_TIMEOUT)
        }
        _ => program.migrate(foundation::MIGRATION_TIMEOUT, &checkout::drafts(context)),
    };
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    build.run(context).result?;
    context.runner.forward(&step, &CancelToken::on(&context.interrupt))
}

/// Writes both files of a new migration.
fn add(context: &Context, words: &str) -> Result<u8> {
    let name = name_of(words).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("{words:?} has no letters or digits to make a name of"))
            .hint("cargo xtask migrate add report_severity")
    })?;
    let folder = context.project.root().join(MIGRATIONS);
    let version = next_version(&folder)?;
    for (end, text) in [("up", UP), ("down", DOWN)] {
        let path = folder.join(format!("{version}_{name}.{end}.sql"));
        let shown = context.project.relative(&path);
        if context.dry_run {
            context.terminal.data(format!("# write {shown}"))?;
        } else {
            file::write(&path, text.as_bytes(), 0o644)?;
            context.terminal.data(shown)?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
