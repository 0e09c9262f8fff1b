//! The data of the local stack as a whole: looked at, saved, restored, and made again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::cli::{DbCommand, DbDrill, DbDump, DbReset, DbRestore, Locked};
use crate::context::Context;
use crate::database::dumps::{self, Manifest};
use crate::database::reset::Template;
use crate::database::survey::Survey;
use crate::database::target::{Target, before};
use crate::database::{dump, migrations, restore};
use crate::failure::{Exit, Failure, when_interrupted};
use crate::file::{self, human_size};
use crate::lock::Lock;
use crate::plan::{Action, Plan, Rollout};
use crate::product::{DATABASE, MIGRATIONS};
use crate::runner;
use crate::stack::Stack;
use crate::stack::service::Service;
use crate::task::exec;
use crate::terminal::Table;

/// What Ctrl-C leaves of a task that did not come to the moment at which the database is replaced.
const AS_IT_WAS: &str = "the database is as it was";

/// Does what was asked.
pub fn run(context: &Context, command: &DbCommand) -> Result<u8> {
    match command {
        DbCommand::Shell => exec::shell(context, Service::Postgres),
        DbCommand::Url => url(context),
        DbCommand::Dumps(output) => list(context, output.json),
        DbCommand::Dump(arguments) => {
            when_interrupted(save(context, arguments), "there is no dump of it", "cargo xtask db dump")
        }
        DbCommand::Restore(arguments) => {
            let next = format!("cargo xtask db restore {}", arguments.file.display());
            when_interrupted(put_back(context, arguments), AS_IT_WAS, &next)
        }
        DbCommand::Reset(arguments) => {
            let next = if arguments.seed { "cargo xtask db reset --seed" } else { "cargo xtask db reset" };
            when_interrupted(reset(context, arguments), AS_IT_WAS, next)
        }
        DbCommand::Drill(arguments) => when_interrupted(drill(context, arguments), AS_IT_WAS, "cargo xtask db drill"),
    }
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
    let path = path.unwrap_or_else(|| dumps::new_path(&context.project));
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
    if dumps::is_taken(&path) {
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

fn list(context: &Context, as_json: bool) -> Result<u8> {
    let all = dumps::all(&context.project);
    if as_json {
        let document: Vec<_> = all
            .iter()
            .map(|(path, manifest)| match manifest {
                Ok(manifest) => json!({ "file": path, "manifest": manifest }),
                Err(error) => json!({ "file": path, "error": format!("{error:#}") }),
            })
            .collect();
        context.terminal.json(&json!({ "schema_version": 1, "dumps": document }))?;
        return Ok(0);
    }
    if all.is_empty() {
        context.terminal.note("there is no dump yet: cargo xtask db dump");
    }
    let mut table = Table::default();
    if !all.is_empty() {
        table.row(["file", "size", "holds", "newest migration"]);
    }
    for (path, manifest) in &all {
        let name = context.project.relative(path).to_string();
        table.row(match manifest {
            Ok(manifest) => {
                let rows = manifest.rows().map_or_else(|| "?".to_owned(), |rows| rows.to_string());
                let newest = manifest.migrations.last().map(u64::to_string).unwrap_or_default();
                [name, human_size(manifest.bytes), format!("{rows} rows"), newest]
            }
            Err(error) => [name, String::new(), String::new(), format!("{error:#}")],
        });
    }
    context.terminal.table(&table)?;
    Ok(0)
}

fn put_back(context: &Context, arguments: &DbRestore) -> Result<u8> {
    let path = dumps::named(&context.project, &arguments.file)?;
    let manifest = Manifest::of(&path)?;
    let known = versions(context)?;
    let lock = lock(context, &arguments.lock)?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let target = ready(context, &stack)?;
    let phases = restore::restore(&target, &path, &manifest, &known)?;
    if !arguments.yes && !context.dry_run {
        let place = format!("in the place of the database, which is kept as {}", before());
        context.confirm(&format!("Put the dump of {} {place}?", manifest.created), "--yes")?;
    }
    build(context, &stack)?;
    Rollout::new(phases)?.run(context)?;
    Ok(0)
}

fn drill(context: &Context, arguments: &DbDrill) -> Result<u8> {
    let newest = || {
        let newest = dumps::all(&context.project).into_iter().next().map(|(path, _)| path);
        newest.ok_or_else(|| Failure::new(Exit::Missing, "there is no dump to try").hint("cargo xtask db dump").into())
    };
    let path = arguments.file.as_ref().map_or_else(newest, |file| dumps::named(&context.project, file))?;
    let manifest = Manifest::of(&path)?;
    let lock = lock(context, &arguments.lock)?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let target = ready(context, &stack)?;
    let phases = restore::drill(&target, &path, &manifest, &versions(context)?)?;
    build(context, &stack)?;
    Rollout::new(phases)?.run(context)?;
    if !context.dry_run {
        let rows = manifest.rows().map_or_else(String::new, |rows| format!(" and holds {rows} rows"));
        context.terminal.note(format!("{} can be restored{rows}", context.project.relative(&path)));
    }
    Ok(0)
}

fn reset(context: &Context, arguments: &DbReset) -> Result<u8> {
    let lock = lock(context, &arguments.lock)?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let target = ready(context, &stack)?;
    let template = Template::of(context, arguments.seed)?;
    let databases = runner::lines(&*context.runner, &target.databases()?)?;
    if !databases.contains(&template.name) {
        build(context, &stack)?;
        print_or_run(context, &template.make(&target, &databases)?)?;
    }
    let replace = Rollout::new(vec![template.put_in_place(&target)?])?;
    let remove = Plan::of("before", vec![Action::Run(target.remove(&[before()])?)], "removed");
    if context.dry_run {
        replace.run(context)?;
        print_or_run(context, &remove)?;
        return Ok(0);
    }
    let saved = save_what_would_be_lost(context, &target, &template, arguments.yes)?;
    replace.run(context)?;
    let left = format!("the database is replaced, and the one before it is kept as {}", before());
    when_interrupted(remove_before(context, &target, &saved, &remove), &left, "cargo xtask db dumps")?;
    Ok(0)
}

/// Removes the database that was replaced, unless it holds something that no dump has.
fn remove_before(context: &Context, target: &Target<'_>, saved: &Survey, remove: &Plan) -> Result<()> {
    // Nobody reaches it any more: what was written since it was counted shows now, or never.
    if ask_survey(context, target, &before())?.differences(&saved.tables).is_empty() {
        return print_or_run(context, remove);
    }
    let what = format!("somebody wrote until it was replaced, which no dump has: {} is kept", before());
    context.terminal.warn(format!("{what} until the next reset or restore"));
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
    let path = dumps::new_path(&context.project);
    dump::dump(context, target, &path)?;
    tell(context, &path)?;
    Ok(now)
}

pub fn ask_survey(context: &Context, target: &Target<'_>, database: &str) -> Result<Survey> {
    Survey::parse(&runner::read_well(&*context.runner, &target.survey(database)?)?)
}

/// What reaches the stack's database, once its clients are there. Half of a dump that a killed task has left goes first.
pub fn ready<'s>(context: &Context, stack: &'s Stack<'_>) -> Result<Target<'s>> {
    if !context.dry_run {
        file::remove_drafts(&dumps::folder(&context.project))?;
    }
    let (target, fetch) = stack.database()?;
    print_or_run(context, &fetch)?;
    Ok(target)
}

/// Builds the backend's program: migrations are compiled into it.
fn build(context: &Context, stack: &Stack<'_>) -> Result<()> {
    print_or_run(context, &stack.program(&[Service::Postgres])?.1)
}

fn print_or_run(context: &Context, plan: &Plan) -> Result<()> {
    match (plan.is_empty(), context.dry_run) {
        (true, _) => Ok(()),
        (false, true) => plan.print(&context.terminal),
        (false, false) => plan.run(context).result,
    }
}

/// The versions of the checkout's migrations.
fn versions(context: &Context) -> Result<Vec<u64>> {
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    Ok(found.all.iter().map(|migration| migration.version).collect())
}

#[cfg(test)]
mod tests;
