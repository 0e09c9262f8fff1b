//! Removes the stack with its data.

use std::time::Duration;

use anyhow::Result;

use crate::cli::Clean;
use crate::context::Context;
use crate::file::{human_size, size};
use crate::plan::Plan;
use crate::stack::docker::belongings;
use crate::stack::host::Host;
use crate::stack::scratch;
use crate::stack::thunder::Service;

/// Names what goes, asks, and removes it.
pub fn run(context: &Context, arguments: &Clean) -> Result<u8> {
    let terminal = &context.terminal;
    if !context.project.state().exists() && belongings::all(context, None)?.is_empty() {
        terminal.note("there is nothing to remove");
        return Ok(0);
    }
    let lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
    let mut host = Host::open_for_removal(context, lock.as_ref())?;
    // Under the lock: an `up` that went on until now may have made more.
    let in_docker = belongings::all(context, host.state())?;
    let belongings = host.belongings()?;
    // Throw-away stacks that a killed task left behind; those of a running one are left alone.
    let abandoned = if context.dry_run { Vec::new() } else { scratch::abandoned(context)? };
    let running: Vec<Service> = Service::ALL.into_iter().filter(|service| host.is_running(*service)).collect();
    if belongings.is_empty() && running.is_empty() && abandoned.is_empty() && in_docker.is_empty() {
        host.remove(&[], lock.as_ref())?;
        terminal.note("there is nothing to remove");
        return Ok(0);
    }
    for service in &running {
        terminal.note(format!("stops    {service}"));
    }
    for path in &belongings {
        terminal.note(format!("removes  {} ({})", context.project.relative(path), human_size(size(path))));
    }
    for (kind, name) in &in_docker {
        terminal.note(format!("removes  the {} {name}", kind.name()));
    }
    for path in &abandoned {
        terminal.note(format!("removes  {}, left behind by a task that was killed", context.project.relative(path)));
    }
    if !arguments.yes && !context.dry_run {
        context.confirm("Remove all of this?", "--yes")?;
    }
    host.down()?;
    let removal = Plan::of("docker", belongings::removal(&in_docker), "removed");
    if context.dry_run {
        removal.print(terminal)?;
    } else {
        removal.run(context).result?;
    }
    if !context.dry_run {
        scratch::clear_abandoned(context)?;
    }
    let others = host.remove(&belongings, lock.as_ref())?;
    for path in others {
        let why = if path == host.folder().throw_away() {
            "in use by a running task"
        } else {
            "which the stack did not make"
        };
        terminal.note(format!("leaves   {}, {why}", context.project.relative(&path)));
    }
    if !context.dry_run {
        terminal.note("removed; the next `cargo xtask up` migrates from nothing");
    }
    Ok(0)
}
