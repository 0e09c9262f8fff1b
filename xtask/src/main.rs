//! `cargo xtask`: runs, migrates, tests and ships Thunder from its own repository.
//!
//! Imports point one way: `task` → `stack` → `tool` → `plan`, `runner`, `step` → `project`, `settings`, `terminal`.

mod cli;
mod context;
mod failure;
mod file;
mod interrupt;
mod launch;
mod lock;
mod log_file;
mod plan;
mod process;
mod project;
mod runner;
mod settings;
mod stack;
mod step;
mod task;
mod terminal;
mod tool;
mod wait;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches};

use crate::cli::{Cli, Task};
use crate::context::Context;
use crate::interrupt::{CancelToken, Interrupt};
use crate::project::Project;
use crate::runner::Processes;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let task = matches.subcommand_name().unwrap_or("overview").to_owned();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let terminal = Arc::new(Terminal::new(cli.color.into(), cli.verbose));
    match run(cli, task, &terminal) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal.failure(&error);
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

fn run(cli: Cli, name: String, terminal: &Arc<Terminal>) -> Result<u8> {
    // Has to be quick and needs no checkout: it is about to become somebody else.
    if let Some(Task::LaunchService(arguments)) = cli.task {
        return task::launch_service::run(arguments);
    }
    if let Some(Task::Completions(arguments)) = cli.task {
        return task::completions::run(&arguments);
    }
    let interrupt = Interrupt::install(terminal)?;
    let context = Context {
        terminal: Arc::clone(terminal),
        project: Project::find()?,
        runner: Box::new(Processes::new(Arc::clone(terminal), CancelToken::on(&interrupt), cli.dry_run)),
        interrupt,
        dry_run: cli.dry_run,
        task: name,
    };
    let Some(task) = cli.task else { return task::overview::run(&context) };
    match task {
        Task::Doctor(arguments) => task::doctor::run(&context, arguments.json),
        Task::Env(arguments) => task::env::run(&context, arguments.command),
        Task::Up(arguments) => task::up::run(&context, &arguments),
        Task::Watch(arguments) => task::watch::run(&context, &arguments),
        Task::Down(arguments) => task::down::run(&context, &arguments),
        Task::Restart(arguments) => task::restart::run(&context, &arguments),
        Task::Status(arguments) => task::status::run(&context, arguments.json),
        Task::Logs(arguments) => task::logs::run(&context, &arguments),
        Task::Exec(arguments) => task::exec::run(&context, arguments.service, &arguments.command),
        Task::Shell(arguments) => task::exec::shell(&context, arguments.service),
        Task::Clean(arguments) => task::clean::run(&context, &arguments),
        Task::Test(arguments) => task::test::run(&context, &arguments),
        Task::Check(arguments) => task::check::run(&context, arguments.fix),
        Task::Smoke(arguments) => task::smoke::run(&context, &arguments),
        Task::Seed => task::seed::run(&context),
        Task::Bench(arguments) => task::bench::run(&context, &arguments),
        Task::Migrate(arguments) => task::migrate::run(&context, arguments.command),
        Task::BuildProd(arguments) => task::build_prod::run(&context, &arguments),
        Task::Ci(arguments) => task::ci::run(&context, &arguments),
        Task::WatchBackend(arguments) => task::watch_backend::run(&context, &arguments),
        Task::Completions(_) | Task::LaunchService(_) => Ok(0),
    }
}
