//! What stands in front of a rehearsed deployment, as a platform's edge does: it starts the containers of a new version
//! beside those of the old, asks the new for its health, switches at once when it answers, leaves the old one running
//! for a while, and then ends it. What it knows lies in a folder, so that the next start goes on from there.

mod answers;
mod containers;
mod control;
mod deployment;
mod edge;
mod front;
mod lifecycle;
mod state;

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::containers::Containers;
use crate::control::Order;
use crate::edge::Edge;

/// The edge of a rehearsal
#[derive(Debug, Parser)]
struct Arguments {
    /// Where its state lies
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in front of the services until SIGTERM
    Serve {
        /// The program that runs containers
        #[arg(long, default_value = "docker", value_name = "PROGRAM")]
        docker: PathBuf,
        /// A label that all of the containers get
        #[arg(long, value_name = "NAME=VALUE")]
        label: String,
    },
    /// Give the one that serves an order, and print its answer
    Ask {
        /// The order as JSON; `-` reads it from stdin, which is for secrets
        order: String,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Serve { docker, label } => {
            tracing_subscriber::fmt().with_ansi(false).with_target(false).init();
            Edge::serve(arguments.folder, Containers { docker, label }).await
        }
        Command::Ask { order } => {
            let text = if order == "-" { stdin()? } else { order };
            let order: Order = serde_json::from_str(&text).context("the order cannot be read")?;
            let answer = control::ask(&arguments.folder, &order).await?;
            write(&answer.to_string())
        }
    }
}

fn stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read the order")?;
    Ok(text)
}

fn write(text: &str) -> Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").context("cannot write the answer")
}
