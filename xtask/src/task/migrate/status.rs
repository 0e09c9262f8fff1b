//! `migrate status`: where each migration stands, and whether the version before could go on with it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::MigrateStatus;
use crate::context::Context;
use crate::database::compatibility::{self, Incompatible};
use crate::database::lint::{Finding, Verdict};
use crate::database::migrations;
use crate::failure::Exit;
use crate::product::MIGRATIONS;
use crate::runner;
use crate::step::Step;
use crate::task::place::Place;
use crate::terminal::{BAD, GOOD, NOTICE, Table};

/// What the backend's program says of one migration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// The digits in its name.
    pub version: u64,
    /// The rest of its name.
    pub name: String,
    /// `applied`, `pending`, `empty`, `altered` or `unknown`.
    pub state: String,
    /// When it was applied.
    pub applied_at: Option<String>,
    /// Whether it is pending although a newer one is applied.
    #[serde(default)]
    pub out_of_order: bool,
    /// How many statements of a pending migration are done, because they run outside of a transaction.
    #[serde(default)]
    pub statements_done: usize,
}

/// What the backend's program says.
pub struct Answer {
    /// All of it.
    pub document: Value,
    /// Every migration, oldest first.
    pub entries: Vec<Entry>,
    /// The code to exit with.
    pub code: u8,
}

/// Prints it.
pub fn run(context: &Context, arguments: &MigrateStatus) -> Result<u8> {
    // Migrations are compiled into the binary, so that asking an old one would not tell of new files.
    let (program, build) = Place::of(context, &arguments.on)?.program()?;
    let step = program.migration_status(true);
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    build.run(context).result?;
    let mut answer = ask(context, &step)?;
    let verdicts = marks(context, &answer.entries);
    if arguments.output.json {
        add_marks(&mut answer.document, &verdicts);
        context.terminal.json(&answer.document)?;
    } else {
        print(context, &answer, &verdicts)?;
    }
    Ok(answer.code)
}

/// Asks the backend's program, whose exit code says whether something is to be done.
pub fn ask(context: &Context, step: &Step) -> Result<Answer> {
    let output = context.runner.read(step)?;
    let code = match output.code {
        Some(0) => 0,
        Some(code) if code == i32::from(Exit::Migrations as u8) && !output.stdout.is_empty() => Exit::Migrations as u8,
        code => return Err(runner::failure(step, code, &output.lines()).into()),
    };
    let unreadable = || format!("cannot read what {} says", step.program().display());
    let document: Value = serde_json::from_str(&output.stdout).with_context(unreadable)?;
    let entries = serde_json::from_value(document["migrations"].clone()).with_context(unreadable)?;
    Ok(Answer { document, entries, code })
}

/// The verdicts on the migrations that have a file here. Without a linter there are none, and a warning says so.
fn marks(context: &Context, entries: &[Entry]) -> BTreeMap<u64, Verdict> {
    let found = migrations::read(&context.project.root().join(MIGRATIONS)).map(|found| found.all).unwrap_or_default();
    let versions = found.iter().map(|one| one.version);
    let known: Vec<u64> = versions.filter(|version| entries.iter().any(|entry| entry.version == *version)).collect();
    match compatibility::verdicts(context, &known) {
        Ok(verdicts) => verdicts.into_iter().map(|verdict| (verdict.version, verdict)).collect(),
        Err(error) => {
            context.terminal.warn(format!("whether migrations are compatible is not known: {error:#}"));
            BTreeMap::new()
        }
    }
}

/// Adds to each migration whether it is compatible, and why it is not; null where nobody knows.
fn add_marks(document: &mut Value, verdicts: &BTreeMap<u64, Verdict>) {
    for entry in document["migrations"].as_array_mut().into_iter().flatten() {
        let verdict = entry["version"].as_u64().and_then(|version| verdicts.get(&version));
        entry["compatible"] = json!(verdict.map(|verdict| verdict.compatible));
        let found = verdict.map(|verdict| compatibility::incompatible(std::slice::from_ref(verdict)));
        entry["incompatible"] = json!(found.iter().flatten().flat_map(|one| &one.findings).collect::<Vec<_>>());
    }
}

fn print(context: &Context, answer: &Answer, verdicts: &BTreeMap<u64, Verdict>) -> Result<()> {
    let mut table = Table::default();
    table.row(["state", "version", "name", "compatible"]);
    for entry in &answer.entries {
        let state = match entry.state.as_str() {
            "applied" => entry.state.clone(),
            "pending" => format!("{NOTICE}pending{NOTICE:#}"),
            other => format!("{BAD}{other}{BAD:#}"),
        };
        let late = if entry.out_of_order { " (out of order)" } else { "" };
        let mark = match verdicts.get(&entry.version).map(|verdict| verdict.compatible) {
            Some(true) => format!("{GOOD}yes{GOOD:#}"),
            Some(false) => format!("{BAD}no{BAD:#}"),
            None => "?".to_owned(),
        };
        let half = match entry.statements_done {
            0 => String::new(),
            done => format!(" (statements done: {done})"),
        };
        table.row([state, entry.version.to_string(), format!("{}{late}{half}", entry.name), mark]);
    }
    context.terminal.table(&table)?;
    let hints: Vec<String> = serde_json::from_value(answer.document["hints"].clone()).unwrap_or_default();
    let reasons = reasons(&answer.entries, verdicts);
    if !hints.is_empty() || !reasons.is_empty() {
        context.terminal.data("")?;
    }
    reasons.iter().chain(&hints).try_for_each(|line| context.terminal.paragraph(line, 2))
}

