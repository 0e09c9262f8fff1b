//! A command, a client or a shell in a service's environment.

use anyhow::Result;

use crate::context::Context;
use crate::stack::Stack;
use crate::stack::service::Service;
use crate::step::Stdin;

/// Becomes the command; its exit code is ours.
pub fn run(context: &Context, service: Service, command: &[String]) -> Result<u8> {
    let step = Stack::open(context)?.inside(service, command)?.stdin(Stdin::Terminal);
    if context.dry_run {
        context.terminal.data(step)?;
        return Ok(0);
    }
    match context.runner.replace(&step)? {}
}

/// Becomes the service's client, or a shell.
pub fn shell(context: &Context, service: Service) -> Result<u8> {
    let (words, fetch) = Stack::open(context)?.shell(service)?;
    if context.dry_run && !fetch.is_empty() {
        fetch.print(&context.terminal)?;
    } else if !fetch.is_empty() {
        fetch.run(context).result?;
    }
    run(context, service, &words)
}

#[cfg(test)]
mod tests;
