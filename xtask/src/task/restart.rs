//! Stops and starts services.

use std::time::Duration;

use anyhow::Result;

use super::status;
use crate::cli::Restart;
use crate::context::Context;
use crate::failure::{Exit, Failure, when_interrupted};
use crate::settings::Settings;
use crate::stack::Stack;
use crate::stack::request::{Request, UpOutcome};
use crate::stack::servers::Origin;
use crate::stack::service::Service;
use crate::stack::state::{Source, State};

/// Stops and starts the services, or all that should run, once it is sure that they can be started again.
pub fn run(context: &Context, arguments: &Restart) -> Result<u8> {
    let lock = if context.project.state().is_dir() {
        context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?
    } else {
        None
    };
    let mut stack = Stack::open_locked(context, lock.as_ref())?;
    let wanted = stack.state().map(|state| state.wanted.clone()).unwrap_or_default();
    let mut services = if arguments.services.is_empty() { wanted } else { arguments.services.clone() };
    if let Ok(settings) = Settings::load(&context.project) {
        services.extend(stack.with_another_password(&settings)?);
    }
    services.sort();
    services.dedup();
    if services.is_empty() {
        return Err(Failure::new(Exit::Unhealthy, "the stack is not running").hint("cargo xtask up").into());
    }
    let state = stack.state();
    let request = Request {
        services: Service::with_needs(&services),
        origin: origin(state),
        timeout: Duration::from_secs(arguments.ready.timeout),
        production: state.is_some_and(|state| state.containers.production.is_some()),
        replicas: state.map_or(1, |state| state.containers.replicas),
        watch: state.map(|state| state.watch),
        polls: state.map(|state| state.polls),
    };
    let started = stack.stop_for_restart(&services).and_then(|()| stack.start_stopped(&request, &services));
    let left = "what was stopped is not started again; all data is kept";
    if when_interrupted(started, left, "cargo xtask up")? == UpOutcome::Planned {
        return Ok(0);
    }
    drop(lock);
    let report = status::report(context)?;
    status::print(&context.terminal, &report)?;
    report.check()?;
    Ok(0)
}

/// A restart keeps to the servers that the stack had.
fn origin(state: Option<&State>) -> Origin {
    let servers = state.iter().flat_map(|state| state.servers.values());
    let mut sources = servers.map(|server| server.source).peekable();
    if sources.peek().is_some() && sources.all(|source| source == Source::Portable) {
        Origin::Portable
    } else {
        Origin::Auto
    }
}

#[cfg(test)]
mod tests;
