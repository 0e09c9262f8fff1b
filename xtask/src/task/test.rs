//! The tests: the backend's against a private PostgreSQL and Redis, xtask's with stacks of their own.

use anyhow::Result;

use crate::cli::{Test, TestPackage};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::plan::Plan;
use crate::product::TEMPLATE_DATABASE;
use crate::stack::detect::EngineChoice;
use crate::stack::host::{self, Host};
use crate::stack::scratch::Scratch;
use crate::step::Step;
use crate::tool::cargo::{self, Tests};

/// What nextest exits with where no test has such a name; `cargo test` counts that as a success.
const NO_TESTS: u8 = 4;

/// Runs the tests of one package, or of both, and gives back the first code that is not 0.
///
/// Names that only one of the packages knows are no failure of the other.
pub fn run(context: &Context, arguments: &Test) -> Result<u8> {
    if arguments.servers.engine == EngineChoice::Docker {
        return Err(Failure::new(Exit::Missing, "tests bring their own servers as processes, and never as containers")
            .hint("cargo xtask test, which needs no Docker")
            .into());
    }
    let with_nextest = has_nextest(context);
    let step = |tests| cargo::test(context.project.root(), with_nextest, tests, &arguments.args);
    let mut codes = Vec::new();
    let names_packages = arguments.args.iter().any(|arg| is_package_flag(arg));
    match arguments.package {
        None if names_packages => codes.push(with_servers(context, arguments, step(Tests::Named))?),
        package => {
            if package != Some(TestPackage::Xtask) {
                codes.push(with_servers(context, arguments, step(Tests::Backend))?);
            }
            if package != Some(TestPackage::Backend) {
                codes.push(with_backend(context, step(Tests::Xtask))?);
            }
            // Words are about the other two, which have names by the hundred.
            if package.is_none() && arguments.args.is_empty() {
                codes.push(alone(context, &step(Tests::Edge))?);
            }
        }
    }
    let is_found = codes.iter().any(|code| *code != NO_TESTS);
    let failed = codes.into_iter().find(|code| *code != 0 && !(is_found && with_nextest && *code == NO_TESTS));
    Ok(failed.unwrap_or(0))
}

/// Runs the tests that need the Railway CLI.
pub fn with_railway(context: &Context) -> Result<u8> {
    let with_nextest = has_nextest(context);
    with_backend(context, cargo::test(context.project.root(), with_nextest, Tests::Railway, &[]))
}

fn is_package_flag(arg: &str) -> bool {
    ["--package", "--workspace", "--all"].iter().any(|flag| arg.starts_with(flag)) || arg.starts_with("-p")
}

fn has_nextest(context: &Context) -> bool {
    let root = context.project.root();
    let is_there = context.runner.read(&cargo::nextest_version(root)).is_ok_and(|output| output.is_success());
    if !is_there {
        context.terminal.note("cargo-nextest is not installed: using cargo test");
    }
    is_there
}

/// Starts throw-away servers, runs the tests, and removes the servers whatever came of it.
fn with_servers(context: &Context, arguments: &Test, step: Step) -> Result<u8> {
    let mut scratch = Scratch::new(context)?;
    let plan = scratch.plan(arguments.servers.servers)?;
    let step = step
        .secret_env("TEST_DATABASE_URL", scratch.database_url("postgres")?)
        .env("TEST_DATABASE_TEMPLATE", TEMPLATE_DATABASE)
        .secret_env("TEST_REDIS_URL", scratch.redis_url()?)
        .env("TEST_BACKEND_BINARY", host::binary()?);
    if context.dry_run {
        return print(context, &plan, &step);
    }
    scratch.start(&plan)?;
    context.runner.forward(&step, &CancelToken::on(&context.interrupt))
}

/// Builds the backend, whose binary xtask's tests run, and runs them.
fn with_backend(context: &Context, step: Step) -> Result<u8> {
    let plan = Host::open(context).build()?;
    let step = step.env("TEST_BACKEND_BINARY", host::binary()?);
    // They wait for servers more than they compute.
    let threads = (2 * std::thread::available_parallelism().map_or(1, usize::from)).to_string();
    let is_unset = |name: &&str| std::env::var_os(name).is_none();
    let variables = ["NEXTEST_TEST_THREADS", "RUST_TEST_THREADS"].into_iter().filter(is_unset);
    let step = variables.fold(step, |step, name| step.env(name, &threads));
    if context.dry_run {
        return print(context, &plan, &step);
    }
    plan.run(context).result?;
    context.runner.forward(&step, &CancelToken::on(&context.interrupt))
}

/// Runs tests that need nothing of ours.
fn alone(context: &Context, step: &Step) -> Result<u8> {
    if context.dry_run {
        return print(context, &Plan::default(), step);
    }
    context.runner.forward(step, &CancelToken::on(&context.interrupt))
}

fn print(context: &Context, plan: &Plan, step: &Step) -> Result<u8> {
    plan.print(&context.terminal)?;
    context.terminal.data(step)?;
    Ok(0)
}

#[cfg(test)]
mod tests;
