//! What can be asked for, one file each, named as the command is.

pub mod bench;
pub mod build_prod;
pub mod check;
pub mod ci;
pub mod clean;
pub mod completions;
pub mod db;
pub mod deploy;
pub mod doctor;
pub mod down;
pub mod env;
pub mod exec;
pub mod launch_service;
pub mod logs;
pub mod migrate;
pub mod overview;
pub mod place;
mod rehearsed;
pub mod releases;
pub mod restart;
pub mod rollback;
pub mod seed;
pub mod smoke;
pub mod status;
pub mod test;
pub mod up;
pub mod watch;
pub mod watch_backend;

use anyhow::Result;

use crate::cli::Task;
use crate::context::Context;

/// Does the task; without one, prints the overview.
pub fn run(context: &Context, task: Option<Task>) -> Result<u8> {
    let Some(task) = task else { return overview::run(context) };
    match task {
        Task::Doctor(arguments) => doctor::run(context, arguments.output.json),
        Task::Env(arguments) => env::run(context, arguments.command),
        Task::Up(arguments) => up::run(context, &arguments),
        Task::Watch(arguments) => watch::run(context, &arguments),
        Task::Down(arguments) => down::run(context, &arguments),
        Task::Restart(arguments) => restart::run(context, &arguments),
        Task::Status(arguments) => status::run(context, arguments.output.json),
        Task::Logs(arguments) => logs::run(context, &arguments),
        Task::Exec(arguments) => exec::run(context, arguments.service, &arguments.command),
        Task::Shell(arguments) => exec::shell(context, arguments.service),
        Task::Clean(arguments) => clean::run(context, &arguments),
        Task::Test(arguments) => test::run(context, &arguments),
        Task::Check(arguments) => check::run(context, arguments.fix),
        Task::Smoke(arguments) => smoke::run(context, &arguments),
        Task::Seed(arguments) => seed::run(context, &arguments),
        Task::Bench(arguments) => bench::run(context, &arguments),
        Task::Migrate(arguments) => migrate::run(context, &arguments),
        Task::Db(arguments) => db::run(context, &arguments.command),
        Task::BuildProd(arguments) => build_prod::run(context, &arguments),
        Task::Deploy(arguments) => deploy::run(context, &arguments),
        Task::Rollback(arguments) => rollback::run(context, &arguments),
        Task::Releases(arguments) => releases::run(context, &arguments),
        Task::Ci(arguments) => ci::run(context, &arguments),
        Task::WatchBackend(arguments) => watch_backend::run(context, &arguments),
        Task::Completions(_) | Task::LaunchService(_) => Ok(0),
    }
}
