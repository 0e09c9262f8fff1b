//! Demo data.

use anyhow::Result;

use crate::context::Context;
use crate::failure::when_interrupted;
use crate::plan::Action;
use crate::stack::Stack;
use crate::stack::service::Service;

/// Adds the demo data that is missing.
pub fn run(context: &Context) -> Result<u8> {
    let (program, build) = Stack::open(context)?.program(&[Service::Postgres])?;
    let step = program.seed();
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(Action::Run(step))?;
        return Ok(0);
    }
    let said = || {
        build.run(context).result?;
        crate::runner::read_well(&*context.runner, &step)
    };
    let left = "the demo data is added as a whole or not at all";
    context.terminal.note(when_interrupted(said(), left, "cargo xtask seed")?.trim());
    Ok(0)
}
