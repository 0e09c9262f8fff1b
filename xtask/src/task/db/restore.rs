//! `db restore`: a dump, or the database that was replaced last, in the place of the one that is there.

use std::path::Path;

use anyhow::Result;

use super::{BRING_BACK, ask_survey, build, lock, ready, versions};
use crate::cli::DbRestore;
use crate::context::Context;
use crate::database::dumps::{self, Manifest};
use crate::database::target::before;
use crate::database::{dump, restore};
use crate::failure::{Exit, Failure};
use crate::plan::Rollout;
use crate::runner;
use crate::stack::Stack;
use crate::stack::state::EngineKind;
use crate::step::quoted;

/// Restores what was asked for.
pub fn run(context: &Context, arguments: &DbRestore) -> Result<u8> {
    match &arguments.file {
        Some(file) => put_back(context, arguments, file),
        None => exchange(context, arguments),
    }
}

/// The words that ask for the same again.
pub fn words(arguments: &DbRestore) -> String {
    arguments.file.as_ref().map_or_else(|| "--before".to_owned(), |file| quoted(file.as_os_str()))
}

fn put_back(context: &Context, arguments: &DbRestore, file: &Path) -> Result<u8> {
    let path = dumps::named(&context.project, file)?;
    let manifest = Manifest::of(&path)?;
    let known = versions(context)?;
    let lock = lock(context, &arguments.lock)?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let target = ready(context, &stack)?;
    // In containers the disk is another one, which nobody here can ask.
    if stack.state().is_some_and(|state| state.engine == EngineKind::Host) {
        let hint = "cargo xtask db dumps --keep 3, which removes older dumps";
        dump::expect_room(&stack.folder().postgres_data(), manifest.database_bytes, hint)?;
    }
    let phases = restore::restore(&target, &path, &manifest, &known)?;
    if !arguments.yes && !context.dry_run {
        let place = format!("in the place of the database, which is kept as {}", before());
        context.confirm(&format!("Put the dump of {} {place}?", manifest.created), "--yes")?;
    }
    build(context, &stack)?;
    Rollout::new(phases)?.run(context)?;
    if !context.dry_run {
        context.terminal.next(format!("{BRING_BACK}, if you want the database before back"));
    }
    Ok(0)
}

/// Nothing is lost: the same again brings back what is there now.
fn exchange(context: &Context, arguments: &DbRestore) -> Result<u8> {
    let lock = lock(context, &arguments.lock)?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let target = ready(context, &stack)?;
    if !runner::lines(&*context.runner, &target.databases()?)?.contains(&before()) {
        let what = format!("there is no {}: no restore or reset has kept a database", before());
        return Err(Failure::new(Exit::Failed, what).hint("cargo xtask db dumps, which lists the dumps").into());
    }
    let held = ask_survey(context, &target, &before())?;
    let phases = restore::exchange(&target, &held.migrations, &versions(context)?)?;
    if !arguments.yes && !context.dry_run {
        let question = format!("Exchange the database with {}, which has {} rows?", before(), held.rows());
        context.confirm(&question, "--yes")?;
    }
    build(context, &stack)?;
    Rollout::new(phases)?.run(context)?;
    if !context.dry_run {
        context.terminal.next(format!("{BRING_BACK}, which changes them back"));
    }
    Ok(0)
}
