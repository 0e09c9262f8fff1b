//! The two processes that are compared.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;

use crate::LIMIT;
use crate::load::{Client, Server};
use crate::memory::{self, Memory};
use crate::process;
use crate::scenario::Asker;

/// What signs tokens on both sides.
pub const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const JWT_REFRESH_SECRET: &str = "fedcba9876543210fedcba9876543210";

/// The service as it runs in production, but for the token that nobody needs here; it logs as it would there.
pub struct Thunder {
    child: Child,
    pub port: u16,
}

/// The bare handlers.
pub struct Bare {
    child: Child,
    port: u16,
}

#[expect(clippy::disallowed_methods, reason = "the benchmark starts what it measures")]
fn thunder(binary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).stdin(Stdio::null());
    command.envs([
        ("JWT_SECRET", JWT_SECRET),
        ("JWT_REFRESH_SECRET", JWT_REFRESH_SECRET),
        ("HEALTH_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("SMTP_URL", "smtp://localhost:25"),
        ("APP_ENV", "production"),
        // The load comes from one address.
        ("RATE_LIMIT_MAX", "1000000000"),
        ("RATE_LIMIT_PASSWORDS", "1000000000"),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("LOG_FORMAT", "json"),
        ("LOG_LEVEL", "info"),
    ]);
    command
}

/// Runs a command of the service to its end.
pub fn run(binary: &Path, args: &[&str]) -> Result<()> {
    let output = thunder(binary, args).output().with_context(|| format!("cannot start {}", binary.display()))?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The first thing that a process says from which a port can be read. The rest is read and forgotten.
fn port_of(child: &mut Child, read: impl Fn(&str) -> Option<u16> + Send + 'static) -> Result<u16> {
    let stdout = child.stdout.take().context("no stdout")?;
    let (sender, ports) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(port) = read(&line) {
                sender.send(port).ok();
            }
        }
    });
    ports.recv_timeout(LIMIT).context("the server did not say where it listens")
}

impl Thunder {
    pub fn start(binary: &Path) -> Result<Self> {
        let mut child = thunder(binary, &["serve"]).stdout(Stdio::piped()).spawn()?;
        let port = port_of(&mut child, |line| {
            let address = line.split_once("\"address\":\"")?.1.split_once('"')?.0;
            address.rsplit_once(':')?.1.parse().ok()
        })?;
        Ok(Self { child, port })
    }

    /// Itself, to be measured.
    pub fn server(&self) -> Server {
        Server { port: self.port, id: self.child.id() }
    }

    /// What it takes in memory, in MB.
    pub fn memory(&self) -> Result<f64> {
        process::memory(self.child.id())
    }

    /// What it takes once it has answered something.
    pub fn idle_memory(&self, runtime: &Runtime) -> Result<Memory> {
        runtime.block_on(async {
            let mut client = Client::connect(self.port).await?;
            for path in ["/health", "/api/v1/programs"] {
                client.ask(&format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n")).await?;
            }
            anyhow::Ok(())
        })?;
        Ok(memory::figure("idle", self.memory()?, Some(25.0)))
    }
}

impl Bare {
    pub fn start(asker: &Asker) -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the benchmark starts what it measures")]
        let mut command = Command::new(std::env::current_exe()?);
        let mut child =
            command.arg("--bare").arg(asker.user.to_string()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let port = port_of(&mut child, |line| line.parse().ok())?;
        Ok(Self { child, port })
    }

    /// Itself, to be measured.
    pub fn server(&self) -> Server {
        Server { port: self.port, id: self.child.id() }
    }
}

impl Drop for Thunder {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
