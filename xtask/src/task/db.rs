//! The data of the local stack as a whole: looked at, saved, restored, and made again.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::cli::{DbCommand, DbReset, DbRestore};
use crate::context::Context;
use crate::database::dumps::{self, Manifest};
use crate::database::reset::Template;
use crate::database::survey::Survey;
use crate::database::target::{Target, before};
use crate::database::{dump, migrations, restore};
use crate::failure::{Exit, Failure};
use crate::file::human_size;
use crate::plan::{Action, Plan, Rollout};
use crate::product::{DATABASE, MIGRATIONS};
use crate::runner;
use crate::stack::Stack;
use crate::stack::service::Service;
use crate::task::exec;
use crate::terminal::Table;

/// Does what was asked.
pub fn run(context: &Context, command: &DbCommand) -> Result<u8> {
    match command {
        DbCommand::Shell => exec::shell(context, Service::Postgres),
        DbCommand::Url => url(context),
        DbCommand::Dumps(output) => list(context, output.json),
        DbCommand::Dump { file } => save(context, file.as_deref()),
        DbCommand::Restore(arguments) => put_back(context, arguments),
        DbCommand::Reset(arguments) => reset(context, arguments),
        DbCommand::Drill => drill(context),
    }
}

fn url(context: &Context) -> Result<u8> {
    context.terminal.reveal(Stack::open(context)?.database_url()?)?;
    Ok(0)
}

fn save(context: &Context, file: Option<&Path>) -> Result<u8> {
    let stack = Stack::open(context)?;
    let target = ready(context, &stack)?;
    let path = file.map_or_else(|| dumps::new_path(&context.project), Path::to_owned);
    let path = std::path::absolute(path)?;
    if path.exists() {
        let what = format!("{} is there already", path.display());
        return Err(Failure::new(Exit::Refused, what)
            .hint("cargo xtask db dump, which names the file by the time")
            .into());
    }
    dump::dump(context, &target, &path)?;
    if !context.dry_run {
        tell(context, &path)?;
    }
    Ok(0)
}

/// Prints the dump's path, and says what is in it.
fn tell(context: &Context, path: &Path) -> Result<()> {
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
    let manifest = Manifest::of(&arguments.file)?;
    let known = versions(context)?;
    let _lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
    let stack = Stack::open(context)?;
    let target = ready(context, &stack)?;
    let path = std::path::absolute(&arguments.file)?;
    let phases = restore::restore(&target, &path, &manifest, &known)?;
    if !arguments.yes && !context.dry_run {
        let question = format!("Put the dump of {} in the place of the database?", manifest.created);
        context.confirm(&question, "--yes")?;
    }
    build(context, &stack)?;
    Rollout::new(phases)?.run(context)?;
    Ok(0)
}

fn drill(context: &Context) -> Result<u8> {
    let newest = dumps::all(&context.project).into_iter().next();
    let Some((path, manifest)) = newest else {
        return Err(Failure::new(Exit::Missing, "there is no dump to try").hint("cargo xtask db dump").into());
    };
    let manifest = manifest?;
    let stack = Stack::open(context)?;
    let target = ready(context, &stack)?;
    build(context, &stack)?;
    Rollout::new(restore::drill(&target, &path, &manifest, &versions(context)?)?)?.run(context)?;
    if !context.dry_run {
        let rows = manifest.rows().map_or_else(String::new, |rows| format!(" and holds {rows} rows"));
        context.terminal.note(format!("{} can be restored{rows}", context.project.relative(&path)));
    }
    Ok(0)
}

fn reset(context: &Context, arguments: &DbReset) -> Result<u8> {
    let _lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
    let stack = Stack::open(context)?;
    let target = ready(context, &stack)?;
    let template = Template::of(context, arguments.seed)?;
    let databases = runner::lines(&*context.runner, &target.databases()?)?;
    let is_there = databases.contains(&template.name);
    if !is_there {
        build(context, &stack)?;
        print_or_run(context, &template.make(&target, &databases)?)?;
    }
    let remove = Plan::of("before", vec![Action::Run(target.remove(&[before()])?)], "removed");
    if context.dry_run {
        print_or_run(context, &template.put_in_place(&target)?)?;
        print_or_run(context, &remove)?;
        return Ok(0);
    }
    let saved = save_what_would_be_lost(context, &target, &template, arguments.yes)?;
    print_or_run(context, &template.put_in_place(&target)?)?;
    // Nobody reaches it any more: what was written since it was counted shows now, or never.
    if ask_survey(context, &target, &before())?.differences(&saved.tables).is_empty() {
        print_or_run(context, &remove)?;
    } else {
        let what = format!("somebody wrote until it was replaced, which no dump has: {} is kept", before());
        context.terminal.warn(format!("{what} until the next reset or restore"));
    }
    Ok(0)
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

fn ask_survey(context: &Context, target: &Target<'_>, database: &str) -> Result<Survey> {
    Survey::parse(&runner::read_well(&*context.runner, &target.survey(database)?)?)
}

/// What reaches the stack's database, once its clients are there.
fn ready<'s>(context: &Context, stack: &'s Stack<'_>) -> Result<Target<'s>> {
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
