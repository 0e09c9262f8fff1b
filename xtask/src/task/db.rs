//! The data of the local stack as a whole: looked at, saved, restored, and made again.

mod dumps;
mod restore;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::cli::{DbCommand, DbDrill, DbDump, DbReset, DbShell, Locked};
use crate::context::Context;
use crate::database::dumps::{Manifest, all, folder, is_taken, named, new_path};
use crate::database::reset::Template;
use crate::database::restore::{NOT_COMPARED, drill as phases_of_drill};
use crate::database::survey::Survey;
use crate::database::target::{Target, before};
use crate::database::{dump, migrations, recorded};
use crate::failure::{Exit, Failure, when_interrupted};
use crate::file::{self, human_size};
use crate::lock::Lock;
use crate::plan::{Action, Plan, Rollout};
use crate::product::{DATABASE, MIGRATIONS};
use crate::runner;
use crate::stack::Stack;
use crate::stack::service::Service;
use crate::step::{Stdin, quoted};
use crate::task::exec;
use crate::task::place::{Place, STDIN};

/// What brings back the database that was replaced last.
const BRING_BACK: &str = "cargo xtask db restore --before";
/// What Ctrl-C leaves of a task that did not come to the moment at which the database is replaced.
const AS_IT_WAS: &str = "the database is as it was";

/// Does what was asked.
pub fn run(context: &Context, command: &DbCommand) -> Result<u8> {
    match command {
        DbCommand::Shell(arguments) => shell(context, arguments),
        DbCommand::Url => url(context),
        DbCommand::Dumps(arguments) => dumps::run(context, arguments),
        DbCommand::Dump(arguments) => {
            when_interrupted(save(context, arguments), "there is no dump of it", "cargo xtask db dump")
        }
        DbCommand::Restore(arguments) => {
            let next = format!("cargo xtask db restore {}", restore::words(arguments));
            when_interrupted(restore::run(context, arguments), AS_IT_WAS, &next)
        }
        DbCommand::Reset(arguments) => {
            let next = if arguments.seed { "cargo xtask db reset --seed" } else { "cargo xtask db reset" };
            when_interrupted(reset(context, arguments), AS_IT_WAS, next)
        }
        DbCommand::Drill(arguments) => {
            let file =
                arguments.file.as_ref().map_or_else(String::new, |file| format!(" {}", quoted(file.as_os_str())));
            let next = format!("cargo xtask db drill {file}");
            when_interrupted(drill(context, arguments), AS_IT_WAS, next.trim_end())
        }
    }
}

fn shell(context: &Context, arguments: &DbShell) -> Result<u8> {
    if arguments.on.url.as_deref() == Some(STDIN) {
        let what = "psql reads from stdin, from which the URL would have to come";
        return Err(Failure::new(Exit::Failed, what).hint("--url-from VARIABLE").into());
    }
    let place = Place::of(context, &arguments.on)?;
    let Some((step, fetch)) = place.shell(arguments.write)? else {
        return exec::shell(context, Service::Postgres);
    };
    let step = step.stdin(Stdin::Terminal);
    fetch.print_or_run(context)?;
    if context.dry_run {
        context.terminal.data(step)?;
        return Ok(0);
    }
    let name = place.name().unwrap_or_default();
    if arguments.write {
        place.confirm(&format!("Open {name} to write into it?"), arguments.yes)?;
    } else {
        context.terminal.note(format!("{name}, in which nothing is written without --write"));
    }
    match context.runner.replace(&step)? {}
}

fn url(context: &Context) -> Result<u8> {
    context.terminal.reveal(Stack::open(context)?.database_url()?)?;
    Ok(0)
}

fn save(context: &Context, arguments: &DbDump) -> Result<u8> {
    let path = arguments.file.as_deref().map(chosen).transpose()?;
    let lock = lock(context, &arguments.lock)?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let target = ready(context, &stack)?;
    let path = path.unwrap_or_else(|| new_path(&context.project));
    dump::dump(context, &target, &path)?;
    if !context.dry_run {
        tell(context, &path)?;
    }
    Ok(0)
}

/// The file that somebody named for a dump; git ignores what ends like this.
fn chosen(file: &Path) -> Result<PathBuf> {
    let mut path = std::path::absolute(file)?;
    if path.is_dir() || file.as_os_str().to_string_lossy().ends_with('/') {
        let what = format!("{} is a folder, and a dump is a file", file.display());
        return Err(Failure::new(Exit::Failed, what).hint("cargo xtask db dump, which names the file").into());
    }
    if path.extension().is_none() {
        path.set_extension("dump");
    }
    if is_taken(&path) {
        return Err(dump::taken(&path).into());
    }
    Ok(path)
}

/// Prints the dump's path, and says what is in it.
pub fn tell(context: &Context, path: &Path) -> Result<()> {
    let manifest = Manifest::of(path)?;
    let rows = manifest.rows().map_or_else(
        || "somebody wrote meanwhile, so that its rows were not counted".to_owned(),
        |rows| format!("{rows} rows"),
    );
    context.terminal.note(format!("{}, {rows}, {} migrations", human_size(manifest.bytes), manifest.migrations.len()));
    context.terminal.data(context.project.relative(path))
}

