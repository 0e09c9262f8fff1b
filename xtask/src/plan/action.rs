//! What a plan is made of: commands, and what would be `mkdir`, `rm` or `kill` in a script.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::Value;
use crate::context::Context;
use crate::failure::Failure;
use crate::interrupt::CancelToken;
use crate::runner::{self, Launch, Output, Runner};
use crate::step::{Step, User, quoted};
use crate::supervise::Stop;
use crate::terminal;

/// Keeps something of what a command printed, and says whether it is as it should be.
pub type Reader = Box<dyn Fn(&Step, &Output) -> Result<()> + Send + Sync>;

/// One thing that is done.
pub enum Action {
    /// Runs a command to its end.
    Run(Step),
    /// Runs a command to its end and shows how far it is, by what the function finds in its lines.
    Follow(Step, fn(&str) -> Option<String>),
    /// Runs a command to its end, and gives what it printed to the reader, however it ended.
    Read(Step, Reader),
    /// Does that, and keeps how long it took.
    Timed(Value<Duration>, Box<Action>),
    /// Looks at something that no command tells.
    Check(Check),
    /// Starts a service.
    Start(Launch),
    /// Waits until a service is ready.
    Await(Await),
    /// Waits until another lane is done.
    After(String),
    /// Stops a service.
    Stop(Stop),
    /// Stops every process that a record in a folder tells of.
    StopEach(Stop),
    /// Makes a folder, with those above it.
    Folder(Folder),
    /// Writes a file, whole or not at all.
    Write(Write),
    /// Renames a file or folder.
    Rename(PathBuf, PathBuf),
    /// Puts a folder in its place, unless somebody else was faster; then this one is removed.
    Install(PathBuf, PathBuf),
    /// Makes the links that a JSON file lists as `source` and `target`, relative to the folder of its parent.
    Links(PathBuf),
    /// Waits until no process works in a folder any more, and ends those that stay.
    Vacate(PathBuf),
    /// Removes a file or a folder with all that is in it, if it is there.
    Remove(PathBuf),
    /// Cuts a log that has grown large.
    Rotate(PathBuf),
}

/// A look at something that no command tells, which may fail.
pub struct Check {
    /// What is done, as the beginning of a sentence: "inspect every layer".
    pub what: String,
    /// The commands that it takes, as far as they are known before.
    pub commands: Vec<Step>,
    /// Does it.
    pub run: Examine,
}

/// Does what a [`Check`] says.
pub type Examine = Box<dyn Fn(&Access<'_>) -> Result<()> + Send + Sync>;

/// What a [`Check`] is given.
pub struct Access<'a> {
    /// The task's context.
    pub context: &'a Context,
    /// What runs its commands.
    pub runner: &'a dyn Runner,
    /// Whether it is to stop.
    pub cancel: &'a CancelToken,
    /// Where it says how far it is.
    pub line: &'a terminal::Lane<'a>,
}

/// A wait for a service to be ready.
pub struct Await {
    /// The service, as its lane is named.
    pub service: String,
    /// What is asked, again and again.
    pub probe: Box<dyn Probe>,
    /// For how long.
    pub timeout: Duration,
    /// What it runs as, where that is a process of this machine.
    pub process: Option<ServiceProcess>,
}

/// What a service runs as.
pub struct ServiceProcess {
    /// The file that says which process it is.
    pub record: PathBuf,
    /// The log that says why it is not ready.
    pub log: PathBuf,
}

/// A question whether something is ready. Displayed, it completes the sentence "wait until …".
pub trait Probe: fmt::Display + Send + Sync {
    /// Nothing when it is, else what is in the way.
    fn look(&self, runner: &dyn Runner) -> Result<(), Unready>;

    /// What helps to understand why it did not become ready in time.
    fn evidence(&self, _: &dyn Runner) -> Vec<String> {
        Vec::new()
    }
}

/// Why something is not ready.
pub enum Unready {
    /// It may become so; this is how it stands.
    NotYet(String),
    /// It never will.
    Failed(Failure),
}

