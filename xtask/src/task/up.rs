//! Starts the stack.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::status;
use crate::cli::Up;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::plan::Action;
use crate::stack::Stack;
use crate::stack::detect::{self, EngineChoice};
use crate::stack::docker::resources;
use crate::stack::report::Report;
use crate::stack::request::{Request, UpOutcome};
use crate::stack::service::Service;
use crate::stack::state::EngineKind;
use crate::terminal::{GOOD, STRONG, Table};
use crate::tool::docker;

/// Starts what is not running, and returns when all of it is healthy.
pub fn run(context: &Context, arguments: &Up) -> Result<u8> {
    let begun = Instant::now();
    let lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
    let stack = Stack::open_locked(context, lock.as_ref())?;
    let request = Request {
        services: arguments.wanted(stack.state().map_or(&[], |state| &state.wanted)),
        origin: arguments.servers.servers,
        timeout: Duration::from_secs(arguments.ready.timeout),
        production: arguments.production,
        replicas: arguments.scale.unwrap_or(1),
        watch: if arguments.watching.no_watch || arguments.production { Some(false) } else { None },
        polls: arguments.watching.poll.then_some(true),
    };
    let engine = choose_engine(context, arguments.engine_choice(), &stack, &request)?;
    if arguments.production && engine == EngineKind::Host {
        return Err(Failure::new(Exit::Missing, "the image that ships runs in Docker only")
            .hint("cargo xtask doctor, which says what is in the way of Docker")
            .into());
    }
    let outcome = stack.on(engine, lock.as_ref())?.up(&request)?;
    if outcome == UpOutcome::Planned {
        return Ok(0);
    }
    // What it is now is this task's own work.
    drop(lock);
    let report = status::report(context)?;
    if arguments.output.json {
        context.terminal.json(&report)?;
    } else {
        if outcome == UpOutcome::Unchanged {
            context.terminal.note("everything is running already");
        } else {
            context.terminal.note(format!("{GOOD}ready{GOOD:#} after {:.1} s", begun.elapsed().as_secs_f64()));
        }
        status::print(&context.terminal, &report)?;
    }
    report.check()?;
    if !arguments.output.json {
        print_next(context, &request.services, &report)?;
    }
    Ok(0)
}

/// What runs the stack, and a line about why.
pub fn choose_engine(
    context: &Context,
    choice: EngineChoice,
    stack: &Stack<'_>,
    request: &Request,
) -> Result<EngineKind> {
    let fetch = || {
        let missing = resources::missing_images(context, &request.services)?;
        if missing.is_empty() {
            return Ok(());
        }
        if context.dry_run {
            context.terminal.data("# first, and where one cannot be had, with processes of this machine instead:")?;
            return missing.iter().try_for_each(|image| context.terminal.data(Action::Run(docker::pull(image))));
        }
        resources::fetch_images(context, &missing)
    };
    let chosen = detect::choose(choice, stack.state(), &*context.runner, &fetch);
    let (engine, why) = chosen.map_err(|error| match error.downcast::<Failure>() {
        Ok(failure)
            if choice == EngineChoice::Docker && !request.production && failure.code() == Exit::Missing as u8 =>
        {
            failure.hint("--engine host, which needs no Docker").into()
        }
        Ok(failure) => failure.into(),
        Err(error) => error,
    })?;
    if let Some(why) = why {
        context.terminal.note(why);
    }
    Ok(engine)
}

fn print_next(context: &Context, services: &[Service], report: &Report) -> Result<()> {
    let mut table = Table::default();
    if let Some(url) = &report.url {
        table.row(["Open:", &format!("{STRONG}{url}{STRONG:#}"), "the API"]);
    }
    if report.services.iter().any(|service| service.watch.is_some()) {
        table.row(["Edit:", "backend/", "is built and reloaded as soon as it is saved"]);
    }
    for service in &report.services {
        if let (Some(what), Some(address)) = (service.name.definition().page(), &service.address) {
            table.row(["Open:", &format!("{STRONG}{address}{STRONG:#}"), what]);
        }
    }
    for service in services {
        if let Some(command) = service.definition().sign_in() {
            table.row(["Enter:", command, &format!("the {service} shell, signed in")]);
        }
    }
    if services.contains(&Service::Backend) {
        table.row(["Next:", "cargo xtask smoke", "walk through the API"]);
        table.row(["", "cargo xtask seed", "add demo data"]);
        table.row(["", "cargo xtask logs -f", "follow the logs"]);
    } else if report.services.iter().all(|service| service.name != Service::Backend || !service.wanted) {
        table.row(["Next:", "cargo xtask env show --reveal", "the settings for a backend that you run yourself"]);
        table.row(["", "cargo xtask logs -f", "follow the logs"]);
    } else {
        table.row(["Next:", "cargo xtask logs -f", "follow the logs"]);
    }
    table.row(["", "cargo xtask down", "stop, and keep the data"]);
    context.terminal.data("")?;
    context.terminal.table(&table)
}

#[cfg(test)]
mod tests;
