//! A walk through the running service.

use anyhow::Result;

use crate::cli::Smoke;
use crate::context::Context;
use crate::interrupt::Halt;
use crate::plan::Plan;
use crate::stack::host::{self, Host, lanes, not_up};
use crate::stack::thunder::{self, Service};
use crate::tool::backend;

/// Walks through the service at the URL, or through the local stack.
pub fn run(context: &Context, arguments: &Smoke) -> Result<u8> {
    let stack = Host::open(context)?;
    let url = match (&arguments.url, stack.state()) {
        (Some(url), _) => url.clone(),
        (None, Some(state)) if stack.is_running(Service::Backend) => thunder::backend_url(state.ports),
        (None, _) => return Err(not_up(Service::Backend).into()),
    };
    let binary = host::binary()?;
    let step = backend::smoke(&binary, &url, arguments.json);
    let plan = Plan::of("build", vec![lanes::build(&stack.backend_facts()?)], "done");
    if context.dry_run {
        // The walk sends reports, so that a dry run does not take it.
        plan.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    // The binary that serves is the one that walks; it is built only where it is gone.
    if !binary.exists() {
        plan.run(context).result?;
    }
    context.runner.forward(&step, &Halt::on(&context.interrupt))
}
