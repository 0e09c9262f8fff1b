//! Whether the migrations do what their files promise, tried on databases that are thrown away: up from nothing, down to
//! nothing, up again; the newest on a database with rows, with a trace of what they do to those who use it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::lint::{Accepted, Verdict, accepted_traces};
use super::migrations::Migration;
use super::schema;
use super::target::Target;
use super::trace::{self, Observation, Traced};
use crate::failure::{Exit, Failure};
use crate::file;
use crate::plan::{Action, Plan, Value};
use crate::product::SCHEMA;
use crate::runner;
use crate::step::Step;

/// The database that is made from the files alone.
pub const FROM_FILES: &str = "check_files";
/// The database that the backend's program migrates.
pub const MIGRATED: &str = "check_migrated";
/// A copy in which a script is tried.
const TRIED: &str = "check_tried";
/// How long the migrations may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(10);

/// What is checked.
pub struct Subject {
    /// The migrations before those that are traced, in order.
    pub base: Vec<Migration>,
    /// Those that are traced, in order.
    pub newest: Vec<Migration>,
    /// The file with the schema, and whether it is written where it is not fresh. None where the server is not of the
    /// version that it is written for.
    pub file: Option<(PathBuf, bool)>,
}

/// What was found, in sentences. Lanes and checks share it.
#[derive(Clone, Default)]
pub struct Problems(Arc<Mutex<Vec<String>>>);

impl Problems {
    /// Adds a sentence and its evidence.
    pub fn add(&self, what: impl Into<String>, evidence: Vec<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(what.into());
        all.extend(evidence.into_iter().map(|line| format!("  {line}")));
    }

    /// All of them.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a traced migration did, beside what the lint said of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The file, relative to the checkout.
    pub file: String,
    /// What each statement did.
    pub statements: Vec<Traced>,
    /// What that means for those who use the database.
    pub observations: Vec<Judged>,
    /// What the lint expected, and PostgreSQL did not do.
    pub unconfirmed: Vec<String>,
}

/// An observation, and whether somebody knew of it.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// What was observed.
    #[serde(flatten)]
    pub observation: Observation,
    /// Whether the lint finds the same in the statement.
    pub foreseen: bool,
    /// Why the author has accepted it.
    pub accepted: Option<String>,
}

/// Makes a database from the files alone: those before the newest, whose schema is kept, and then the newest.
pub fn from_files(target: &Target<'_>, subject: &Subject, base: &Value<String>) -> Result<Plan> {
    let mut actions = vec![Action::Run(target.create(FROM_FILES, None)?)];
    let apply = |migration: &Migration| -> Result<Action> {
        let name = migration.up.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_whole = !migration.is_without_transaction();
        let step = target.apply(format!("apply {name} from nothing"), FROM_FILES, &migration.text, is_whole)?;
        Ok(Action::Run(step))
    };
    for migration in &subject.base {
        actions.push(apply(migration)?);
    }
    actions.push(keep_schema(target.schema(FROM_FILES)?, base));
    for migration in &subject.newest {
        actions.push(apply(migration)?);
    }
    Ok(Plan::of("files", actions, "every file applies, from the first to the last"))
}

/// Up, down to nothing, and up again with the same schema; fresh in git; seeded, and the newest taken back with rows.
pub fn by_the_program(
    target: &Target<'_>,
    subject: &Subject,
    base: &Value<String>,
    problems: &Problems,
) -> Result<(Plan, Value<String>)> {
    let program = (target.program)(MIGRATED)?;
    let (full, nothing, again, reverted) = (
        Value::new("schema of all migrations"),
        Value::new("schema of no migration"),
        Value::new("schema of the second time"),
        Value::new("schema after a revert"),
    );
    let schema = |value: &Value<String>| -> Result<Action> { Ok(keep_schema(target.schema(MIGRATED)?, value)) };
    let compare = |what: &'static str, one: &Value<String>, other: &Value<String>, why: &'static str| {
        let (one, other, problems) = (one.clone(), other.clone(), problems.clone());
        Action::check(what, move |_| {
            let differences = schema::differences(one.get()?, other.get()?);
            if !differences.is_empty() {
                problems.add(why, differences);
            }
            Ok(())
        })
    };
    let mut actions = vec![
        Action::Run(target.create(MIGRATED, None)?),
        Action::Run(program.migrate(MIGRATION_TIMEOUT, &[]).without_hints()),
        schema(&full)?,
        Action::Run(program.revert_migrations(MIGRATION_TIMEOUT, Some(0)).without_hints()),
        schema(&nothing)?,
        expect_nothing(&nothing),
        Action::Run(program.migrate(MIGRATION_TIMEOUT, &[]).without_hints()),
        schema(&again)?,
        compare(
            "compare with the first time",
            &full,
            &again,
            "down and up again is another schema than the first time:",
        ),
    ];
    if let Some((path, fix)) = &subject.file {
        actions.push(fresh(path.clone(), *fix, &full, problems));
    }
    actions.push(Action::Run(program.seed()));
    if !subject.newest.is_empty() {
        let stays = subject.base.last().map_or(0, |migration| migration.version);
        actions.push(Action::Run(program.revert_migrations(MIGRATION_TIMEOUT, Some(stays)).without_hints()));
        actions.push(schema(&reverted)?);
        let why = "the newest down files do not give back the schema before:";
        actions.push(compare("compare with the schema before", base, &reverted, why));
    }
    Ok((Plan::of("program", actions, "up, down, up again, seeded"), full))
}

