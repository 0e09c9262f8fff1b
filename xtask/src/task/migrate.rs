//! Migrations of the local stack.

use std::time::Duration;

use anyhow::Result;

use crate::cli::MigrateCommand;
use crate::context::Context;
use crate::interrupt::CancelToken;
use crate::stack::engine::Stack;
use crate::stack::thunder::Service;

/// How long migrations may take.
const TIMEOUT: Duration = Duration::from_mins(10);

/// Applies what is pending, or says where each migration stands.
pub fn run(context: &Context, command: Option<MigrateCommand>) -> Result<u8> {
    // Migrations are compiled into the binary, so that asking an old one would not tell of new files.
    let (thunder, build) = Stack::open(context)?.thunder(Service::Postgres)?;
    let step = match command {
        None | Some(MigrateCommand::Run) => thunder.migrate(TIMEOUT),
        Some(MigrateCommand::Status(arguments)) => thunder.migration_status(arguments.json),
    };
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    build.run(context).result?;
    context.runner.forward(&step, &CancelToken::on(&context.interrupt))
}
