//! Starts the stack.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::status;
use crate::cli::Up;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::stack::docker::belongings;
use crate::stack::engine::{self, EngineChoice, Stack};
use crate::stack::host::{Request, UpOutcome};
use crate::stack::state::{Engine, State};
use crate::stack::thunder::Service;
use crate::terminal::{GOOD, Table};

/// Starts what is not running, and returns when all of it is healthy.
pub fn run(context: &Context, arguments: &Up) -> Result<u8> {
    let begun = Instant::now();
    let lock = context.lock_stack(Duration::from_secs(arguments.lock.lock_timeout))?;
    let state = State::load(&context.project.state().join("stack.json"))?;
    let request = Request {
        services: Service::with_needs(&arguments.services),
        origin: arguments.servers.servers.into(),
        timeout: Duration::from_secs(arguments.timeout),
        production: arguments.production,
        replicas: arguments.scale.unwrap_or(1),
        watch: if arguments.watching.no_watch || arguments.production { Some(false) } else { None },
        polls: arguments.watching.poll,
    };
    let engine = choose_engine(context, arguments.engine_choice(), state.as_ref(), &request)?;
    if arguments.production && engine == Engine::Host {
        return Err(Failure::new(Exit::Missing, "the image that ships runs in Docker only")
            .hint("cargo xtask up --production --engine docker, which says what is in the way")
            .into());
    }
    let upped = Stack::open_on(engine, context, lock.as_ref())?.up(&request)?;
    if upped == UpOutcome::Planned {
        return Ok(0);
    }
    let report = status::report(context)?;
    if arguments.json {
        context.terminal.json(&report)?;
    } else {
        if upped == UpOutcome::Unchanged {
            context.terminal.note("everything is running already");
        } else {
            context.terminal.note(format!("{GOOD}ready{GOOD:#} after {:.1} s", begun.elapsed().as_secs_f64()));
        }
        status::print(&context.terminal, &report)?;
    }
    report.check()?;
    if !arguments.json {
        let is_watched = report.services.iter().any(|service| service.watch.is_some());
        print_next(context, &request.services, is_watched)?;
    }
    Ok(0)
}

/// What runs the stack, and a line about why.
pub fn choose_engine(
    context: &Context,
    choice: EngineChoice,
    state: Option<&State>,
    request: &Request,
) -> Result<Engine> {
    let fetch = || belongings::fetch_images(context, &request.services);
    let (engine, why) = engine::choose(choice, state, &*context.runner, &fetch)?;
    if let Some(why) = why {
        context.terminal.note(why);
    }
    Ok(engine)
}

fn print_next(context: &Context, services: &[Service], is_watched: bool) -> Result<()> {
    let mut table = Table::default();
    if is_watched {
        table.row(["Edit:", "backend/", "is built and reloaded as soon as it is saved"]);
    }
    if services.contains(&Service::Backend) {
        table.row(["Next:", "cargo xtask smoke", "walk through the API"]);
        table.row(["", "cargo xtask seed", "add demo data"]);
    } else {
        table.row(["Next:", "cargo xtask env show --reveal", "the settings for a backend that you run yourself"]);
    }
    table.row(["", "cargo xtask logs -f", "follow the logs"]);
    table.row(["", "cargo xtask down", "stop, and keep the data"]);
    context.terminal.data(format!("\n{table}"))
}
