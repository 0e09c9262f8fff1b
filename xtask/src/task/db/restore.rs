//! `db restore`: a dump, or the database that was replaced last, in the place of the one that is there.

use std::path::Path;

use anyhow::Result;

use super::{BRING_BACK, ask_survey, build, lock, ready, versions};
use crate::cli::DbRestore;
use crate::context::Context;
use crate::database::dumps::{self, Manifest};
use crate::database::target::before;
use crate::database::{dump, recorded, restore};
use crate::failure::{Exit, Failure};
use crate::file;
use crate::plan::{Action, Plan, Rollout, Write};
use crate::product::MIGRATIONS;
use crate::runner;
use crate::stack::Stack;
use crate::stack::state::EngineKind;
use crate::step::{Step, quoted};

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
    let what = format!("{} cannot be restored", path.display());
    let unknown = recorded::unknown(&manifest.migrations, &known);
    let files = Files::of(context, arguments, &unknown, Some(&manifest), &what, &target.recorded_in(&path)?)?;
    let phases = restore::restore(&target, &path, &manifest, &known)?;
    if !arguments.yes && !context.dry_run {
        let place = format!("in the place of the database, which is kept as {}", before());
        context.confirm(&format!("Put the dump of {} {place}?", manifest.created), "--yes")?;
    }
    files.while_they_are_there(context, || {
        build(context, &stack)?;
        Rollout::new(phases)?.run(context)
    })?;
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
    let known = versions(context)?;
    let (what, unknown) = (format!("{} cannot be brought back", before()), recorded::unknown(&held.migrations, &known));
    let files = Files::of(context, arguments, &unknown, None, &what, &target.recorded_of(&before())?)?;
    let phases = restore::exchange(&target, &held.migrations, &known)?;
    if !arguments.yes && !context.dry_run {
        let question = format!("Exchange the database with {}, which has {} rows?", before(), held.rows());
        context.confirm(&question, "--yes")?;
    }
    files.while_they_are_there(context, || {
        build(context, &stack)?;
        Rollout::new(phases)?.run(context)
    })?;
    if !context.dry_run {
        context.terminal.next(format!("{BRING_BACK}, which changes them back"));
    }
    Ok(0)
}

/// The files of migrations that a database has and this checkout does not, because they were drafts and are gone.
struct Files(Vec<Write>);

impl Files {
    /// As `ask` prints what is recorded of them; a refusal unless all of them are, and were asked for.
    fn of(
        context: &Context,
        arguments: &DbRestore,
        unknown: &[u64],
        manifest: Option<&Manifest>,
        what: &str,
        ask: &Step,
    ) -> Result<Self> {
        if unknown.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let mut found = recorded::parse(&runner::read_well(&*context.runner, ask)?);
        found.retain(|one| unknown.contains(&one.version));
        let is_whole = found.len() == unknown.len();
        if is_whole && arguments.write_migrations {
            let folder = context.project.root().join(MIGRATIONS);
            return Ok(Self(found.iter().flat_map(|one| one.files(&folder)).collect()));
        }
        let again = format!("cargo xtask db restore {} --write-migrations", words(arguments));
        Err(recorded::refusal(what, unknown, is_whole.then_some(again.as_str()), manifest).into())
    }

    /// Writes them and does the work that needs them. If that fails they go: without their database they are drafts that
    /// nobody has applied.
    fn while_they_are_there(&self, context: &Context, work: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.0.is_empty() {
            return work();
        }
        let actions = |action: fn(&Write) -> Action| self.0.iter().map(action).collect();
        let write =
            Plan::of("migrations", actions(|file| Action::Write(file.clone())), "written, as they were applied");
        let outcome = write.print_or_run(context).and_then(|()| work());
        if context.dry_run {
            return outcome;
        }
        if outcome.is_err() {
            self.0.iter().try_for_each(|file| file::remove(&file.path))?;
        } else {
            self.0.iter().try_for_each(|file| context.terminal.data(context.project.relative(&file.path)))?;
        }
        outcome
    }
}