/// Runs the newest migrations on a database with rows, and keeps what each did.
pub fn on_rows(
    target: &Target<'_>,
    subject: &Subject,
    full: &Value<String>,
    problems: &Problems,
) -> Result<(Plan, Vec<Value<Vec<Traced>>>)> {
    let (mut actions, mut values) = (Vec::new(), Vec::new());
    for migration in &subject.newest {
        let value = Value::new("trace");
        actions.push(keep_trace(target, MIGRATED, migration, &value)?);
        values.push(value);
    }
    let again = Value::new("schema of the trace");
    actions.push(keep_schema(target.schema(MIGRATED)?, &again));
    let (full, problems) = (full.clone(), problems.clone());
    actions.push(Action::check("compare with the schema from nothing", move |_| {
        let differences = schema::differences(full.get()?, again.get()?);
        if !differences.is_empty() {
            problems.add(
                "on a database with rows the newest migrations make another schema than from nothing:",
                differences,
            );
        }
        Ok(())
    }));
    Ok((Plan::of("trace", actions, "the newest apply to a database with rows"), values))
}

/// Tries scripts that are no migrations yet, each on a copy of the database with rows.
pub fn scripts(target: &Target<'_>, scripts: &[Migration]) -> Result<(Plan, Vec<Value<Vec<Traced>>>)> {
    let program = (target.program)(MIGRATED)?;
    let mut actions = vec![
        Action::Run(target.create(MIGRATED, None)?),
        Action::Run(program.migrate(MIGRATION_TIMEOUT, &[]).without_hints()),
        Action::Run(program.seed()),
    ];
    let mut values = Vec::new();
    for script in scripts {
        let value = Value::new("trace");
        actions.push(Action::Run(target.create(TRIED, Some(MIGRATED))?));
        actions.push(keep_trace(target, TRIED, script, &value)?);
        values.push(value);
    }
    Ok((Plan::of("trace", actions, "each script was tried on a database with rows"), values))
}

/// What the down files leave stands in the way of everything that comes after.
fn expect_nothing(schema: &Value<String>) -> Action {
    let schema = schema.clone();
    Action::check("see what the down files leave", move |_| {
        let left = schema::differences("", schema.get()?);
        if left.is_empty() {
            return Ok(());
        }
        let failure = Failure::new(Exit::Failed, "the down files leave something behind").details(left);
        Err(failure.hint("remove it in the down file of the migration that makes it").into())
    })
}

fn keep_schema(step: Step, value: &Value<String>) -> Action {
    Action::keep(step, value, |said| Some(schema::normalised(said)))
}

/// Compares the file in git with the schema, or writes it.
fn fresh(path: PathBuf, fix: bool, schema: &Value<String>, problems: &Problems) -> Action {
    let (schema, problems) = (schema.clone(), problems.clone());
    Action::check(format!("see whether {SCHEMA} is fresh"), move |_| {
        let now = schema::file_of(schema.get()?);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        if before != now && fix {
            file::write(&path, now.as_bytes(), 0o644)?;
        } else if before != now {
            problems.add(
                format!("{SCHEMA} is not what the migrations add up to; cargo xtask migrate check --fix writes it:"),
                schema::differences(&before, &now),
            );
        }
        Ok(())
    })
}

fn keep_trace(
    target: &Target<'_>,
    database: &str,
    migration: &Migration,
    value: &Value<Vec<Traced>>,
) -> Result<Action> {
    let name = migration.up.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let step = target.apply(format!("trace {name}"), database, &trace::script(migration), false)?;
    let (migration, value) = (migration.clone(), value.clone());
    let keep = move |_: &Step, output: &runner::Output| {
        if !output.is_success() {
            let line = trace::last_line(&migration, &output.stdout);
            let what = format!("{name}, line {line}, fails on a database with rows");
            return Err(Failure::new(Exit::Failed, what).details(output.stderr.lines()).into());
        }
        value.set(trace::parse(&migration, &output.stdout)?);
        Ok(())
    };
    Ok(Action::Read(step, Box::new(keep)))
}

