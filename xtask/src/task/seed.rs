//! Demo data.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::cli::Seed;
use crate::context::Context;
use crate::failure::when_interrupted;
use crate::interrupt::CancelToken;
use crate::plan::Action;
use crate::runner::Stream;
use crate::stack::Stack;
use crate::stack::service::Service;
use crate::step::Step;
use crate::tool::backend::seed_progress;

/// Adds the demo data that is missing.
pub fn run(context: &Context, arguments: &Seed) -> Result<u8> {
    let (program, build) = Stack::open(context)?.program(&[Service::Postgres])?;
    let step = arguments.reports.map_or_else(|| program.seed(), |count| program.seed_with_reports(count));
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(Action::Run(step))?;
        return Ok(0);
    }
    let added = || {
        build.run(context).result?;
        add(context, &step)
    };
    let left = "the demo data is added as a whole or not at all";
    context.terminal.note(when_interrupted(added(), left, "cargo xtask seed")?);
    Ok(0)
}

/// Shows how far the step is, and gives back what it says in the end.
fn add(context: &Context, step: &Step) -> Result<String> {
    let said = Mutex::new(String::new());
    let names = ["seed".to_owned()];
    let progress = context.terminal.progress(&names);
    let line = progress.lane("seed");
    line.state(step.purpose());
    let outcome = context.runner.run(step, &CancelToken::on(&context.interrupt), &|stream, text| {
        if let Some(detail) = seed_progress(text) {
            line.detail(&detail);
        } else if stream == Stream::Out {
            text.trim().clone_into(&mut said.lock().unwrap_or_else(PoisonError::into_inner));
        }
    });
    if let Err(error) = outcome {
        line.failed("failed");
        return Err(error);
    }
    line.done("done");
    Ok(said.into_inner().unwrap_or_else(PoisonError::into_inner))
}
