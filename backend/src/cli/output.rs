//! A command's answer on stdout.

use std::io::Write;

use anyhow::{Context, Result};

/// Prints as it is.
pub fn text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to stdout"),
    }
}

/// Prints one document.
pub fn json(document: &serde_json::Value) -> Result<()> {
    text(&format!("{document:#}\n"))
}
