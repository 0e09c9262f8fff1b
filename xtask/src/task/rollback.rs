//! An older version serves again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::cli;
use crate::context::Context;
use crate::release::rollback::{self, Rollback};
use crate::release::{Release, Request, rehearsal};
use crate::stack::host::{self, Host};
use crate::terminal::{FAINT, GOOD, STRONG, Table};

/// Goes back, or lists what can be gone back to.
pub fn run(context: &Context, arguments: &cli::Rollback) -> Result<u8> {
    let is_rehearsed = arguments.rehearse;
    let environment = if is_rehearsed { rehearsal::ENVIRONMENT } else { &arguments.environment.environment };
    let request = Request {
        confirmed: arguments.confirm.confirm.clone(),
        url: arguments.url.as_deref().map(|url| url.trim_end_matches('/').to_owned()),
        lock_timeout: Duration::from_secs(arguments.lock_timeout),
        ..Request::of(environment, arguments.environment.project.clone(), host::binary()?)
    };
    let release = if is_rehearsed { Release::rehearse(context, request) } else { Release::of(context, request) };
    let release = Arc::new(release?);
    if arguments.list {
        return list(context, &release, arguments.output.json);
    }
    Host::open(context).build()?.print_or_run(context)?;
    let asked = Rollback {
        to: arguments.to.clone(),
        service: arguments.service.clone(),
        without_check: arguments.without_check,
    };
    let Some(deployment) = rollback::roll_back(context, &release, &asked)? else { return Ok(0) };
    if arguments.output.json {
        let document = json!({ "schema_version": 1, "environment": environment, "deployment": deployment });
        context.terminal.json(&document)?;
    } else {
        context
            .terminal
            .data(format!("{GOOD}✓{GOOD:#} the deployment {deployment} serves, with the variables that it had"))?;
    }
    Ok(0)
}

fn list(context: &Context, release: &Arc<Release>, as_json: bool) -> Result<u8> {
    let services = rollback::list(context, release)?;
    if as_json {
        let services: Vec<_> = services
            .into_iter()
            .map(|(service, deployments)| json!({ "service": service, "deployments": deployments }))
            .collect();
        context.terminal.json(&json!({ "schema_version": 1, "services": services }))?;
        return Ok(0);
    }
    for (service, deployments) in services {
        context.terminal.data(format!("{STRONG}{service}{STRONG:#}"))?;
        if deployments.is_empty() {
            context.terminal.data(format!("  {FAINT}nothing was deployed, or no image is kept{FAINT:#}"))?;
        }
        let mut table = Table::default();
        for one in deployments {
            table.row([
                format!("  {}", one.deployment),
                one.created_at,
                one.commit.unwrap_or_else(|| "unknown".to_owned()),
                one.subject.unwrap_or_default(),
                if one.is_live { "live".to_owned() } else { String::new() },
            ]);
        }
        context.terminal.table(&table)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
