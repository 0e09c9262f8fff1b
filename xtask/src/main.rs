//! `cargo xtask`: runs, migrates, tests and ships the backend from its own repository.
//!
//! Imports point one way: `task` → `release`, `database`, `image`, `stack` → `plan`, `supervise` → `tool` → `runner`, `step` → `product`,
//! `project`, `settings`, `terminal`, `failure`.

mod checkout;
mod cli;
mod context;
mod database;
mod failure;
mod file;
#[cfg(test)]
mod fixture;
mod image;
mod interrupt;
mod lock;
mod log_file;
mod pinned;
mod plan;
mod process;
mod product;
mod project;
mod release;
mod runner;
mod settings;
mod stack;
mod step;
mod supervise;
mod task;
mod terminal;
mod tool;
mod wait;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use crate::cli::usage::{self, Parsed};
use crate::cli::{Cli, Task};
use crate::context::Context;
use crate::failure::Failure;
use crate::interrupt::{CancelToken, Interrupt};
use crate::project::Project;
use crate::runner::Processes;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let Parsed { cli, task, wants_json } = match usage::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => return explain(&error),
    };
    let terminal = Arc::new(Terminal::new(cli.color.into(), cli.verbose));
    match run(cli, task, &terminal) {
        Ok(code) => {
            if wants_json && code != 0 {
                let failure = Failure::passed_on(code, "it failed, and stderr says why");
                terminal.json_failure(&failure.into());
            }
            ExitCode::from(code)
        }
        Err(error) => {
            terminal.failure(&error);
            if wants_json {
                terminal.json_failure(&error);
            }
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

/// Says why the words make no task, or what was asked for: help, the version.
fn explain(error: &clap::Error) -> ExitCode {
    // With a closed stream there is nobody to tell.
    drop(error.print());
    if let Some(hint) = usage::hint(error) {
        Terminal::new(terminal::Color::Auto, false).note(format!("\n{hint}"));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn run(cli: Cli, name: String, terminal: &Arc<Terminal>) -> Result<u8> {
    // Has to be quick and needs no checkout: it is about to become somebody else.
    if let Some(Task::LaunchService(arguments)) = cli.task {
        return task::launch_service::run(arguments);
    }
    if let Some(Task::Completions(arguments)) = cli.task {
        return task::completions::run(terminal, &arguments);
    }
    let interrupt = Interrupt::install(terminal)?;
    let project = Project::find()?;
    process::mark(project.root());
    let context = Context {
        terminal: Arc::clone(terminal),
        project,
        runner: Box::new(Processes::new(Arc::clone(terminal), CancelToken::on(&interrupt), cli.dry_run)),
        interrupt,
        dry_run: cli.dry_run,
        task: name,
        // A name or a value that is no text is none of ours.
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
    };
    let code = task::run(&context, cli.task)?;
    if code == 0 {
        context.interrupt.finish()?;
    }
    Ok(code)
}
