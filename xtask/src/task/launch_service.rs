//! Becomes a service: records its own process first, so that there is no moment at which a service runs that no record
//! tells of, whatever happens to whoever started it.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::cli::LaunchService;
use crate::failure::Failure;
use crate::file;
use crate::process;
use crate::runner::launch;

/// Never comes back when all goes well.
pub fn run(arguments: LaunchService) -> Result<u8> {
    let LaunchService { record, with_socket, uid, gid, command } = arguments;
    if !launch::begin(&record)? {
        return Err(Failure::passed_through(0).into());
    }
    let mut program = self::command(&command);
    if with_socket {
        // The number that we have is the one that the program will have.
        program.env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
    }
    let error = process::replace(program, uid.zip(gid));
    file::remove(&record)?;
    Err(error).with_context(|| format!("cannot run {}", command[0].display()))
}

fn command(words: &[OsString]) -> std::process::Command {
    #[expect(clippy::disallowed_methods, reason = "the runner started this process to be replaced by that program")]
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..]);
    command
}