impl From<String> for Unready {
    fn from(seen: String) -> Self {
        Self::NotYet(seen)
    }
}

/// A folder to make.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Whom it is given to.
    pub owner: Option<User>,
}

/// A file to write.
#[derive(Clone)]
pub struct Write {
    /// Where.
    pub path: PathBuf,
    /// What is in it, which may hold secrets.
    pub text: String,
    /// Its permissions.
    pub mode: u32,
}

impl Action {
    /// A [`Check`].
    pub fn check(what: impl Into<String>, run: impl Fn(&Access<'_>) -> Result<()> + Send + Sync + 'static) -> Self {
        Self::drive(what, Vec::new(), run)
    }

    /// Work that takes several commands, of which each depends on what the ones before it said.
    pub fn drive(
        what: impl Into<String>,
        commands: Vec<Step>,
        run: impl Fn(&Access<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::Check(Check { what: what.into(), commands, run: Box::new(run) })
    }

    /// Runs a command and keeps what `parse` finds in what it printed; an error where that is nothing.
    pub fn keep<T: Send + Sync + 'static>(step: Step, value: &Value<T>, parse: fn(&str) -> Option<T>) -> Self {
        let value = value.clone();
        let keep = move |step: &Step, output: &Output| {
            let said = runner::success(step, output)?;
            value.set(parse(said).ok_or_else(|| anyhow!("cannot {}: it says {said:?}", step.purpose()))?);
            Ok(())
        };
        Self::Read(step, Box::new(keep))
    }
}

fn shell(path: &Path) -> String {
    quoted(path.as_os_str())
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(step) | Self::Follow(step, _) | Self::Read(step, _) => write!(f, "{step}"),
            Self::Timed(_, action) => action.fmt(f),
            Self::Check(check) => {
                write!(f, "# {}", check.what)?;
                check.commands.iter().try_for_each(|step| write!(f, "\n{step}"))
            }
            Self::Start(launch) => match &launch.log {
                Some(log) => write!(f, "{} >>{} 2>&1 &", launch.step, shell(log)),
                None => write!(f, "{} &", launch.step),
            },
            Self::Await(wait) => {
                write!(f, "# wait until {}, for at most {}", wait.probe, humantime::format_duration(wait.timeout))
            }
            Self::After(lane) => write!(f, "# wait until {lane} is done"),
            Self::Stop(stop) => {
                let signals: Vec<String> = stop
                    .signals
                    .iter()
                    .map(|(signal, timeout)| format!("SIG{signal}, {}", humantime::format_duration(*timeout)))
                    .collect();
                match crate::process::Record::load(&stop.record) {
                    Some(record) => {
                        write!(f, "kill -{} {}  # {}", stop.signals[0].0, record.pid, signals.join(", then "))
                    }
                    None => write!(f, "# {} is not running", stop.service),
                }
            }
            Self::StopEach(stop) => {
                write!(f, "# stop every {} that {} tells of", stop.service, shell(&stop.record))
            }
            Self::Folder(folder) => {
                write!(f, "mkdir -p -m {:o} {}", folder.mode, shell(&folder.path))?;
                match &folder.owner {
                    Some(owner) => write!(f, " && chown {} {}", owner.name, shell(&folder.path)),
                    None => Ok(()),
                }
            }
            Self::Write(file) => {
                let lines = file.text.lines().count();
                write!(f, "# write {} ({lines} lines, mode {:o})", shell(&file.path), file.mode)
            }
            Self::Install(from, to) => write!(f, "mv -n {} {}", shell(from), shell(to)),
            Self::Links(list) => write!(f, "# make the links that {} lists", shell(list)),
            Self::Vacate(folder) => write!(f, "# wait until no process works in {} any more", shell(folder)),
            Self::Rename(from, to) => write!(f, "mv {} {}", shell(from), shell(to)),
            Self::Remove(path) => write!(f, "rm -rf {}", shell(path)),
            Self::Rotate(path) => write!(f, "# cut {} if it has grown large", shell(path)),
        }
    }
}

#[cfg(test)]
mod tests;
