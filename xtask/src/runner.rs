//! The runner: the one place that starts processes.
//!
//! A [`Step`] says what; the runner's verbs say how it is watched. `read` is for questions, `run` for work whose output
//! is shown only when it fails, `forward` for a program that talks to the user itself, `replace` for one that takes
//! over the terminal, and `start` for one that stays when the task is over.

mod processes;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use crate::failure::Failure;
use crate::interrupt::Halt;
use crate::step::Step;

pub use self::processes::Processes;

/// How many lines of a failed command's output are shown.
const EVIDENCE: usize = 60;

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
    /// Runs a step to its end and gives back what it said, however it ended.
    fn read(&self, step: &Step) -> Result<Output>;

    /// Runs a step to its end, tells `heard` each line as it comes, and fails when the step does.
    fn run(&self, step: &Step, halt: &Halt, heard: &dyn Fn(&str)) -> Result<()>;

    /// Runs a step that writes to our own streams, and gives back its exit code.
    fn forward(&self, step: &Step, halt: &Halt) -> Result<u8>;

    /// Becomes the step's program; comes back only when that fails.
    fn replace(&self, step: &Step) -> Result<std::convert::Infallible>;

    /// Starts a program that stays when we are gone.
    fn start(&self, launch: &Launch) -> Result<Box<dyn Child>>;
}

/// The step's output on success, or a failure that shows what it said.
pub fn read_well(runner: &dyn Runner, step: &Step) -> Result<String> {
    let output = runner.read(step)?;
    if output.is_success() { Ok(output.stdout) } else { Err(failure(step, output.code, &output.lines()).into()) }
}

/// Whether the step ends well.
pub fn is_success(runner: &dyn Runner, step: &Step) -> bool {
    runner.read(step).is_ok_and(|output| output.is_success())
}

/// The lines that the step prints; none where it fails.
pub fn lines(runner: &dyn Runner, step: &Step) -> Vec<String> {
    let output = runner.read(step).unwrap_or_default();
    if output.is_success() { output.stdout.lines().map(str::to_owned).collect() } else { Vec::new() }
}

/// The failure of a step that ended badly.
pub fn failure(step: &Step, code: Option<i32>, lines: &[String]) -> Failure {
    let how = code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("failed with exit code {code}"));
    let name = step.program().file_name().unwrap_or_default().to_string_lossy();
    let mut evidence = vec![format!("$ {step}")];
    evidence.extend(step.evidence(lines, EVIDENCE));
    let failure = Failure::new(step.exit_when_failed(), format!("cannot {}: {name} {how}", step.purpose()));
    step.advice().iter().fold(failure.details(evidence), Failure::next)
}
