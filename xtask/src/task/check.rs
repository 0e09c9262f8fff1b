//! Formatting, lints, dependencies and generated files.

mod generated;
mod infrastructure;
mod migrations;
pub mod queries;
mod schema;

use anyhow::Result;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::step::Step;
use crate::terminal::{BAD, GOOD, NOTICE, Table};
use crate::tool::{cargo, version};

/// What came of a check.
pub enum Verdict {
    /// All is well.
    Passed,
    /// It was not, and is now: this was changed.
    Fixed(String),
    /// Not made, because of this; which is not the same as passed.
    Skipped(String),
    /// It is not.
    Failed(anyhow::Error),
}

/// One check: its name, and what makes it.
struct Check {
    name: &'static str,
    make: fn(&Context, bool) -> Result<Verdict>,
}

const CHECKS: &[Check] = &[
    Check { name: "format", make: format },
    Check { name: "queries", make: queries::check },
    Check { name: "lint", make: lint },
    Check { name: "migrations", make: migrations::check },
    Check { name: "schema", make: schema::check },
    Check { name: "dependencies", make: dependencies },
    Check { name: "advisories", make: advisories },
    Check { name: "dockerfile", make: infrastructure::dockerfile },
    Check { name: "scripts", make: infrastructure::scripts },
    Check { name: "compose", make: infrastructure::compose },
    Check { name: "generated", make: generated::check },
];

/// Makes every check, and fails if any failed.
pub fn run(context: &Context, fix: bool) -> Result<u8> {
    let mut verdicts = Vec::new();
    for check in CHECKS {
        context.interrupt.check()?;
        let verdict = (check.make)(context, fix).unwrap_or_else(Verdict::Failed);
        if context.interrupt.is_requested() {
            context.interrupt.check()?;
        }
        if let Verdict::Failed(error) = &verdict {
            context.terminal.failure(error);
        }
        verdicts.push((check.name, verdict));
    }
    if context.dry_run {
        return Ok(0);
    }
    let mut table = Table::default();
    for (name, verdict) in &verdicts {
        let (word, why) = match verdict {
            Verdict::Passed => (format!("{GOOD}passed{GOOD:#}"), String::new()),
            Verdict::Fixed(what) => (format!("{GOOD}fixed{GOOD:#}"), what.clone()),
            Verdict::Skipped(why) => (format!("{NOTICE}skipped{NOTICE:#}"), why.clone()),
            Verdict::Failed(error) => (format!("{BAD}failed{BAD:#}"), error.to_string()),
        };
        table.row([(*name).to_owned(), word, why]);
    }
    context.terminal.table(&table)?;
    let of = |wanted: fn(&Verdict) -> bool| verdicts.iter().filter(|(_, verdict)| wanted(verdict)).count();
    let (failed, skipped) =
        (of(|verdict| matches!(verdict, Verdict::Failed(_))), of(|verdict| matches!(verdict, Verdict::Skipped(_))));
    if skipped > 0 {
        context.terminal.note(format!("{skipped} skipped, which is not the same as passed"));
    }
    if failed > 0 {
        let what = format!("{failed} of {} checks failed", verdicts.len());
        let failure = Failure::new(Exit::Failed, what);
        return Err(if fix { failure } else { failure.hint("cargo xtask check --fix") }.into());
    }
    Ok(0)
}

/// Runs a check's command under a line of progress.
fn run_step(context: &Context, name: &str, step: &Step) -> Result<Verdict> {
    if context.dry_run {
        context.terminal.data(step)?;
        return Ok(Verdict::Passed);
    }
    let names = [name.to_owned()];
    let progress = context.terminal.progress(&names);
    let line = progress.lane(name);
    line.state(step.purpose());
    let outcome = context.runner.run(step, &CancelToken::on(&context.interrupt), &|_, said| {
        if let Some(detail) = cargo::progress(said) {
            line.detail(&detail);
        }
    });
    match outcome {
        Ok(()) => {
            line.done("passed");
            Ok(Verdict::Passed)
        }
        Err(error) => {
            line.failed("failed");
            Ok(Verdict::Failed(error))
        }
    }
}

fn format(context: &Context, fix: bool) -> Result<Verdict> {
    run_step(context, "format", &cargo::format(context.project.root(), fix))
}

fn lint(context: &Context, _: bool) -> Result<Verdict> {
    let verdict = run_step(context, "lint", &cargo::clippy(context.project.root(), context.terminal.is_colored()))?;
    let Verdict::Failed(error) = verdict else { return Ok(verdict) };
    Ok(Verdict::Failed(match (error.downcast::<Failure>(), newer_rust(context)) {
        (Ok(failure), Some(hint)) => failure.hint(hint).into(),
        (Ok(failure), None) => failure.into(),
        (Err(error), _) => error,
    }))
}

/// What helps where this Rust is newer than the one that CI has: each version brings lints of its own.
fn newer_rust(context: &Context) -> Option<String> {
    let ours = env!("CARGO_PKG_RUST_VERSION");
    let said = context.runner.read(&cargo::rustc_version(context.project.root())).ok()?.stdout;
    let found = version::word(said.trim());
    let is_newer = version::major_minor(found)? > version::major_minor(ours)?;
    is_newer.then(|| format!("cargo +{ours} xtask check, which has the lints of CI; Rust {found} may have others"))
}

fn dependencies(context: &Context, _: bool) -> Result<Verdict> {
    let root = context.project.root();
    if !has_deny(context) {
        return Ok(Verdict::Skipped("cargo-deny is not installed: cargo install --locked cargo-deny".to_owned()));
    }
    run_step(context, "dependencies", &cargo::deny(root, &["bans", "licenses", "sources"]))
}

/// Known holes. Their database is fetched first and by itself, so that a network that is away is told from a hole.
fn advisories(context: &Context, _: bool) -> Result<Verdict> {
    let root = context.project.root();
    if !has_deny(context) {
        return Ok(Verdict::Skipped("cargo-deny is not installed: cargo install --locked cargo-deny".to_owned()));
    }
    let fetch = cargo::fetch_advisories(root);
    if context.dry_run {
        context.terminal.data(&fetch)?;
    } else {
        let output = context.runner.read(&fetch)?;
        if !output.is_success() {
            return Ok(Verdict::Skipped("their database cannot be fetched from here".to_owned()));
        }
    }
    run_step(context, "advisories", &cargo::deny(root, &["--disable-fetch", "advisories"]))
}

fn has_deny(context: &Context) -> bool {
    context.runner.read(&cargo::deny_version(context.project.root())).is_ok_and(|output| output.is_success())
}

#[cfg(test)]
mod tests;
