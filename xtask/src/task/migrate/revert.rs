//! `migrate revert` and `migrate redo`: migrations taken back, after what they hold was saved.

use anyhow::Result;

use super::status::{self, Entry};
use crate::cli::{Locked, MigrateRedo, MigrateRevert, OtherDatabase};
use crate::context::Context;
use crate::database::reset::Template;
use crate::database::survey::Survey;
use crate::database::target::Target;
use crate::database::{dump, dumps};
use crate::failure::{Exit, Failure, when_interrupted};
use crate::interrupt::CancelToken;
use crate::runner;
use crate::stack::foundation;
use crate::task::db;
use crate::task::place::Place;

/// What is done to which migrations.
#[derive(Clone, Copy)]
enum Change {
    /// All that are newer than that one are reverted; only the newest, if none is named.
    Revert(Option<u64>),
    /// The newest is reverted and applied again.
    Redo,
}

/// Reverts what was asked for, newest first.
pub fn run(context: &Context, arguments: &MigrateRevert) -> Result<u8> {
    change(context, Change::Revert(arguments.to), &arguments.on, arguments.yes, &arguments.lock)
}

/// Reverts the newest and applies it again.
pub fn redo(context: &Context, arguments: &MigrateRedo) -> Result<u8> {
    change(context, Change::Redo, &OtherDatabase::default(), arguments.yes, &arguments.lock)
}

fn change(context: &Context, change: Change, on: &OtherDatabase, yes: bool, lock: &Locked) -> Result<u8> {
    let lock = db::lock(context, lock)?;
    let place = Place::locked(context, on, lock.as_ref())?;
    place.refuse_production()?;
    let target = db::fetched(context, place.database()?)?;
    let (program, build) = place.program()?;
    let (step, to) = match change {
        Change::Revert(to) => (program.revert_migrations(foundation::MIGRATION_TIMEOUT, to), to),
        Change::Redo => (program.redo_migration(foundation::MIGRATION_TIMEOUT), None),
    };
    let path = dumps::new_path(&context.project);
    if context.dry_run {
        build.print(&context.terminal)?;
        dump::dump(context, &target, &path)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    build.run(context).result?;
    let entries = status::ask(context, &program.migration_status(true))?.entries;
    let chosen = newer_than(&entries, to)?;
    if chosen.is_empty() {
        context.terminal.note("nothing to revert");
        return Ok(0);
    }
    let holds = db::ask_survey(context, &target, &target.database)?;
    let name = place.name();
    // Only the stack has a template of the seed to compare with.
    let is_worth_saving = holds.rows() > 0 && (name.is_some() || !is_seed(context, &target, &holds)?);
    if !yes {
        for entry in &chosen {
            context.terminal.note(format!("  {} {}", entry.version, entry.name));
        }
    }
    place.confirm(&question(chosen.len(), name.as_deref(), is_worth_saving), yes)?;
    if is_worth_saving {
        dump::dump(context, &target, &path)?;
        db::tell(context, &path)?;
    }
    let outcome = context.runner.forward(&step, &CancelToken::on(&context.interrupt));
    let left = "each migration is reverted as a whole or not at all, unless it runs outside of a transaction";
    let code = when_interrupted(outcome, left, "cargo xtask migrate status")?;
    if code == 0 && matches!(change, Change::Revert(_)) {
        context.terminal.next("cargo xtask migrate, which applies them again: a backend that runs may need them");
    }
    Ok(code)
}

fn question(count: usize, name: Option<&str>, is_dumped: bool) -> String {
    let (what, whose) =
        if count == 1 { ("this migration".to_owned(), "its") } else { (format!("these {count} migrations"), "their") };
    let dump = if is_dumped { " A dump is made first." } else { "" };
    let of = name.map_or_else(String::new, |name| format!(" of {name}"));
    format!("Revert {what}{of}, and lose what is in {whose} tables and columns?{dump}")
}

/// The applied migrations that are newer than that one, newest first; only the newest, if none is named.
fn newer_than(entries: &[Entry], to: Option<u64>) -> Result<Vec<&Entry>> {
    let applied: Vec<&Entry> = entries.iter().rev().filter(|entry| entry.applied_at.is_some()).collect();
    let Some(to) = to else { return Ok(applied.into_iter().take(1).collect()) };
    if to != 0 && !applied.iter().any(|entry| entry.version == to) {
        let what = format!("{to} is not applied, so that nothing can be reverted to it");
        return Err(Failure::new(Exit::Failed, what).hint("cargo xtask migrate status").into());
    }
    Ok(applied.into_iter().filter(|entry| entry.version > to).collect())
}

/// Whether the database holds what a reset would make again.
fn is_seed(context: &Context, target: &Target<'_>, holds: &Survey) -> Result<bool> {
    let template = Template::of(context, true)?.name;
    let databases = runner::lines(&*context.runner, &target.databases()?)?;
    if !databases.contains(&template) {
        return Ok(false);
    }
    Ok(holds.differences(&db::ask_survey(context, target, &template)?.tables).is_empty())
}
