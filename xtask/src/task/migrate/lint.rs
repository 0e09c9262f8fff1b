//! `migrate lint`: what migrations would do to a database that is in use.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::cli::Lint;
use crate::context::Context;
use crate::database::lint::{Finding, Verdict, lint};
use crate::database::migrations::{self, Migration};
use crate::failure::{Exit, Failure};
use crate::product::{LINTED_SINCE, MIGRATIONS};
use crate::terminal::{BAD, GOOD, NOTICE};

/// Prints what was found, and fails if anything is left that nobody has accepted.
pub fn run(context: &Context, arguments: &Lint) -> Result<u8> {
    let (verdicts, problems) = verdicts(context, &arguments.files)?;
    if arguments.output.json {
        context.terminal.json(&json!({
            "schema_version": 1,
            "passed": problems.is_empty() && verdicts.iter().all(|verdict| verdict.open().count() == 0),
            "problems": problems,
            "migrations": verdicts,
        }))?;
    } else {
        verdicts.iter().try_for_each(|verdict| print(context, verdict))?;
        if verdicts.is_empty() {
            context.terminal.note("there is no migration to lint: older ones are linted when they are named");
        }
    }
    match failure_of(&verdicts, problems) {
        Some(failure) => Err(failure.into()),
        None => Ok(0),
    }
}

/// The verdict on each migration, and what is wrong with the files themselves.
pub fn verdicts(context: &Context, files: &[std::path::PathBuf]) -> Result<(Vec<Verdict>, Vec<String>)> {
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    let chosen = if files.is_empty() {
        found.all.into_iter().filter(|migration| migration.version >= LINTED_SINCE).collect()
    } else {
        files.iter().map(|file| named(&found.all, file)).collect::<Result<Vec<_>>>()?
    };
    Ok((lint(context, &chosen)?, found.problems))
}

/// The failure that lists everything that is left; none where nothing is.
pub fn failure_of(verdicts: &[Verdict], problems: Vec<String>) -> Option<Failure> {
    let open: Vec<&Finding> = verdicts.iter().flat_map(Verdict::open).collect();
    if open.is_empty() && problems.is_empty() {
        return None;
    }
    let count = open.len() + problems.len();
    let what = if count == 1 {
        "a finding in the migrations".to_owned()
    } else {
        format!("{count} findings in the migrations")
    };
    let failure = Failure::new(Exit::Failed, what).details(problems);
    Some(if open.is_empty() {
        failure
    } else {
        failure.hint("change the migration, or write -- accept RULE: reason above the statement; docs/migration-rules.md explains each")
    })
}

/// The migration of a file, wherever it lies: a script can be tried before it is moved among the migrations.
pub fn named(all: &[Migration], file: &Path) -> Result<Migration> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot read {}: {error}", file.display()))
            .hint("cargo xtask migrate lint, which takes those that are new")
    })?;
    let known = all.iter().find(|migration| migration.up.canonicalize().ok() == file.canonicalize().ok());
    Ok(known.cloned().unwrap_or_else(|| Migration { version: 0, up: file.to_owned(), text }))
}

fn print(context: &Context, verdict: &Verdict) -> Result<()> {
    let terminal = &context.terminal;
    let mark = match (verdict.is_read(), verdict.compatible) {
        (false, _) => format!("{BAD}cannot be read{BAD:#}"),
        (true, true) => format!("{GOOD}compatible{GOOD:#} with the version before"),
        (true, false) => format!("{BAD}not compatible{BAD:#} with the version before"),
    };
    terminal.data(format!("{}: {mark}", verdict.file))?;
    for finding in &verdict.findings {
        let Finding { line, rule, effect, instead, accepted, .. } = finding;
        if let Some(reason) = accepted {
            terminal.data(format!("  line {line}  {rule}: accepted, {reason}"))?;
            continue;
        }
        terminal.data(format!("  line {line}  {NOTICE}{rule}{NOTICE:#}"))?;
        terminal.paragraph(format!("    {effect}"), 4)?;
        if !instead.is_empty() {
            terminal.paragraph(format!("    Instead: {instead}"), 4)?;
        }
    }
    Ok(())
}