/// What each rule of a trace is called by the lint, where that can see it in the statement.
const FORESEEN: [(&str, &[&str]); 3] = [
    (
        "trace-rewrite",
        &[
            "changing-column-type",
            "adding-field-with-default",
            "adding-serial-primary-key-field",
            "table-rewrite",
            "vacuum-full",
            "truncate",
            "refresh-without-concurrently",
        ],
    ),
    (
        "trace-scan",
        &[
            "adding-not-nullable-field",
            "constraint-missing-not-valid",
            "adding-foreign-key-constraint",
            "disallowed-unique-constraint",
            "adding-serial-primary-key-field",
            "require-concurrent-index-creation",
            "require-concurrent-reindex",
            "changing-column-type",
            "write-under-lock",
            "unbatched-write",
        ],
    ),
    ("trace-write", &["unbatched-write", "write-under-lock"]),
];

/// Rules of the lint that say more than what a trace can confirm, or less.
const NOT_CONFIRMED_BY_A_TRACE: [&str; 2] = ["write-under-lock", "unbatched-write"];

/// A migration's trace beside the lint's verdict on it, if there is one. What nobody foresaw or accepted is a problem.
pub fn judge(
    file: String,
    migration: &Migration,
    traced: Vec<Traced>,
    verdict: Option<&Verdict>,
    problems: &Problems,
) -> Report {
    let mut accepted: Vec<(Accepted, bool)> =
        accepted_traces(&migration.text).into_iter().map(|one| (one, false)).collect();
    let mut observations = Vec::new();
    for observation in traced.iter().flat_map(Traced::observations) {
        let own = accepted.iter_mut().find(|(one, _)| one.rule == observation.rule && one.line == observation.line);
        let reason = own.map(|(one, is_used)| {
            *is_used = true;
            one.reason.clone()
        });
        let reason = reason.filter(|reason| !reason.is_empty());
        let foreseen = verdict.is_some_and(|verdict| is_foreseen(verdict, &observation));
        if !foreseen && reason.is_none() {
            let Observation { line, rule, effect, .. } = &observation;
            let why = if verdict.is_some() { ", which the lint does not see" } else { "" };
            let accept = format!("change it, or write -- accept {rule}: reason above the statement");
            problems.add(format!("{file}:{line}: {rule}: {effect}{why}"), vec![accept]);
        }
        observations.push(Judged { observation, foreseen, accepted: reason });
    }
    // Without rows nothing could be observed.
    let is_in_vain = |line: usize| traced.iter().any(|statement| statement.line == line && !statement.empty.is_empty());
    for (one, _) in accepted.iter().filter(|(one, is_used)| !is_used && !is_in_vain(one.line)) {
        let what = format!("{file}:{}: {} is accepted, and was not observed", one.line, one.rule);
        problems.add(what, vec!["remove the comment, or correct the rule's name".to_owned()]);
    }
    let unconfirmed = verdict.map(|verdict| unconfirmed(verdict, &traced, &observations)).unwrap_or_default();
    Report { file, statements: traced, observations, unconfirmed }
}

fn is_foreseen(verdict: &Verdict, observation: &Observation) -> bool {
    let rules = FORESEEN.iter().find(|(rule, _)| *rule == observation.rule).map_or(&[][..], |(_, rules)| rules);
    let lines = observation.line..=observation.last_line;
    verdict.findings.iter().any(|found| lines.contains(&found.line) && rules.contains(&found.rule.as_str()))
}

/// What the lint expected a statement to do to whole tables, and PostgreSQL did not do.
fn unconfirmed(verdict: &Verdict, traced: &[Traced], observations: &[Judged]) -> Vec<String> {
    let is_expected = |rule: &str| {
        !NOT_CONFIRMED_BY_A_TRACE.contains(&rule) && FORESEEN.iter().any(|(_, rules)| rules.contains(&rule))
    };
    let mut told = Vec::new();
    for found in verdict.findings.iter().filter(|found| is_expected(&found.rule)) {
        let Some(statement) = traced.iter().find(|one| (one.line..=one.last_line).contains(&found.line)) else {
            continue;
        };
        if !observations.iter().any(|one| one.observation.line == statement.line) {
            let did = statement.summary();
            told.push(format!(
                "line {}: {}: the lint expects it, and PostgreSQL did not do it here: {did}",
                found.line, found.rule
            ));
        }
    }
    told
}

#[cfg(test)]
mod tests;
