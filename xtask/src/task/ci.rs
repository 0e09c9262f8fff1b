//! Everything that CI does, in its order.

pub mod fresh;
mod journey;
mod rehearse;
mod renamed;

use anyhow::Result;
use clap::ValueEnum as _;

use super::{check, test};
use crate::cli::{Ci, CiPart, Servers, Test};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::stack::detect::EngineChoice;
use crate::terminal::{GOOD, NOTICE, STRONG};
use crate::tool::cargo;

/// The systems that xtask has to compile for besides the one it runs on.
const TARGETS: &[&str] = &["x86_64-apple-darwin", "aarch64-apple-darwin", "x86_64-pc-windows-gnu"];

/// Does the parts that are named, or all. Stops at the first that fails.
pub fn run(context: &Context, arguments: &Ci) -> Result<u8> {
    for part in CiPart::value_variants() {
        if !arguments.parts.is_empty() && !arguments.parts.contains(part) {
            continue;
        }
        let name = part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        context.terminal.note(format!("\n{STRONG}== {name} =={STRONG:#}"));
        let code = match part {
            CiPart::Check => check::run(context, false)?,
            CiPart::Systems => other_systems(context)?,
            CiPart::Test => {
                let servers = Servers { engine: EngineChoice::Host, servers: arguments.servers };
                test::run(context, &Test { package: None, servers, args: Vec::new() })?
            }
            CiPart::Ship => ship(context, arguments.parts.contains(part))?,
            CiPart::Rehearse => rehearse::run(context, arguments.parts.contains(part))?,
            CiPart::Journey => journey::run(context, arguments.engine, arguments.servers)?,
            CiPart::Renamed => renamed::run(context, arguments.servers)?,
        };
        if code != 0 {
            return Ok(code);
        }
    }
    context.terminal.note(format!("\n{GOOD}passed{GOOD:#}"));
    Ok(0)
}

/// Runs what needs the Railway CLI; without it that is left out, unless it was asked for by name.
fn ship(context: &Context, is_named: bool) -> Result<u8> {
    if context.runner.find("railway").is_none() {
        let what = "the Railway CLI is not on PATH";
        if is_named {
            return Err(Failure::new(Exit::Missing, what).hint("cargo install --locked railwayapp").into());
        }
        context.terminal.note(format!("{NOTICE}skipped{NOTICE:#}, which is not the same as passed: {what}"));
        return Ok(0);
    }
    test::with_railway(context)
}

fn other_systems(context: &Context) -> Result<u8> {
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
        context.runner.run(&step, &CancelToken::on(&context.interrupt), &|_, _| ())?;
        context.terminal.note(format!("{GOOD}✓{GOOD:#} xtask compiles for {target}"));
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
