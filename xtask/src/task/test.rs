//! Every test, against a private PostgreSQL and Redis.

use anyhow::Result;

use crate::cli::{Engine, Test};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::Halt;
use crate::stack::host;
use crate::stack::scratch::{Scratch, TEMPLATE};
use crate::step::Step;
use crate::tool::cargo;

/// Starts throw-away servers, runs the tests, and removes the servers whatever came of it.
pub fn run(context: &Context, arguments: &Test) -> Result<u8> {
    if arguments.servers.engine == Engine::Docker {
        return Err(Failure::new(Exit::Missing, "tests bring their own servers as processes, and never as containers")
            .next("cargo xtask test, which needs no Docker")
            .into());
    }
    let mut scratch = Scratch::new(context)?;
    let plan = scratch.plan(arguments.servers.servers.into())?;
    let step = step(context, &scratch, &arguments.args)?;
    if context.dry_run {
        plan.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    scratch.start(&plan)?;
    context.runner.forward(&step, &Halt::on(&context.interrupt))
}

fn step(context: &Context, scratch: &Scratch<'_>, args: &[String]) -> Result<Step> {
    let root = context.project.root();
    let nextest = context.runner.read(&cargo::nextest_version(root)).is_ok_and(|output| output.is_success());
    if !nextest {
        context.terminal.note("cargo-nextest is not installed: using cargo test");
    }
    Ok(cargo::test(root, nextest, args)
        .secret_env("TEST_DATABASE_URL", scratch.database_url("postgres")?)
        .env("TEST_DATABASE_TEMPLATE", TEMPLATE)
        .secret_env("TEST_REDIS_URL", scratch.redis_url()?)
        .env("TEST_THUNDER_BINARY", host::binary()?))
}
