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

use anyhow::{Context, Result};
use clap::Parser;
use tokio::runtime::Runtime;

use crate::load::{Measured, Server};
use crate::memory::Memory;
use crate::report::{Document, Growth, Rate};
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
    let bench = Bench { cli, runtime, thunder: Thunder::start(&cli.thunder)?, bare: Bare::start(&rows.asker)? };
    let scenarios = Scenario::all(&rows);
    let mut memory = vec![bench.thunder.idle_memory(&bench.runtime)?];
    if cli.only.as_deref().is_none_or(|only| only == "sign-in") {
        memory.push(bench.burst_of_sign_ins(&scenarios)?);
    }
    let rates = bench.rates(&scenarios)?;
    memory.push(memory::figure("after the load", bench.thunder.memory()?, None));
    let mut growth = Vec::new();
    if cli.only.is_none() {
        memory.push(bench.runtime.block_on(memory::idle_connections(&bench.thunder))?);
        memory.push(bench.runtime.block_on(memory::half_sent_bodies(&bench.thunder, &rows.asker.token))?);
        growth = bench.growth(&scenarios)?;
    }
    for figure in &memory {
        report::say(&figure.line());
    }
    if cli.json {
        report::print(&Document {
            schema_version: 1,
            seconds: cli.seconds,
            rounds: cli.rounds,
            rates,
            growth,
            memory,
        })?;
    }
    Ok(())
}

struct Bench<'a> {
    cli: &'a Cli,
    runtime: Runtime,
    thunder: Thunder,
    bare: Bare,
}

impl Bench<'_> {
    fn measure(&self, server: Server, scenario: &Scenario, connections: usize) -> Result<Measured> {
        self.runtime.block_on(load::measure(server, &scenario.request, connections, self.cli.seconds))
    }

    /// Each load on both, in turn.
    fn rates(&self, scenarios: &[Scenario]) -> Result<Vec<Rate>> {
        let mut rates = Vec::new();
        let is_wanted =
            |scenario: &&Scenario| self.cli.only.as_ref().is_none_or(|only| scenario.name.contains(only.as_str()));
        for scenario in scenarios.iter().filter(is_wanted) {
            for connections in CONNECTIONS {
                let mut pairs = Vec::new();
                for round in 0..self.cli.rounds {
                    let measure = |server| self.measure(server, scenario, connections);
                    // Each goes first in half of the rounds, in case the order matters.
                    pairs.push(if round % 2 == 0 {
                        (measure(self.thunder.server())?, measure(self.bare.server())?)
                    } else {
                        let bare = measure(self.bare.server())?;
                        (measure(self.thunder.server())?, bare)
                    });
                }
                let rate = Rate::of(scenario.name, connections, scenario.promised, &pairs);
                report::say(&rate.line());
                rates.push(rate);
            }
        }
        Ok(rates)
    }

    /// What is left in memory once many have signed in at the same time.
    fn burst_of_sign_ins(&self, scenarios: &[Scenario]) -> Result<Memory> {
        let sign_in = scenarios.iter().find(|scenario| scenario.name == "sign-in").context("no sign-in")?;
        self.measure(self.thunder.server(), sign_in, 64)?;
        Ok(memory::figure("after a burst of sign-ins", self.thunder.memory()?, Some(35.0)))
    }

    /// Lists with few reports and with many.
    fn growth(&self, scenarios: &[Scenario]) -> Result<Vec<Growth>> {
        let all = || {
            let steady = scenarios.iter().filter(|scenario| scenario.is_steady());
            let each = steady.flat_map(|scenario| CONNECTIONS.map(|connections| (scenario, connections)));
            each.map(|(scenario, connections)| {
                let round = |_| self.measure(self.thunder.server(), scenario, connections);
                Ok((scenario.name, connections, (0..self.cli.rounds).map(round).collect::<Result<Vec<_>>>()?))
            })
            .collect::<Result<Vec<_>>>()
        };
        let few = all()?;
        report::say(&format!("adding reports, until there are {}", scenario::MANY));
        self.runtime.block_on(scenario::grow())?;
        let many = all()?;
        let both = few.iter().zip(&many);
        let growth = both.map(|((name, connections, few), (_, _, many))| Growth::of(name, *connections, few, many));
        let growth: Vec<Growth> = growth.collect();
        for one in &growth {
            report::say(&one.line());
        }
        Ok(growth)
    }
}

/// How long anything of this may take.
const LIMIT: Duration = Duration::from_secs(30);
