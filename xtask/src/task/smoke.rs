//! A walk through the running service.

use anyhow::Result;

use crate::cli::Smoke;
use crate::context::Context;
use crate::interrupt::CancelToken;
use crate::plan::Plan;
use crate::stack::Stack;
use crate::stack::host::{self, Host};
use crate::tool::backend::Program;

/// Walks through the service at the URL, or through the local stack.
pub fn run(context: &Context, arguments: &Smoke) -> Result<u8> {
    let (program, build, url) = match &arguments.url {
        Some(url) => {
            let path = host::binary()?;
            let build = if path.exists() { Plan::default() } else { Host::open(context).build()? };
            (Program::with(&path, &[]), build, url.clone())
        }
        None => Stack::open(context)?.serving_program()?,
    };
    let step = program.smoke(&url, arguments.output.json);
    if context.dry_run {
        // The walk sends reports, so that a dry run does not take it.
        if !build.is_empty() {
            build.print(&context.terminal)?;
        }
        context.terminal.data(step)?;
        return Ok(0);
    }
    if !build.is_empty() {
        build.run(context).result?;
    }
    context.runner.forward(&step, &CancelToken::on(&context.interrupt))
}
