//! Whether the migrations do what their files promise, on databases that are thrown away.

use anyhow::Result;

use super::Verdict;
use crate::context::Context;
use crate::failure::{Exit, exit_code};
use crate::product::SCHEMA;
use crate::task::migrate::check;

/// Tries the migrations.
pub fn check(context: &Context, fix: bool) -> Result<Verdict> {
    if context.dry_run {
        return check::print_plan_of_all(context, fix).map(|()| Verdict::Passed);
    }
    let path = context.project.root().join(SCHEMA);
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    let before = read();
    let skipped = match check::for_check(context, fix) {
        Ok(skipped) => skipped,
        // Without a server nothing was checked, which is not the same as passed.
        Err(error) if exit_code(&error) == Exit::Missing as u8 => return Ok(Verdict::Skipped(format!("{error:#}"))),
        Err(error) => return Err(error),
    };
    for what in skipped {
        context.terminal.note(format!("not checked: {what}"));
    }
    Ok(if read() == before { Verdict::Passed } else { Verdict::Fixed(SCHEMA.to_owned()) })
}
