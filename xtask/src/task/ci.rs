//! Everything that CI does, in its order.

mod journey;

use anyhow::Result;

use super::{check, test};
use crate::cli::{Ci, Engine, Servers, Test};
use crate::context::Context;
use crate::interrupt::Halt;
use crate::terminal::{GOOD, NOTICE, STRONG};
use crate::tool::cargo;

/// The systems that xtask has to compile for besides the one it runs on.
const TARGETS: &[&str] = &["x86_64-apple-darwin", "aarch64-apple-darwin", "x86_64-pc-windows-gnu"];

/// Checks, tests, type-checks for other systems, and takes a fresh clone through the journey. Stops at the first that
/// fails.
pub fn run(context: &Context, arguments: &Ci) -> Result<u8> {
    if !arguments.journey_only {
        section(context, "check");
        check::run(context, false)?;
        section(context, "other systems");
        other_systems(context)?;
        section(context, "test");
        let servers = Servers { engine: Engine::Host, servers: arguments.servers };
        let code = test::run(context, &Test { servers, args: Vec::new() })?;
        if code != 0 {
            return Ok(code);
        }
    }
    section(context, "journey");
    journey::run(context, arguments.servers)?;
    context.terminal.note(format!("{GOOD}everything that CI does has passed{GOOD:#}"));
    Ok(0)
}

fn section(context: &Context, name: &str) {
    context.terminal.note(format!("\n{STRONG}== {name} =={STRONG:#}"));
}

fn other_systems(context: &Context) -> Result<()> {
    let installed = context.runner.read(&cargo::installed_targets()).unwrap_or_default().stdout;
    for target in TARGETS {
        if !installed.lines().any(|line| line == *target) {
            let why = format!("{target} is not installed: rustup target add {target}");
            context.terminal.note(format!("{NOTICE}skipped{NOTICE:#}, which is not the same as passed: {why}"));
            continue;
        }
        let step = cargo::check_for(context.project.root(), target);
        if context.dry_run {
            context.terminal.data(step)?;
            continue;
        }
        context.runner.run(&step, &Halt::on(&context.interrupt), &|_| ())?;
        context.terminal.note(format!("{GOOD}✓{GOOD:#} xtask compiles for {target}"));
    }
    Ok(())
}