/// Why a migration that is to be applied is not compatible: the question before a deployment.
fn reasons(entries: &[Entry], verdicts: &BTreeMap<u64, Verdict>) -> Vec<String> {
    let pending = entries.iter().filter(|entry| entry.applied_at.is_none());
    let verdicts: Vec<Verdict> = pending.filter_map(|entry| verdicts.get(&entry.version)).cloned().collect();
    let of = |one: &Incompatible<'_>| -> Vec<String> {
        let reason = |found: &&Finding| format!("{}:{}: {}: {}", found.file, found.line, found.rule, found.effect);
        one.findings.iter().map(reason).collect()
    };
    compatibility::incompatible(&verdicts).iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::exit_code;
    use crate::fixture::Fixture;
    use crate::runner::{fails, says};

    const SAID: &str = r#"{"schema_version":1,"hints":["pending: `migrate run` applies it"],"migrations":[
        {"version":20260101000000,"name":"a","state":"applied","applied_at":"2026-01-01T00:00:00Z","out_of_order":false},
        {"version":20260102000000,"name":"b c","state":"pending","applied_at":null,"out_of_order":true},
        {"version":20260103000000,"name":"d","state":"unknown","applied_at":"2026-01-01T00:00:00Z","out_of_order":false}]}"#;

    /// A stack in containers whose second migration is pending and not compatible.
    fn stack(squawk: crate::runner::Output) -> (Fixture, crate::fixture::docker::Daemon) {
        let (mut fixture, daemon) = Fixture::with_docker();
        for (stem, up) in [("20260101000000_a", "SELECT 1;"), ("20260102000000_b_c", "\nTRUNCATE t;")] {
            fixture.write(&format!("{MIGRATIONS}/{stem}.up.sql"), up);
            fixture.write(&format!("{MIGRATIONS}/{stem}.down.sql"), "");
        }
        fixture.runner.also_has("squawk");
        fixture.xtask(&["up"]).expect(0);
        let output = crate::runner::Output { stdout: SAID.to_owned(), ..fails(5, "") };
        fixture.runner.on("migrate status", output).on("squawk", squawk);
        (fixture, daemon)
    }

    #[test]
    fn each_migration_has_its_mark_and_one_that_is_to_come_its_reason() {
        let (mut fixture, _daemon) = stack(says("[]"));
        let ran = fixture.xtask(&["migrate", "status"]).expect(5);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(lines[1], "applied  20260101000000  a                   yes");
        assert_eq!(lines[2], "pending  20260102000000  b c (out of order)  no");
        assert_eq!(lines[3], "unknown  20260103000000  d                   ?");
        assert!(lines[5].contains("20260102000000_b_c.up.sql:2: truncate: All rows are gone"), "{}", ran.stdout);
        assert_eq!(lines.last(), Some(&"pending: `migrate run` applies it"));
    }

    #[test]
    fn the_document_has_the_mark_of_each_migration_and_what_makes_it_incompatible() {
        let (mut fixture, _daemon) = stack(says("[]"));
        let ran = fixture.xtask(&["migrate", "status", "--json"]).expect(5);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let marks: Vec<&Value> =
            document["migrations"].as_array().unwrap().iter().map(|one| &one["compatible"]).collect();
        assert_eq!(marks, [&json!(true), &json!(false), &Value::Null]);
        assert_eq!(document["migrations"][1]["incompatible"][0]["rule"], "truncate");
        assert_eq!(document["migrations"][0]["incompatible"], json!([]));
        assert_eq!(document["schema_version"], 1);
    }

    #[test]
    fn without_a_linter_the_state_is_told_and_the_mark_is_not() {
        let (mut fixture, _daemon) = stack(fails(101, "panicked"));
        let ran = fixture.xtask(&["migrate", "status"]).expect(5).says(&["compatible is not known"]);
        assert!(ran.stdout.contains("pending  20260102000000  b c (out of order)  ?"), "{}", ran.stdout);
    }

    #[test]
    fn what_the_program_does_not_answer_is_a_failure_with_its_code() {
        let fixture = Fixture::new(&[]);
        let step = Step::new("ask for the migrations", "x");
        for (answer, code) in [(fails(5, "no"), 1), (fails(3, "no url"), 1), (says("nonsense"), 1)] {
            fixture.runner.on("x", answer);
            assert_eq!(exit_code(&ask(&fixture.context, &step).err().unwrap()), code);
        }
    }
}
