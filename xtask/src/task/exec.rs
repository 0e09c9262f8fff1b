//! A command, a client or a shell in a service's surroundings.

use anyhow::Result;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::stack::engine::Stack;
use crate::stack::thunder::Service;
use crate::step::Stdin;
use crate::tool::system::{Package, install_command};

/// Becomes the command; its exit code is ours.
pub fn run(context: &Context, service: Service, command: &[String]) -> Result<u8> {
    let step = Stack::open(context)?.inside(service, command)?.stdin(Stdin::Terminal);
    if context.dry_run {
        context.terminal.data(step)?;
        return Ok(0);
    }
    match context.runner.replace(&step)? {}
}

/// Becomes the service's client, or a shell.
pub fn shell(context: &Context, service: Service) -> Result<u8> {
    let words = match Stack::open(context)? {
        Stack::Docker(docker) => docker.shell(service)?,
        Stack::Host(host) => {
            let port = host.state().map_or(0, |state| state.ports.of(service)).to_string();
            match service {
                Service::Postgres => vec![client("psql", Package::Psql, service)?],
                Service::Redis => vec![client("redis-cli", Package::RedisCli, service)?, "-p".to_owned(), port],
                Service::Backend => vec![std::env::var("SHELL").unwrap_or_else(|_| "sh".to_owned())],
            }
        }
    };
    run(context, service, &words)
}

fn client(name: &str, package: Package, service: Service) -> Result<String> {
    // Valkey's client speaks the same language.
    let names = if name == "redis-cli" { vec![name, "valkey-cli"] } else { vec![name] };
    if let Some(found) = names.iter().find(|name| which::which(name).is_ok()) {
        return Ok((*found).to_owned());
    }
    Err(Failure::new(Exit::Missing, format!("{name} is not on PATH, and portable servers bring no clients"))
        .hint(install_command(package))
        .hint(format!("cargo xtask exec {service} -- CMD, with another client"))
        .into())
}
