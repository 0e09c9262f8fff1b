//! The two ways in which a process is asked to end.

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT. While this exists they do nothing by themselves; as process 1 they would not anyway.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over.
    pub fn new() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the first that comes, and names it.
    pub async fn first(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The exit code of a process that a signal has ended, as shells tell it.
    pub fn exit_code(name: &str) -> u8 {
        if name == "SIGINT" { 130 } else { 143 }
    }
}
