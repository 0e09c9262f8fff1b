//! From what was edited to a binary that may be started: built, put beside, and its migrations applied.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Place;
use super::files::Files;
use super::report::Problem;
use super::sources::Snapshot;
use crate::context::Context;
use crate::file;
use crate::interrupt::CancelToken;
use crate::stack::ground;
use crate::stack::thunder::SOURCE_FOLDER;
use crate::tool::backend::{Thunder, Variable};
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
}

impl Job {
    /// Does it.
    pub fn run(self, context: &Context, place: &Place, files: &Files, cancel: &CancelToken) -> Outcome {
        match self.attempt(context, place, files, cancel) {
            _ if cancel.is_cancelled() => Outcome::Cancelled,
            Ok(prepared) => Outcome::Prepared(prepared),
            Err(problem) => Outcome::Failed(problem),
        }
    }

    fn attempt(
        self,
        context: &Context,
        place: &Place,
        files: &Files,
        cancel: &CancelToken,
    ) -> Result<Prepared, Problem> {
        let (warnings, environment) = std::thread::scope(|scope| {
            // The commit is asked for while the compiler is at work.
            let environment = scope.spawn(|| place.environment(context));
            let warnings = if self.needs_build { build(context, place, cancel) } else { Ok(Vec::new()) };
            (warnings, environment.join())
        });
        let (warnings, environment) =
            (warnings?, environment.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        cancel.check()?;
        let is_another_binary = self.needs_build && put_beside(place.binary(), &files.binary())?;
        let migrated = if self.needs_migration { migrate(context, &environment, files, cancel)? } else { Vec::new() };
        Ok(Prepared { snapshot: self.snapshot, environment, is_another_binary, warnings, migrated })
    }
}

/// The compiler's warnings, or its errors.
fn build(context: &Context, place: &Place, cancel: &CancelToken) -> Result<Vec<String>, Problem> {
    let diagnosis = RefCell::new(Diagnosis::default());
    let outcome = context.runner.run(&place.build(), cancel, &|_, line| diagnosis.borrow_mut().hear(line));
    let diagnosis = diagnosis.into_inner();
    match outcome {
        Ok(()) => Ok(diagnosis.warnings),
        Err(_) if !diagnosis.errors.is_empty() => {
            let lacks_metadata = diagnosis.errors.iter().any(|error| error.contains("no cached data for this query"));
            let problem = Problem::of_source(diagnosis.summary(SOURCE_FOLDER), diagnosis.errors);
            let hints = "cargo xtask check --fix, which writes the metadata of changed queries";
            Err(if lacks_metadata { problem.hint(hints) } else { problem })
        }
        Err(_) if !diagnosis.others.is_empty() => {
            let summary = diagnosis.others.iter().find_map(|line| line.trim().strip_prefix("error: "));
            let summary = summary.unwrap_or("cargo fails").to_owned();
            Err(Problem::of_source(format!("cargo: {summary}"), diagnosis.others))
        }
        Err(error) => Err(error.into()),
    }
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
    environment: &[Variable],
    files: &Files,
    cancel: &CancelToken,
) -> Result<Vec<String>, Problem> {
    let said = RefCell::new(Vec::new());
    let step = Thunder::with(&files.binary(), environment).migrate(ground::MIGRATIONS);
    let outcome = context.runner.run(&step, cancel, &|_, line| said.borrow_mut().push(line.to_owned()));
    let said = said.into_inner();
    let Err(error) = outcome else {
        return Ok(said.into_iter().filter(|line| line.starts_with("applied ")).collect());
    };
    let start = said.iter().position(|line| line.starts_with("thunder: "));
    let Some(words) = start.map(|start| &said[start..]) else { return Err(error.into()) };
    let summary = words[0].trim_start_matches("thunder: ").trim_end_matches(':').to_owned();
    let problem = Problem::of_source(summary, words.to_vec());
    Err(if words[0].contains("migrations differ") {
        problem
            .hint("undo the edit, and put the change into a migration of its own")
            .hint("cargo xtask clean && cargo xtask up, to migrate from nothing")
    } else {
        problem.hint("mend the migration: what it had done was rolled back")
    })
}
