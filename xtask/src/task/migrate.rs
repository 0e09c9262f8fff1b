//! Migrations of the local stack, or of another database that was named.

mod add;
mod bless;
pub mod check;
pub mod lint;
mod revert;
mod status;

use anyhow::Result;

use crate::cli::{Migrate, MigrateCommand, MigrateRun};
use crate::context::Context;
use crate::database::migrations;
use crate::failure::when_interrupted;
use crate::interrupt::CancelToken;
use crate::plan::Plan;
use crate::product::MIGRATIONS;
use crate::stack::foundation;
use crate::step::Step;
use crate::task::place::Place;
use crate::tool::backend::Program;

/// Does what was asked; applies what is pending, if nothing was.
pub fn run(context: &Context, arguments: &Migrate) -> Result<u8> {
    match &arguments.command {
        None => apply(context, &arguments.run),
        Some(MigrateCommand::Run(arguments)) => apply(context, arguments),
        Some(MigrateCommand::Add(arguments)) => add::run(context, arguments),
        Some(MigrateCommand::Bless(arguments)) => bless::run(context, arguments),
        Some(MigrateCommand::Check(arguments)) => check::run(context, arguments),
        Some(MigrateCommand::Lint(arguments)) => lint::run(context, arguments),
        Some(MigrateCommand::Redo(arguments)) => revert::redo(context, arguments),
        Some(MigrateCommand::Revert(arguments)) => revert::run(context, arguments),
        Some(MigrateCommand::Status(arguments)) => status::run(context, arguments),
    }
}

fn apply(context: &Context, arguments: &MigrateRun) -> Result<u8> {
    let place = Place::of(context, &arguments.on)?;
    let (program, build) = place.program()?;
    if !context.dry_run
        && let Some(name) = place.name()
    {
        build.run(context).result?;
        ask(context, &place, &name, &program, arguments.yes)?;
    }
    let code = forward(context, &build, &program.migrate(foundation::MIGRATION_TIMEOUT, &place.drafts()))?;
    if context.dry_run {
        show_pending(context, &program, &place.drafts())?;
    }
    Ok(code)
}

/// Names what is pending in a database that others may use, and asks.
fn ask(context: &Context, place: &Place<'_>, name: &str, program: &Program, yes: bool) -> Result<()> {
    let entries = status::ask(context, &program.migration_status(true))?.entries;
    let pending: Vec<_> = entries.iter().filter(|entry| entry.state == "pending").collect();
    for entry in &pending {
        context.terminal.note(format!("  {} {}", entry.version, entry.name));
    }
    match pending.len() {
        // What there is to say about it the program says.
        0 => Ok(()),
        1 => place.confirm(&format!("Apply this migration to {name}?"), yes),
        count => place.confirm(&format!("Apply these {count} migrations to {name}?"), yes),
    }
}

/// Prints the SQL that would run. The program may be an old one, which tells what the database has all the same; what it
/// has not is in the files.
fn show_pending(context: &Context, program: &Program, drafts: &[String]) -> Result<()> {
    let Ok(answer) = status::ask(context, &program.migration_status(true)) else {
        context.terminal.note("the SQL is not shown: the backend's program does not answer yet");
        return Ok(());
    };
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    for migration in &found.all {
        let path = context.project.relative(&migration.up);
        let applied = answer.entries.iter().find(|one| one.version == migration.version && one.applied_at.is_some());
        let is_redone = |one: &status::Entry| one.state == "altered" && drafts.contains(&one.version.to_string());
        match applied {
            None => context.terminal.data(format!("-- {path}"))?,
            Some(one) if is_redone(one) => context.terminal.data(format!(
                "-- {path} is an altered draft: its down script, as it was when it was applied, runs first; then this"
            ))?,
            Some(_) => continue,
        }
        context.terminal.data(migration.text.trim_end())?;
    }
    Ok(())
}

/// Builds the backend's program, because migrations are compiled into it, and passes on what it says.
fn forward(context: &Context, build: &Plan, step: &Step) -> Result<u8> {
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    let forward = || {
        build.run(context).result?;
        context.runner.forward(step, &CancelToken::on(&context.interrupt))
    };
    let left = "each migration is applied as a whole or not at all, unless it runs outside of a transaction";
    when_interrupted(forward(), left, "cargo xtask migrate status")
}

#[cfg(test)]
mod tests;
