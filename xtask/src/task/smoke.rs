//! A walk through the running service.

use anyhow::Result;

use crate::cli::Smoke;
use crate::context::Context;
use crate::interrupt::CancelToken;
use crate::stack::engine::Stack;
use crate::stack::host::{self, Host, not_up};
use crate::stack::thunder::{self, CONTAINER_URL, Service};
use crate::tool::backend::Thunder;

/// Walks through the service at the URL, or through the local stack.
pub fn run(context: &Context, arguments: &Smoke) -> Result<u8> {
    let stack = Stack::open(context)?;
    let url = match (&arguments.url, stack.state()) {
        (Some(url), _) => url.clone(),
        (None, Some(state)) if stack.is_running(Service::Backend)? => thunder::backend_url(state.ports),
        (None, _) => return Err(not_up(Service::Backend).into()),
    };
    if let (Stack::Docker(docker), None) = (&stack, &arguments.url) {
        // The container has the program; here it would first have to be compiled.
        let (thunder, build) = docker.thunder(Service::Backend)?;
        let step = thunder.smoke(CONTAINER_URL, arguments.json);
        if context.dry_run {
            context.terminal.data(step)?;
            return Ok(0);
        }
        drop(build);
        return context.runner.forward(&step, &CancelToken::on(&context.interrupt));
    }
    // From this machine, as clients come, whatever runs the stack.
    let binary = host::binary()?;
    let step = Thunder::with(&binary, &[]).smoke(&url, arguments.json);
    let build = Host::open(context)?.build()?;
    if context.dry_run {
        // The walk sends reports, so that a dry run does not take it.
        build.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    // The binary that serves is the one that walks; it is built only where it is gone.
    if !binary.exists() {
        build.run(context).result?;
    }
    context.runner.forward(&step, &CancelToken::on(&context.interrupt))
}
