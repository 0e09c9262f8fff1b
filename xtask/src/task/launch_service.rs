//! Becomes a service: records its own process first, so that there is no moment at which a service runs that no record
//! tells of, whatever happens to whoever started it.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::cli::LaunchService;
use crate::failure::Failure;
use crate::file;
use crate::process::{self, Record};
use crate::stack::lock::Lock;

/// Never comes back when all goes well.
pub fn run(arguments: LaunchService) -> Result<u8> {
    let LaunchService { record, uid, gid, command } = arguments;
    // Held until the program takes over: two launches of one service follow each other, and the second sees the first.
    let Some(lock) = Lock::attempt(&record.with_extension("launching"))? else {
        return Err(Failure::passed_through(0).into());
    };
    if Record::load(&record).is_some_and(|record| record.is_running()) {
        return Err(Failure::passed_through(0).into());
    }
    let own = Record::of_ourselves()?;
    file::write(&record, serde_json::to_string(&own)?.as_bytes(), 0o644)?;
    lock.remove_file()?;
    let error = process::replace(self::command(&command), uid.zip(gid));
    file::remove(&record)?;
    Err(error).with_context(|| format!("cannot run {}", command[0].display()))
}

fn command(words: &[OsString]) -> std::process::Command {
    #[expect(clippy::disallowed_methods, reason = "the runner started this process to be replaced by that program")]
    let mut command = std::process::Command::new(&words[0]);
    command.args(&words[1..]);
    command
}
