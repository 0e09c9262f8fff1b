//! The host engine does not run here (Docker and WSL 2 do); what is here lets everything else compile and work.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

pub fn signal(_: u32, _: &str) -> Result<bool> {
    bail!("processes have no signals on this system")
}

pub fn signal_group(_: u32, _: &str) -> Result<bool> {
    bail!("processes have no signals on this system")
}

pub fn exists(_: u32) -> bool {
    false
}

pub fn group_exists(_: u32) -> bool {
    false
}

pub fn lead_group(_: &mut Command, _: Option<(u32, u32)>) {}

pub fn pass_socket(_: &mut Command, _: &TcpListener) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

pub fn socket_of(_: u32) -> std::io::Result<TcpListener> {
    Err(std::io::ErrorKind::Unsupported.into())
}

pub fn ourselves() -> Result<PathBuf> {
    std::env::current_exe().context("cannot tell where xtask itself is")
}

#[expect(clippy::disallowed_methods, reason = "called by the runner; a process cannot be replaced here")]
pub fn replace(mut command: Command, _: Option<(u32, u32)>) -> std::io::Error {
    match command.status() {
        #[expect(clippy::exit, reason = "stands for the program that took our place")]
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}

pub fn exit_code(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

pub fn describe_exit(status: ExitStatus) -> String {
    status.code().map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"))
}

pub fn session(_: u32) -> Option<String> {
    None
}

pub fn started(_: u32) -> Option<String> {
    None
}
