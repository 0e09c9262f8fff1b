//! Stops and starts services.

use std::time::Duration;

use anyhow::Result;

use super::status;
use crate::cli::Restart;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::stack::engine::Stack;
use crate::stack::host::{Request, UpOutcome};
use crate::stack::servers::Origin;
use crate::stack::state::{Source, State};
use crate::stack::thunder::Service;

/// Stops and starts the services, or all that should run.
pub fn run(context: &Context, arguments: &Restart) -> Result<u8> {
    let lock = if context.project.state().is_dir() {
        context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?
    } else {
        None
    };
    let mut stack = Stack::open_locked(context, lock.as_ref())?;
    let wanted = stack.state().map(|state| state.wanted.clone()).unwrap_or_default();
    let services = if arguments.services.is_empty() { wanted } else { arguments.services.clone() };
    if services.is_empty() {
        return Err(Failure::new(Exit::Unhealthy, "the stack is not running").hint("cargo xtask up").into());
    }
    let origin = origin(stack.state());
    stack.stop_for_restart(&services)?;
    let request = Request {
        services: Service::with_needs(&services),
        origin,
        timeout: Duration::from_secs(arguments.timeout),
        production: stack.state().is_some_and(|state| state.containers.production.is_some()),
        replicas: stack.state().map_or(1, |state| state.containers.replicas),
        watch: stack.state().map(|state| state.watch),
        polls: false,
    };
    if stack.up(&request)? == UpOutcome::Planned {
        return Ok(0);
    }
    let report = status::report(context)?;
    status::print(&context.terminal, &report)?;
    report.check()?;
    Ok(0)
}

/// A restart keeps to the servers that the stack had.
fn origin(state: Option<&State>) -> Origin {
    let servers = state.iter().flat_map(|state| [&state.postgres, &state.redis]).flatten();
    let mut sources = servers.map(|server| server.source).peekable();
    if sources.peek().is_some() && sources.all(|source| source == Source::Portable) {
        Origin::Portable
    } else {
        Origin::Auto
    }
}
