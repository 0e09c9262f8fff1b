//! Demo data.

use anyhow::Result;

use crate::context::Context;
use crate::plan::{Action, Plan};
use crate::stack::host::{Host, lanes};
use crate::stack::thunder::Service;
use crate::tool::backend;

/// Adds the demo data that is missing.
pub fn run(context: &Context) -> Result<u8> {
    let host = Host::open(context)?;
    let (binary, environment) = host.backend_command(Service::Postgres)?;
    let step = backend::seed(&binary, &environment);
    let plan = Plan::of("build", vec![lanes::build(&host.backend_facts()?)], "done");
    if context.dry_run {
        plan.print(&context.terminal)?;
        context.terminal.data(Action::Run(step))?;
        return Ok(0);
    }
    plan.run(context).result?;
    let said = crate::runner::read_well(&*context.runner, &step)?;
    context.terminal.note(said.trim());
    Ok(0)
}
