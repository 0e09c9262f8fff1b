//! `migrate check`: the migrations, tried on databases that are thrown away.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::lint::named;
use crate::checkout;
use crate::cli::MigrateCheck;
use crate::context::Context;
use crate::database::check::{self, FROM_FILES, Problems, Report, Subject};
use crate::database::lint::{Verdict, lint};
use crate::database::migrations::{self, Migration};
use crate::database::trace::Traced;
use crate::failure::{Exit, Failure, exit_code};
use crate::plan::{Plan, Value};
use crate::product::{MIGRATIONS, POSTGRES_MINIMUM, SCHEMA};
use crate::stack::host::Host;
use crate::stack::scratch::Scratch;
use crate::stack::servers::Origin;
use crate::task::check::{Verdict as Checked, queries};
use crate::terminal::{BAD, NOTICE, STRONG};

/// What came of it.
struct Outcome {
    reports: Vec<Report>,
    /// What is not checked, and why.
    skipped: Vec<String>,
    problems: Problems,
}

/// Checks everything, or traces the scripts that are named.
pub fn run(context: &Context, arguments: &MigrateCheck) -> Result<u8> {
    if context.dry_run {
        return print_plan(context, arguments);
    }
    let outcome = if arguments.files.is_empty() {
        all(context, arguments.servers, arguments.fix, true)?
    } else {
        scripts(context, arguments.servers, &arguments.files)?
    };
    let problems = outcome.problems.all();
    if arguments.output.json {
        context.terminal.json(&json!({
            "schema_version": 1,
            "passed": problems.is_empty(),
            "problems": problems,
            "skipped": outcome.skipped,
            "migrations": outcome.reports,
        }))?;
    } else {
        outcome.reports.iter().try_for_each(|report| print(context, report))?;
        outcome.skipped.iter().for_each(|what| context.terminal.note(format!("{NOTICE}not checked:{NOTICE:#} {what}")));
    }
    match failure_of(problems) {
        Some(failure) => Err(failure.into()),
        None => Ok(0),
    }
}

/// What `check` asks for: everything but the queries, which it checks by itself. Gives back what was not checked.
pub fn for_check(context: &Context, fix: bool) -> Result<Vec<String>> {
    let outcome = all(context, Origin::Auto, fix, false)?;
    match failure_of(outcome.problems.all()) {
        Some(failure) => Err(failure.into()),
        None => Ok(outcome.skipped),
    }
}

fn failure_of(problems: Vec<String>) -> Option<Failure> {
    let count = problems.iter().filter(|line| !line.starts_with("  ")).count();
    let what = match count {
        0 => return None,
        1 => "the migrations are not as they have to be".to_owned(),
        count => format!("{count} things about the migrations are not as they have to be"),
    };
    Some(Failure::new(Exit::Failed, what).details(problems).hint("docs/database.md explains each part of the check"))
}

fn all(context: &Context, origin: Origin, fix: bool, with_queries: bool) -> Result<Outcome> {
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    if !found.problems.is_empty() {
        return Err(Failure::new(Exit::Failed, "the migrations' files are not in order")
            .details(found.problems)
            .into());
    }
    let mut skipped = Vec::new();
    let verdicts = verdicts(context, &found.all, &mut skipped)?;
    let (base, newest) = split(found.all, &newest(context));
    let mut scratch = Scratch::new(context)?;
    let servers = scratch.plan_of_server(origin)?;
    scratch.start(&servers)?;
    let file = match scratch.postgres_major() {
        Some(POSTGRES_MINIMUM) => Some((context.project.root().join(SCHEMA), fix)),
        other => {
            let other = other.map_or_else(|| "another".to_owned(), |major| major.to_string());
            skipped.push(format!("{SCHEMA}, which is of PostgreSQL {POSTGRES_MINIMUM}; this server is {other}"));
            None
        }
    };
    let subject = Subject { base, newest, file };
    let problems = Problems::default();
    let (target, fetch) = scratch.database()?;
    run_plan(context, &fetch)?;
    let base = Value::new("schema before the newest");
    run_plan(context, &check::from_files(&target, &subject, &base)?)?;
    if with_queries {
        // Before the backend is built, which a query that nobody has described would prevent.
        match queries::compare(context, &scratch, FROM_FILES, fix)? {
            Checked::Failed(error) => problems.add(format!("{error:#}; cargo xtask migrate check --fix"), Vec::new()),
            Checked::Skipped(why) => skipped.push(why),
            Checked::Passed | Checked::Fixed(_) => {}
        }
    }
    run_plan(context, &Host::open(context).build()?)?;
    let (plan, full) = check::by_the_program(&target, &subject, &base, &problems)?;
    run_plan(context, &plan)?;
    let (plan, traces) = check::on_rows(&target, &subject, &full, &problems)?;
    run_plan(context, &plan)?;
    let reports = judge(context, &subject.newest, &traces, verdicts.as_deref(), &problems)?;
    Ok(Outcome { reports, skipped, problems })
}

