//! What the service promises about speed and memory, measured: `cargo xtask bench backend` runs it against throw-away
//! servers.
//!
//! Each figure is taken beside a bare axum handler that does the same query, in turn with it and on the same machine:
//! what the service costs is the difference, whatever the machine is.

mod bare;
mod load;
mod memory;
mod process;
mod report;
mod scenario;
mod servers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use crate::report::{Document, Rate};
use crate::scenario::Scenario;
use crate::servers::{Bare, Thunder};

/// Measures the service. `DATABASE_URL` and `REDIS_URL` name servers on which nothing is of value.
#[derive(Parser)]
struct Cli {
    /// Serve the bare handlers instead, for the user with this id
    #[arg(long, value_name = "USER")]
    bare: Option<uuid::Uuid>,
    /// The service's binary
    #[arg(long = "binary", default_value = "thunder")]
    thunder: PathBuf,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How often each load is repeated; the figures are medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only the loads whose name holds this, and no figures of memory
    #[arg(long)]
    only: Option<String>,
    /// Print one JSON document on stdout
    #[arg(long)]
    json: bool,
}

/// The numbers of connections at once.
const CONNECTIONS: [usize; 3] = [1, 16, 64];

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(user) = cli.bare {
        return runtime.block_on(bare::serve(user));
    }
    backend::server::make_room(20_000);
    let rows = runtime.block_on(scenario::prepare(&cli.thunder))?;
    let (thunder, bare) = (Thunder::start(&cli.thunder)?, Bare::start(&rows.asker)?);
    let memory_at_first = thunder.idle_memory(&runtime)?;
    let mut rates = Vec::new();
    let is_wanted = |scenario: &Scenario| cli.only.as_ref().is_none_or(|only| scenario.name.contains(only.as_str()));
    for scenario in Scenario::all(&rows).into_iter().filter(is_wanted) {
        for connections in CONNECTIONS {
            let mut pairs = Vec::new();
            for round in 0..cli.rounds {
                let measure =
                    |server| runtime.block_on(load::measure(server, &scenario.request, connections, cli.seconds));
                // Each goes first in half of the rounds, in case the order matters.
                pairs.push(if round % 2 == 0 {
                    (measure(thunder.server())?, measure(bare.server())?)
                } else {
                    let bare = measure(bare.server())?;
                    (measure(thunder.server())?, bare)
                });
            }
            let rate = Rate::of(scenario.name, connections, scenario.promised, &pairs);
            report::say(&rate.line());
            rates.push(rate);
        }
    }
    let mut memory = vec![memory_at_first, memory::figure("after the load", thunder.memory()?, None)];
    if cli.only.is_none() {
        memory.push(runtime.block_on(memory::idle_connections(&thunder))?);
        memory.push(runtime.block_on(memory::half_sent_bodies(&thunder, &rows.asker.token))?);
    }
    for figure in &memory {
        report::say(&figure.line());
    }
    if cli.json {
        report::print(&Document { schema_version: 1, seconds: cli.seconds, rounds: cli.rounds, rates, memory })?;
    }
    Ok(())
}

/// How long anything of this may take.
const LIMIT: Duration = Duration::from_secs(30);
