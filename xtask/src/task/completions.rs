//! Completions for shells.

use std::io::Write;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::{Cli, Completions};

/// Prints the script.
pub fn run(arguments: &Completions) -> Result<u8> {
    let mut script = Vec::new();
    let mut command = Cli::command().bin_name(arguments.name.clone());
    clap_complete::generate(arguments.shell, &mut command, arguments.name.clone(), &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(0),
    }
}
