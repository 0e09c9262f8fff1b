//! Stops the stack.

use std::time::Duration;

use anyhow::Result;

use crate::cli::Down;
use crate::context::Context;
use crate::failure::when_interrupted;
use crate::lock::Lock;
use crate::stack::Stack;
use crate::stack::service::{Service, in_words};

/// Stops what runs and keeps the data.
pub fn run(context: &Context, arguments: &Down) -> Result<u8> {
    // Nothing is made in a checkout that never had a stack, or lost what told of it and has nothing running.
    let is_known = context.project.state().is_dir();
    let mut with = Vec::new();
    let was_up = if is_known || Stack::find_lost(context)? {
        let lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
        let mut stack = Stack::open_locked(context, lock.as_ref())?;
        with = Service::with_users(&arguments.services);
        let running = stack.running()?;
        with.retain(|service| running.contains(service) && !arguments.services.contains(service));
        let left = "what was not stopped yet still runs; all data is kept";
        let was_up = when_interrupted(stack.down(&arguments.services), left, "cargo xtask down")?;
        if !is_known {
            remove_folder(context, lock.as_ref());
        }
        was_up
    } else {
        false
    };
    if context.dry_run {
        return Ok(0);
    }
    let message = match (was_up, arguments.services.as_slice()) {
        (true, []) => "the stack is down; its data is kept".to_owned(),
        (true, services) if with.is_empty() => format!("{} stopped; the data is kept", in_words(services)),
        (true, services) => {
            format!("{} stopped, with {}, which needs it; the data is kept", in_words(services), in_words(&with))
        }
        (false, []) => "the stack was not running".to_owned(),
        (false, services) => format!("{} was not running", in_words(services)),
    };
    context.terminal.note(message);
    Ok(0)
}

/// The folder was made for the lock alone.
fn remove_folder(context: &Context, lock: Option<&Lock>) {
    if let Some(lock) = lock {
        drop(lock.remove_file());
    }
    drop(std::fs::remove_dir(context.project.state()));
}

#[cfg(test)]
mod tests;
