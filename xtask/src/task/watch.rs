//! Hot reload in the foreground: the stack brought up, its builds and the backend's log shown, until Ctrl-C.

use std::time::Duration;

use anyhow::Result;

use super::{logs, status, up};
use crate::cli::Watch;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::{CancelToken, Reaction};
use crate::lock::Lock;
use crate::stack::engine::Stack;
use crate::stack::host::{Request, UpOutcome};
use crate::stack::state::State;
use crate::stack::thunder::Service;

/// Shows what goes on until Ctrl-C, then stops what it has started.
pub fn run(context: &Context, arguments: &Watch) -> Result<u8> {
    let request = Request {
        services: Service::ALL.to_vec(),
        origin: arguments.servers.servers.into(),
        timeout: Duration::from_secs(arguments.timeout),
        production: false,
        replicas: 1,
        watch: Some(true),
        polls: arguments.poll,
    };
    let lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
    let state = State::load(&context.project.state().join("stack.json"))?;
    let engine = up::choose_engine(context, arguments.servers.engine_choice(), state.as_ref(), &request)?;
    let mut stack = Stack::open_on(engine, context, lock.as_ref())?;
    let mut started = Vec::new();
    for service in Service::ALL {
        if !stack.is_running(service)? {
            started.push(service);
        }
    }
    let log = logs::Watched::of(&stack);
    if stack.up(&request)? == UpOutcome::Planned {
        return Ok(0);
    }
    // Others may change the stack while this only looks at it.
    drop(lock);
    status::print(&context.terminal, &status::report(context)?)?;
    context.terminal.note(if started.is_empty() {
        "watching; Ctrl-C leaves the stack running, as it was"
    } else {
        "watching; Ctrl-C stops what this has started"
    });
    let reaction = if started.is_empty() { Reaction::EndQuietly } else { Reaction::EndInOrder };
    let _reaction = context.interrupt.react(reaction);
    let cancel = CancelToken::on(&context.interrupt);
    let outcome = log.follow(context, &stack, &cancel);
    if cancel.is_cancelled() {
        end(context, &started)?;
        cancel.check()?;
    }
    outcome?;
    Err(Failure::new(Exit::Unhealthy, "the watcher has ended").hint("cargo xtask status").into())
}

/// Stops what was started here, also though everything was asked to stop.
fn end(context: &Context, started: &[Service]) -> Result<()> {
    if started.is_empty() {
        return Ok(());
    }
    let path = context.project.state().join("lock");
    let lock = Lock::take(&path, &context.task, Duration::from_mins(1), &CancelToken::never(), &context.terminal)?;
    let mut stack = Stack::open_locked(context, Some(&lock))?;
    stack.force_stop(started)?;
    let names: Vec<&str> = started.iter().map(|service| service.name()).collect();
    context.terminal.note(format!("stopped {}; their data is kept", names.join(", ")));
    Ok(())
}
