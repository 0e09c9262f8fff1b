//! The runner: the one place that starts processes.
//!
//! A [`Step`] says what; the runner's verbs say how it is watched. `read` is for questions, `run` for work whose output
//! is shown only when it fails, `forward` for a program whose lines are passed on to the user, `replace` for one that
//! takes over the terminal, and `start` for one that stays when the task is over.
//!
//! All but the last two keep stdout and stderr apart, can be cancelled, have a timeout, and read nothing from the
//! terminal.

mod environment;
mod group;
pub mod launch;
mod processes;
#[cfg(test)]
mod recorded;
mod transcript;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use crate::failure::Failure;
use crate::interrupt::CancelToken;
use crate::step::Step;

pub use self::group::Stream;
pub use self::processes::Processes;
#[cfg(test)]
pub use self::recorded::{Recorded, fails, says};

/// How many lines of a failed command's output are shown.
const EVIDENCE_LINES: usize = 60;

/// What a command said and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// Whether it ended well.
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// Everything it wrote, for an error that needs evidence.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.lines().chain(self.stderr.lines()).map(str::to_owned).collect()
    }
}

/// A program that is to stay: the step, where its process is recorded and where its output goes.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What to run.
    pub step: Step,
    /// The file that says which process it became.
    pub record: PathBuf,
    /// The file that its output is appended to; none where it goes to our own streams.
    pub log: Option<PathBuf>,
    /// The listening socket that it is given, by the protocol of `sd_listen_fds(3)`.
    pub socket: Option<Arc<TcpListener>>,
}

/// A program that was started to stay.
pub trait Child: Send + Sync {
    /// How it ended, if it did; `exit code 1` or `signal 9`.
    fn ended(&self) -> Result<Option<String>>;

    /// How it ended, once it has.
    fn wait(&self) -> Result<String>;
}

/// Starts processes; tests replace it.
pub trait Runner: Send + Sync {
    /// Where a program is on PATH; none where it is not.
    fn find(&self, program: &str) -> Option<PathBuf>;

    /// Runs a step to its end and gives back what it said, however it ended.
    fn read(&self, step: &Step) -> Result<Output>;

    /// Runs a step to its end, tells `heard` each line as it comes, and fails when the step does.
    fn run(&self, step: &Step, cancel: &CancelToken, heard: &dyn Fn(Stream, &str)) -> Result<()>;

    /// Runs a step to its end, prints each line as it comes on the stream that it came on, and gives back its exit code.
    fn forward(&self, step: &Step, cancel: &CancelToken) -> Result<u8>;

    /// Becomes the step's program, which has the terminal from then on; comes back only when that fails.
    fn replace(&self, step: &Step) -> Result<std::convert::Infallible>;

    /// Starts a program that stays when we are gone.
    fn start(&self, launch: &Launch) -> Result<Box<dyn Child>>;

    /// The same runner, whose questions Ctrl-C does not cut short: for cleaning up.
    fn without_cancel(&self) -> Box<dyn Runner>;
}

/// The step's output on success, or a failure that shows what it said.
pub fn read_well(runner: &dyn Runner, step: &Step) -> Result<String> {
    let output = runner.read(step)?;
    success(step, &output)?;
    Ok(output.stdout)
}

/// What a step that ended well has printed, or a failure that shows what it said.
pub fn success<'a>(step: &Step, output: &'a Output) -> Result<&'a str> {
    if output.is_success() { Ok(&output.stdout) } else { Err(failure(step, output.code, &output.lines()).into()) }
}

/// The lines that the step prints; a failure where it fails, which is not the same as no lines.
pub fn lines(runner: &dyn Runner, step: &Step) -> Result<Vec<String>> {
    Ok(read_well(runner, step)?.lines().map(str::to_owned).collect())
}

/// Whether the step ends well; a failure where there is no answer at all.
pub fn is_success(runner: &dyn Runner, step: &Step) -> Result<bool> {
    Ok(runner.read(step)?.is_success())
}

/// The failure of a step that ended badly.
pub fn failure(step: &Step, code: Option<i32>, said: &[String]) -> Failure {
    let how = code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("failed with exit code {code}"));
    let name = step.program().file_name().unwrap_or_default().to_string_lossy();
    let what = format!("cannot {}: {name} {how}", step.purpose());
    with_evidence(Failure::new(step.exit_when_failed(code), what), step, said)
}

/// The failure with what the step has said, what to do about it, and the command: the cause comes first.
fn with_evidence(failure: Failure, step: &Step, said: &[String]) -> Failure {
    let failure = failure.details(step.evidence(said, EVIDENCE_LINES)).command(step.to_string());
    step.hints().iter().fold(failure, Failure::hint)
}
