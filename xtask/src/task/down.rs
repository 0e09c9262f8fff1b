//! Stops the stack.

use std::time::Duration;

use anyhow::Result;

use crate::cli::Locked;
use crate::context::Context;
use crate::stack::engine::Stack;

/// Stops what runs and keeps the data.
pub fn run(context: &Context, arguments: &Locked) -> Result<u8> {
    // Nothing is made in a checkout that never had a stack.
    let was_up = context.project.state().is_dir() && {
        let lock = context.lock_stack(Duration::from_secs(arguments.lock_timeout))?;
        Stack::open_locked(context, lock.as_ref())?.down()?
    };
    if context.dry_run {
        return Ok(0);
    }
    let message = if was_up { "the stack is down; its data is kept" } else { "the stack was not running" };
    context.terminal.note(message);
    Ok(0)
}