fn scripts(context: &Context, origin: Origin, files: &[PathBuf]) -> Result<Outcome> {
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    let scripts = files.iter().map(|file| named(&found.all, file)).collect::<Result<Vec<_>>>()?;
    let mut skipped = Vec::new();
    let verdicts = verdicts(context, &scripts, &mut skipped)?;
    let mut scratch = Scratch::new(context)?;
    let servers = scratch.plan_of_server(origin)?;
    scratch.start(&servers)?;
    let (target, fetch) = scratch.database()?;
    run_plan(context, &fetch)?;
    run_plan(context, &Host::open(context).build()?)?;
    let (plan, traces) = check::scripts(&target, &scripts)?;
    run_plan(context, &plan)?;
    let problems = Problems::default();
    let reports = judge(context, &scripts, &traces, verdicts.as_deref(), &problems)?;
    Ok(Outcome { reports, skipped, problems })
}

/// What the lint says of these, in their order; none without a linter.
fn verdicts(context: &Context, all: &[Migration], skipped: &mut Vec<String>) -> Result<Option<Vec<Verdict>>> {
    match lint(context, all) {
        Ok(verdicts) => Ok(Some(verdicts)),
        Err(error) if exit_code(&error) == Exit::Missing as u8 => {
            skipped.push(format!("whether the lint expects what was traced: {error:#}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn judge(
    context: &Context,
    traced: &[Migration],
    answers: &[Value<Vec<Traced>>],
    verdicts: Option<&[Verdict]>,
    problems: &Problems,
) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for (migration, answer) in traced.iter().zip(answers) {
        let file = context.project.relative(&migration.up).to_string();
        let verdict = verdicts.and_then(|verdicts| verdicts.iter().find(|verdict| verdict.file == file));
        reports.push(check::judge(file, migration, answer.get()?.clone(), verdict, problems));
    }
    Ok(reports)
}

/// The versions that are traced: those in no commit; else those that the origin does not have.
fn newest(context: &Context) -> Vec<String> {
    let drafts = checkout::drafts(context);
    if !drafts.is_empty() {
        return drafts;
    }
    let (shared, own) = (checkout::shared_migrations(context), checkout::committed_migrations(context));
    let own = own.unwrap_or_default().into_iter().filter(|version| !shared.contains(version));
    if shared.is_empty() { Vec::new() } else { own.collect() }
}

/// Those before the first that is traced, and the others; the last one, where none is named: something is always tried.
fn split(all: Vec<Migration>, newest: &[String]) -> (Vec<Migration>, Vec<Migration>) {
    let first = all.iter().position(|migration| newest.contains(&migration.version.to_string()));
    let mut base = all;
    let newest = base.split_off(first.unwrap_or(base.len().saturating_sub(1)));
    (base, newest)
}

fn run_plan(context: &Context, plan: &Plan) -> Result<()> {
    if plan.is_empty() { Ok(()) } else { plan.run(context).result }
}

fn print_plan(context: &Context, arguments: &MigrateCheck) -> Result<u8> {
    if arguments.files.is_empty() {
        return print_plan_of(context, arguments.servers, arguments.fix, true).map(|()| 0);
    }
    let mut scratch = Scratch::new(context)?;
    scratch.plan_of_server(arguments.servers)?.print(&context.terminal)?;
    let (target, _) = scratch.database()?;
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    let scripts = arguments.files.iter().map(|file| named(&found.all, file)).collect::<Result<Vec<_>>>()?;
    Host::open(context).build()?.print(&context.terminal)?;
    check::scripts(&target, &scripts)?.0.print(&context.terminal)?;
    Ok(0)
}

/// Prints what [`for_check`] would do.
pub fn print_plan_of_all(context: &Context, fix: bool) -> Result<()> {
    print_plan_of(context, Origin::Auto, fix, false)
}

fn print_plan_of(context: &Context, origin: Origin, fix: bool, with_queries: bool) -> Result<()> {
    let mut scratch = Scratch::new(context)?;
    scratch.plan_of_server(origin)?.print(&context.terminal)?;
    let (target, _) = scratch.database()?;
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    let (base, newest) = split(found.all, &newest(context));
    let subject = Subject { base, newest, file: Some((context.project.root().join(SCHEMA), fix)) };
    let (schema, problems) = (Value::new("schema before the newest"), Problems::default());
    check::from_files(&target, &subject, &schema)?.print(&context.terminal)?;
    if with_queries {
        context.terminal.data(queries::describe(context, &scratch, FROM_FILES)?)?;
    }
    Host::open(context).build()?.print(&context.terminal)?;
    let (plan, full) = check::by_the_program(&target, &subject, &schema, &problems)?;
    plan.print(&context.terminal)?;
    check::on_rows(&target, &subject, &full, &problems)?.0.print(&context.terminal)
}

fn print(context: &Context, report: &Report) -> Result<()> {
    let terminal = &context.terminal;
    terminal.data(format!("{STRONG}{}{STRONG:#}", report.file))?;
    for traced in &report.statements {
        terminal.data(format!("  line {}  {}", traced.line, traced.statement))?;
        terminal.paragraph(format!("    {}", traced.summary()), 4)?;
        let own = report.observations.iter().filter(|one| one.observation.line == traced.line);
        for one in own {
            let known = match (&one.accepted, one.foreseen) {
                (Some(reason), _) => format!(" Accepted: {reason}"),
                (None, true) => " The lint says so too.".to_owned(),
                (None, false) => String::new(),
            };
            let style = if known.is_empty() { BAD } else { NOTICE };
            let observation = &one.observation;
            terminal
                .paragraph(format!("    {style}{}{style:#}: {}.{known}", observation.rule, observation.effect), 4)?;
        }
    }
    report.unconfirmed.iter().try_for_each(|line| terminal.paragraph(format!("  {line}"), 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrations(versions: &[u64]) -> Vec<Migration> {
        let one = |version: &u64| Migration { version: *version, up: PathBuf::new(), text: String::new() };
        versions.iter().map(one).collect()
    }

    #[test]
    fn everything_from_the_first_new_one_on_is_traced_and_always_something() {
        let parts = |newest: &[&str]| {
            let newest: Vec<String> = newest.iter().map(|version| (*version).to_owned()).collect();
            let (base, newest) = split(migrations(&[1, 2, 3]), &newest);
            (base.len(), newest.len())
        };
        assert_eq!(parts(&["3"]), (2, 1));
        assert_eq!(parts(&["2"]), (1, 2), "those after it apply on top of it");
        assert_eq!(parts(&[]), (2, 1));
        assert_eq!(parts(&["1", "2", "3"]), (0, 3));
        let (base, newest) = split(Vec::new(), &[]);
        assert_eq!((base.len(), newest.len()), (0, 0));
    }
}
