//! What was released, by whom, and what came of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde_json::json;

use crate::cli::Releases;
use crate::context::Context;
use crate::release::{Release, Request, rehearsal};
use crate::stack::host;
use crate::terminal::Table;

/// Shows the newest releases of an environment.
pub fn run(context: &Context, arguments: &Releases) -> Result<u8> {
    let environment = if arguments.rehearse { rehearsal::ENVIRONMENT } else { &arguments.to.environment };
    let request = Request::of(environment, arguments.to.project.clone(), host::binary()?);
    let release = if arguments.rehearse { Release::rehearse(context, request) } else { Release::of(context, request) };
    let release = Arc::new(release?);
    let ledger = crate::release::ledger(context, &release)?;
    if arguments.output.json {
        let document = json!({ "schema_version": 1, "environment": environment, "releases": ledger.entries });
        context.terminal.json(&document)?;
        return Ok(0);
    }
    if ledger.entries.is_empty() {
        context.terminal.note(format!("nothing was released to {environment} by cargo xtask deploy"));
        return Ok(0);
    }
    let mut table = Table::default();
    for entry in &ledger.entries {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(entry.at);
        let seconds: u64 = entry.seconds.values().sum();
        table.row([
            humantime::format_rfc3339_seconds(at).to_string(),
            entry.commit.clone(),
            entry.verdict.words().to_owned(),
            entry.owner.clone(),
            humantime::format_duration(Duration::from_secs(seconds)).to_string(),
            entry.migration.map_or_else(String::new, |version| format!("migration {version}")),
            entry.backup.clone().map_or_else(String::new, |backup| format!("backup {backup}")),
            entry.subject.clone(),
        ]);
    }
    context.terminal.table(&table)?;
    Ok(0)
}
