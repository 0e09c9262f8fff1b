//! From what was edited to a binary that may be started: built, put beside, and its migrations applied.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Location;
use super::files::Files;
use super::queries::{self, NewFiles};
use super::report::Problem;
use super::sources::Snapshot;
use crate::context::Context;
use crate::failure::{Exit, exit_code};
use crate::file;
use crate::interrupt::CancelToken;
use crate::product::BINARY;
use crate::runner::Stream;
use crate::stack::foundation;
use crate::tool::backend::{Program, Variable};
use crate::tool::cargo::Diagnosis;

/// What is to be done before a server can be started.
pub struct Job {
    /// What the sources hold.
    pub snapshot: Snapshot,
    /// Whether the binary is of other sources.
    pub needs_build: bool,
    /// Whether there are other migrations than those that were applied last.
    pub needs_migration: bool,
}

/// How that ended.
pub enum Outcome {
    /// A server may be started.
    Prepared(Prepared),
    /// It may not.
    Failed(Problem),
    /// It was cancelled.
    Cancelled,
}

/// What a server is started with.
pub struct Prepared {
    /// What it is made from.
    pub snapshot: Snapshot,
    /// Its variables.
    pub environment: Vec<Variable>,
    /// Whether the binary is another one than before.
    pub is_another_binary: bool,
    /// Warnings of the compiler.
    pub warnings: Vec<String>,
    /// What the migrations said.
    pub migrated: Vec<String>,
    /// What the database said about changed queries: files of the checkout with what is to be in them.
    pub metadata: NewFiles,
}

impl Job {
    /// Does it.
    pub fn run(self, context: &Context, location: &Location, files: &Files, cancel: &CancelToken) -> Outcome {
        match self.attempt(context, location, files, cancel) {
            _ if cancel.is_cancelled() => Outcome::Cancelled,
            Ok(prepared) => Outcome::Prepared(prepared),
            Err(problem) => Outcome::Failed(problem),
        }
    }

    fn attempt(
        self,
        context: &Context,
        location: &Location,
        files: &Files,
        cancel: &CancelToken,
    ) -> Result<Prepared, Problem> {
        let (built, environment) = std::thread::scope(|scope| {
            // The commit is asked for while the compiler is at work.
            let environment = scope.spawn(|| location.environment(context));
            let built = if self.needs_build { build(context, location, cancel) } else { Ok(Vec::new()) };
            (built, environment.join())
        });
        let environment = environment.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (warnings, metadata) = match built {
            Ok(warnings) => (warnings, Vec::new()),
            // The database of the stack knows what the new query gives; what it says is kept.
            Err(failed) if failed.lacks_metadata && location.may_write() => {
                let again = queries::build_and_describe(context, location, files, &environment, cancel);
                again.map_err(|again| if again.needs_edit { again } else { failed.problem })?
            }
            Err(failed) => return Err(failed.problem),
        };
        cancel.check()?;
        let is_another_binary = self.needs_build && put_beside(location.binary(), &files.binary())?;
        let migrated =
            if self.needs_migration { migrate(context, location, &environment, files, cancel)? } else { Vec::new() };
        Ok(Prepared { snapshot: self.snapshot, environment, is_another_binary, warnings, migrated, metadata })
    }
}

/// A build that failed.
struct Failed {
    problem: Problem,
    /// Whether it is for want of what the database says about a query.
    lacks_metadata: bool,
}

/// The compiler's warnings, or its errors.
fn build(context: &Context, location: &Location, cancel: &CancelToken) -> Result<Vec<String>, Failed> {
    let diagnosis = RefCell::new(Diagnosis::default());
    let outcome = context.runner.run(&location.build(), cancel, &|_, line| diagnosis.borrow_mut().hear(line));
    let diagnosis = diagnosis.into_inner();
    let Err(error) = outcome else { return Ok(diagnosis.warnings) };
    let lacks_metadata = diagnosis.errors.iter().any(|error| error.contains("no cached data for this query"));
    let hint = "cargo xtask check --fix, which asks a database about every changed query";
    let problem = problem_of(diagnosis, error);
    Err(Failed { problem: if lacks_metadata { problem.hint(hint) } else { problem }, lacks_metadata })
}

/// Why a build failed: what the compiler says, else what cargo says, else what became of cargo.
pub fn problem_of(diagnosis: Diagnosis, error: anyhow::Error) -> Problem {
    if !diagnosis.errors.is_empty() {
        return Problem::of_source(diagnosis.summary(), diagnosis.errors);
    }
    if !diagnosis.others.is_empty() {
        let summary = diagnosis.others.iter().find_map(|line| line.trim().strip_prefix("error: "));
        let summary = summary.unwrap_or("cargo fails").to_owned();
        return Problem::of_source(format!("cargo: {summary}"), diagnosis.others);
    }
    error.into()
}

/// Puts the binary where no build replaces it; false when it is there already.
pub fn put_beside(built: &Path, kept: &Path) -> Result<bool> {
    if is_same_file(built, kept) {
        return Ok(false);
    }
    let draft = kept.with_extension("new");
    file::remove(&draft)?;
    // Across file systems only a copy works.
    if std::fs::hard_link(built, &draft).is_err() {
        std::fs::copy(built, &draft).with_context(|| format!("cannot copy {}", built.display()))?;
    }
    std::fs::rename(&draft, kept).with_context(|| format!("cannot put {} in its place", kept.display()))?;
    Ok(true)
}

#[cfg(unix)]
fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

#[cfg(not(unix))]
fn is_same_file(_: &Path, _: &Path) -> bool {
    false
}

/// What was applied.
fn migrate(
    context: &Context,
    location: &Location,
    environment: &[Variable],
    files: &Files,
    cancel: &CancelToken,
) -> Result<Vec<String>, Problem> {
    let (done, said) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let program = Program::with(&files.binary(), environment);
    let step = program.migrate(foundation::MIGRATION_TIMEOUT, &location.drafts(context));
    let outcome = context.runner.run(&step, cancel, &|stream, line| match stream {
        Stream::Out => done.borrow_mut().push(line.to_owned()),
        Stream::Err => said.borrow_mut().push(line.to_owned()),
    });
    let Err(error) = outcome else {
        return Ok(done.into_inner().into_iter().filter(|line| line != "nothing to apply").collect());
    };
    let said = said.into_inner();
    let mark = format!("{BINARY}: ");
    let start = said.iter().position(|line| line.starts_with(&mark));
    let Some(words) = start.map(|start| &said[start..]) else { return Err(error.into()) };
    let summary = words[0].trim_start_matches(&mark).trim_end_matches(':').to_owned();
    let problem = Problem::of_source(summary, words.to_vec()).hint("cargo xtask migrate status");
    let code = exit_code(&error);
    // The database is away, or somebody else migrates: no edit helps, and time does.
    if code == Exit::Unhealthy as u8 || code == Exit::Locked as u8 {
        return Err(Problem { needs_edit: false, ..problem.hint("cargo xtask status") });
    }
    // Only what was applied and differs now is in the way of every other edit.
    let differs = code == Exit::Migrations as u8 && problem.summary.contains("differ");
    Err(if differs {
        problem
            .hint("cargo xtask migrate redo, where it is the newest and its down script works")
            .hint("cargo xtask migrate bless, where the edit changes nothing, such as a comment")
            .hint("cargo xtask clean && cargo xtask up, which migrates from nothing; the data is lost")
    } else {
        problem
    })
}

#[cfg(test)]
mod tests;
