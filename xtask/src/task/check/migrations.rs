//! What the migrations would do to a database that is in use.

use anyhow::Result;

use super::Verdict;
use crate::context::Context;
use crate::failure::{Exit, exit_code};
use crate::task::migrate::lint;

/// Lints the migrations.
pub fn check(context: &Context, _: bool) -> Result<Verdict> {
    let (verdicts, problems) = match lint::verdicts(context, &[]) {
        Ok(found) => found,
        // Without a linter nothing was checked, which is not the same as passed.
        Err(error) if exit_code(&error) == Exit::Missing as u8 => return Ok(Verdict::Skipped(format!("{error:#}"))),
        Err(error) => return Err(error),
    };
    for finding in verdicts.iter().flat_map(crate::database::lint::Verdict::open) {
        context.terminal.note(format!("{}:{}: {}: {}", finding.file, finding.line, finding.rule, finding.effect));
    }
    Ok(match lint::failure_of(&verdicts, problems) {
        Some(failure) => Verdict::Failed(failure.into()),
        None => Verdict::Passed,
    })
}
