//! Migrations of the local stack.

use anyhow::Result;

use crate::cli::MigrateCommand;
use crate::context::Context;
use crate::interrupt::Halt;
use crate::plan::Plan;
use crate::stack::host::{Host, lanes};
use crate::stack::thunder::Service;
use crate::tool::backend;

/// Applies what is pending, or says where each migration stands.
pub fn run(context: &Context, command: Option<MigrateCommand>) -> Result<u8> {
    let host = Host::open(context)?;
    let (binary, environment) = host.backend_command(Service::Postgres)?;
    let facts = host.backend_facts()?;
    let step = match command {
        None | Some(MigrateCommand::Run) => backend::migrate(&binary, &environment, facts.migration_limit),
        Some(MigrateCommand::Status(arguments)) => backend::migration_status(&binary, &environment, arguments.json),
    };
    // Migrations are compiled into the binary, so that asking an old one would not tell of new files.
    let plan = Plan::of("build", vec![lanes::build(&facts)], "done");
    if context.dry_run {
        plan.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(0);
    }
    plan.run(context).result?;
    context.runner.forward(&step, &Halt::on(&context.interrupt))
}
