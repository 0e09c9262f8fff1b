//! Removes the stack with its data.

use std::time::Duration;

use anyhow::Result;

use crate::cli::Clean;
use crate::context::Context;
use crate::database::dumps;
use crate::failure::when_interrupted;
use crate::file::{human_size, size};
use crate::plan::{Lane, Plan};
use crate::release::rehearsal;
use crate::stack::Stack;
use crate::stack::docker::resources;
use crate::stack::host::Host;
use crate::stack::scratch;

/// Names what goes, asks, and removes it.
pub fn run(context: &Context, arguments: &Clean) -> Result<u8> {
    let terminal = &context.terminal;
    if !context.project.state().exists() && !Stack::find_lost(context)? {
        terminal.note("there is nothing to remove");
        return Ok(0);
    }
    let lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
    let host = Host::open(context);
    let files = host.files()?;
    let mut stack = Stack::open_locked(context, lock.as_ref())?;
    // Under the lock: an `up` that went on until now may have made more.
    let in_docker = resources::all(context, stack.state())?;
    // Throw-away stacks that a killed task left behind; those of a running one are left alone.
    let abandoned = if context.dry_run { Vec::new() } else { scratch::abandoned(context)? };
    let running = stack.running()?;
    let is_nothing = files.is_empty() && running.is_empty() && abandoned.is_empty() && in_docker.is_empty();
    if is_nothing {
        terminal.note("there is nothing to remove");
    } else {
        for service in &running {
            terminal.note(format!("stops    {service}"));
        }
        for path in &files {
            terminal.note(format!("removes  {} ({})", context.project.relative(path), human_size(size(path))));
        }
        for (kind, name) in &in_docker {
            terminal.note(format!("removes  the {} {name}", kind.name()));
        }
        for path in &abandoned {
            let path = context.project.relative(path);
            terminal.note(format!("removes  {path}, left behind by a task that was killed"));
        }
        let dumps = dumps::folder(&context.project);
        if dumps.is_dir() {
            terminal.note(format!("keeps    {} ({})", context.project.relative(&dumps), human_size(size(&dumps))));
        }
        if !arguments.yes && !context.dry_run {
            context.confirm("Remove all of this?", "--yes")?;
        }
    }
    let left = "nothing is removed yet";
    when_interrupted(stack.down(&[]), left, "cargo xtask clean")?;
    // Asked again: stopping has removed some, and written others.
    let in_docker = if context.dry_run { in_docker } else { resources::all(context, stack.state())? };
    let docker =
        Lane { name: "docker".to_owned(), actions: resources::removal(&in_docker), result: "removed".to_owned() };
    let plan = Plan { lanes: [host.removal(&host.files()?).lanes, vec![docker]].into_iter().flatten().collect() };
    if context.dry_run {
        plan.print(terminal)?;
        return Ok(0);
    }
    when_interrupted(plan.run(context).result, "a part of it is removed", "cargo xtask clean")?;
    scratch::clear_abandoned(context)?;
    if let Some(lock) = &lock {
        for path in host.remove_folder(lock)? {
            let is_used = path == stack.folder().throw_away();
            let is_rehearsal = path == context.project.state().join(rehearsal::ENVIRONMENT);
            let why = match (is_used, is_rehearsal) {
                (true, _) => "in use by a running task",
                (_, true) => "which is the rehearsal's: cargo xtask deploy --rehearse --remove",
                (false, false) => "which the stack did not make",
            };
            terminal.note(format!("leaves   {}, {why}", context.project.relative(&path)));
        }
    }
    if !is_nothing {
        terminal.note("removed; the next `cargo xtask up` migrates from nothing");
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
