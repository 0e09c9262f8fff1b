//! Demo data.

use anyhow::Result;

use crate::context::Context;
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
    build.run(context).result?;
    let said = crate::runner::read_well(&*context.runner, &step)?;
    context.terminal.note(said.trim());
    Ok(0)
}
