//! Hot reload in the foreground: the stack brought up, its builds and the backend's log shown, until Ctrl-C.

use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{status, up};
use crate::cli::Watch;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::{CancelToken, Reaction};
use crate::lock::Lock;
use crate::stack::Stack;
use crate::stack::request::{Request, UpOutcome};
use crate::stack::service::{Service, in_words};

/// Shows what goes on until Ctrl-C, then stops what it has started.
pub fn run(context: &Context, arguments: &Watch) -> Result<u8> {
    let request = Request {
        services: Service::USUAL.to_vec(),
        origin: arguments.servers.servers,
        timeout: Duration::from_secs(arguments.ready.timeout),
        production: false,
        replicas: 1,
        watch: Some(true),
        polls: arguments.poll.then_some(true),
    };
    let lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let engine = up::choose_engine(context, arguments.servers.engine_choice(), &stack, &request)?;
    let mut stack = stack.on(engine, lock.as_ref())?;
    let running = stack.running()?;
    let started: Vec<Service> = Service::USUAL.into_iter().filter(|service| !running.contains(service)).collect();
    let begun = SystemTime::now();
    if stack.up(&request)? == UpOutcome::Planned || context.dry_run {
        context.terminal.data("# then show the builds and what the backend says, until Ctrl-C")?;
        return Ok(0);
    }
    // Others may change the stack while this only looks at it.
    drop(lock);
    status::print(&context.terminal, &status::report(context)?)?;
    let (words, reaction) = if started.is_empty() {
        ("watching; Ctrl-C leaves the stack running, as it was", Reaction::EndQuietly)
    } else {
        ("watching; Ctrl-C stops what this has started", Reaction::EndInOrder)
    };
    let _reaction = context.interrupt.react(reaction);
    context.terminal.note(words);
    let cancel = CancelToken::on(&context.interrupt);
    let outcome = follow(context, &stack, begun, &cancel);
    if cancel.is_cancelled() {
        end(context, &started)?;
        cancel.check()?;
    }
    outcome?;
    Err(Failure::new(Exit::Unhealthy, "the watcher has ended").hint("cargo xtask status").into())
}

/// Shows what the watcher and the backend have said since then, and go on saying, for as long as there is a watcher.
fn follow(context: &Context, stack: &Stack<'_>, since: SystemTime, cancel: &CancelToken) -> Result<()> {
    let mut source = stack.logs(&[Service::Backend], usize::from(u16::MAX))?;
    let print = |line: &crate::stack::logs::Line| context.terminal.data(&line.text);
    source.history(&*context.runner)?.iter().filter(|line| line.time >= since).try_for_each(print)?;
    let is_over = || !stack.running().is_ok_and(|running| running.contains(&Service::Backend));
    source.follow(&*context.runner, cancel, &is_over, &print)
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
    context.terminal.note(format!("stopped {}; their data is kept", in_words(started)));
    Ok(())
}

#[cfg(test)]
mod tests;