fn drill(context: &Context, arguments: &DbDrill) -> Result<u8> {
    let newest = || {
        let newest = all(&context.project).into_iter().next().map(|(path, _)| path);
        newest.ok_or_else(|| Failure::new(Exit::Missing, "there is no dump to try").hint("cargo xtask db dump").into())
    };
    let path = arguments.file.as_ref().map_or_else(newest, |file| named(&context.project, file))?;
    let manifest = Manifest::of(&path)?;
    let lock = lock(context, &arguments.lock)?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let target = ready(context, &stack)?;
    let known = versions(context)?;
    expect_recorded(context, &target, &path, &manifest, &known)?;
    let phases = phases_of_drill(&target, &path, &manifest, &known)?;
    build(context, &stack)?;
    Rollout::new(phases)?.run(context)?;
    if !context.dry_run {
        let dump = context.project.relative(&path);
        match manifest.rows() {
            Some(rows) => context.terminal.note(format!("{dump} can be restored and holds {rows} rows")),
            None => context.terminal.warn(format!("{dump} can be restored; {NOT_COMPARED}")),
        }
    }
    Ok(0)
}

/// A dump with migrations that this checkout does not have can be restored where their texts are in it.
fn expect_recorded(
    context: &Context,
    target: &Target<'_>,
    dump: &Path,
    manifest: &Manifest,
    known: &[u64],
) -> Result<()> {
    let mut unknown = recorded::unknown(&manifest.migrations, known);
    if unknown.is_empty() {
        return Ok(());
    }
    let found = recorded::parse(&runner::read_well(&*context.runner, &target.recorded_in(dump)?)?);
    unknown.retain(|version| !found.iter().any(|one| one.version == *version));
    if unknown.is_empty() {
        context.terminal.note("migrations whose files are gone are recorded in the dump");
        return Ok(());
    }
    let what = format!("{} cannot be restored", dump.display());
    Err(recorded::refusal(&what, &unknown, None, Some(manifest)).into())
}

fn reset(context: &Context, arguments: &DbReset) -> Result<u8> {
    let lock = lock(context, &arguments.lock)?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let target = ready(context, &stack)?;
    let template = Template::of(context, arguments.seed)?;
    let databases = runner::lines(&*context.runner, &target.databases()?)?;
    if !databases.contains(&template.name) {
        build(context, &stack)?;
        template.make(&target, &databases)?.print_or_run(context)?;
    }
    let replace = Rollout::new(vec![template.put_in_place(&target)?])?;
    let remove = Plan::of("before", vec![Action::Run(target.remove(&[before()])?)], "removed");
    if context.dry_run {
        replace.run(context)?;
        remove.print_or_run(context)?;
        return Ok(0);
    }
    let saved = save_what_would_be_lost(context, &target, &template, arguments.yes)?;
    replace.run(context)?;
    let left = format!("the database is replaced, and the one before it is kept as {}", before());
    when_interrupted(remove_before(context, &target, &saved, &remove), &left, BRING_BACK)?;
    Ok(0)
}

/// Removes the database that was replaced, unless it holds something that no dump has.
fn remove_before(context: &Context, target: &Target<'_>, saved: &Survey, remove: &Plan) -> Result<()> {
    // Nobody reaches it any more: what was written since it was counted shows now, or never.
    if ask_survey(context, target, &before())?.differences(&saved.tables).is_empty() {
        return remove.print_or_run(context);
    }
    let what = format!("somebody wrote until it was replaced, which no dump has: {} is kept", before());
    context.terminal.warn(format!("{what} until the next reset or restore; {BRING_BACK} brings it back"));
    Ok(())
}

/// Two tasks at once would use the same names.
pub fn lock(context: &Context, arguments: &Locked) -> Result<Option<Lock>> {
    context.lock_stack(Duration::from_secs(arguments.lock_timeout))
}

/// Dumps the database unless it is empty or equal to the template. Gives back what it held.
fn save_what_would_be_lost(context: &Context, target: &Target<'_>, template: &Template, yes: bool) -> Result<Survey> {
    let now = ask_survey(context, target, DATABASE)?;
    if now.rows() == 0 || now.differences(&ask_survey(context, target, &template.name)?.tables).is_empty() {
        return Ok(now);
    }
    if !yes {
        let question = format!("Replace {} rows? A dump of them is made first.", now.rows());
        context.confirm(&question, "--yes")?;
    }
    let path = new_path(&context.project);
    dump::dump(context, target, &path)?;
    tell(context, &path)?;
    Ok(now)
}

pub fn ask_survey(context: &Context, target: &Target<'_>, database: &str) -> Result<Survey> {
    Survey::parse(&runner::read_well(&*context.runner, &target.survey(database)?)?)
}

/// What reaches the stack's database, once its clients are there. Half of a dump that a killed task has left goes first.
pub fn ready<'s>(context: &Context, stack: &'s Stack<'_>) -> Result<Target<'s>> {
    fetched(context, stack.database()?)
}

/// The same of any database.
pub fn fetched<'s>(context: &Context, (target, fetch): (Target<'s>, Plan)) -> Result<Target<'s>> {
    if !context.dry_run {
        file::remove_drafts(&folder(&context.project))?;
    }
    fetch.print_or_run(context)?;
    Ok(target)
}

/// Builds the backend's program: migrations are compiled into it.
fn build(context: &Context, stack: &Stack<'_>) -> Result<()> {
    stack.program(&[Service::Postgres])?.1.print_or_run(context)
}

/// The versions of the checkout's migrations.
fn versions(context: &Context) -> Result<Vec<u64>> {
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    Ok(found.all.iter().map(|migration| migration.version).collect())
}

#[cfg(test)]
mod tests;
