//! The runner: the one place that starts processes.
//!
//! A [`Step`] says what; the runner's verbs say how it is watched. `read` is for questions, `run` for work whose output
//! is shown only when it fails, `forward` for a program that talks to the user itself, `replace` for one that takes
//! over the terminal, and `start` for one that stays when the task is over.

use std::fs::OpenOptions;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::failure::{Exit, Failure};
use crate::interrupt::Halt;
use crate::launch;
use crate::process::{self, Record};
use crate::step::{Stdin, Step};
use crate::terminal::Terminal;
use crate::wait::{self, Look, Waited};

/// How long a child may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How often a running child is looked at.
const TICK: Duration = Duration::from_millis(50);
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
    /// The file that its output is appended to.
    pub log: PathBuf,
}

/// A program that was started to stay.
pub trait Child: Send + Sync {
    /// How it ended, if it did; `exit code 1` or `signal 9`.
    fn ended(&self) -> Result<Option<String>>;
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

/// Runs real processes.
pub struct Processes {
    terminal: Arc<Terminal>,
    /// In a dry run only what changes nothing is run, and everything else is a mistake of ours.
    is_dry: bool,
}

impl Processes {
    /// A runner; one for a dry run refuses to change anything.
    pub fn new(terminal: Arc<Terminal>, is_dry: bool) -> Self {
        Self { terminal, is_dry }
    }

    fn announce(&self, step: &Step) -> Result<()> {
        if self.is_dry && !step.is_read_only() {
            bail!("a dry run was about to {}; this is a mistake in xtask", step.purpose());
        }
        for secret in step.secrets() {
            self.terminal.hide(&secret.to_string_lossy());
        }
        self.terminal.verbose(format!("$ {step}"));
        Ok(())
    }

    /// Questions without a time limit: short, captured, nothing to interrupt.
    fn ask(step: &Step) -> Result<Output> {
        let shell = xshell::Shell::new()?;
        if let Some(folder) = step.working_folder() {
            shell.change_dir(folder);
        }
        #[expect(clippy::disallowed_methods, reason = "the runner is where processes are started")]
        let mut command = shell.cmd(step.program()).args(step.arguments()).quiet().ignore_status();
        command = command.env_clear().envs(environment(step));
        if let Stdin::Text(text) = step.input() {
            command = command.stdin(text);
        }
        let output = command.output()?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The step as an expression whose process leads a group of its own: Ctrl-C in the terminal reaches only us, and
    /// we pass it on in order.
    fn expression(step: &Step) -> duct::Expression {
        #[expect(clippy::disallowed_methods, reason = "the runner is where processes are started")]
        let expression = duct::cmd(step.program().as_os_str(), step.arguments());
        let expression = expression.full_env(environment(step)).unchecked();
        let expression = match step.working_folder() {
            Some(folder) => expression.dir(folder),
            None => expression,
        };
        let expression = match step.input() {
            Stdin::Null => expression.stdin_null(),
            Stdin::Terminal => expression,
            Stdin::Text(text) => expression.stdin_bytes(text.as_bytes()),
        };
        let user = step.run_as().map(|user| (user.uid, user.gid));
        expression.before_spawn(move |command| {
            process::lead_group(command, user);
            Ok(())
        })
    }

    fn spawn_failure(step: &Step, error: std::io::Error) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("cannot {}: cannot run {}", step.purpose(), step.program().display()))
    }
}

impl Runner for Processes {
    fn read(&self, step: &Step) -> Result<Output> {
        self.announce(step)?;
        if step.time_limit().is_none() && step.run_as().is_none() {
            return Self::ask(step).with_context(|| format!("cannot {}", step.purpose()));
        }
        let expression = Self::expression(step).stdout_capture().stderr_capture();
        let handle = expression.start().map_err(|error| Self::spawn_failure(step, error))?;
        let limit = step.time_limit().unwrap_or(Duration::from_hours(1));
        let Some(output) = handle.wait_timeout(limit)? else {
            end(&handle)?;
            return Err(timed_out(step, limit, &[]).into());
        };
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn run(&self, step: &Step, halt: &Halt, heard: &dyn Fn(&str)) -> Result<()> {
        self.announce(step)?;
        let reader =
            Self::expression(step).stderr_to_stdout().reader().map_err(|error| Self::spawn_failure(step, error))?;
        let reader = Arc::new(reader);
        let (sender, lines) = mpsc::channel();
        let output = Arc::clone(&reader);
        std::thread::spawn(move || each_line(&*output, |line| sender.send(line).is_ok()));

        let started = Instant::now();
        let mut said = Vec::new();
        loop {
            match lines.recv_timeout(TICK) {
                Ok(line) => {
                    heard(&line);
                    said.push(line);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if halt.is_requested() {
                end(&*reader)?;
                halt.check()?;
            }
            if let Some(limit) = step.time_limit().filter(|limit| started.elapsed() > *limit) {
                end(&*reader)?;
                return Err(timed_out(step, limit, &said).into());
            }
        }
        let waited = wait::until(GRACE, &Halt::never(), || {
            Ok(match reader.try_wait()? {
                Some(output) => Look::Ready(output.status),
                None => Look::NotYet("its output has ended and it has not".to_owned()),
            })
        })?;
        match waited {
            Waited::Done(status) if status.success() => Ok(()),
            // Somebody pressed Ctrl-C and the child saw it first.
            Waited::Done(_) if halt.is_requested() => halt.check(),
            Waited::Done(status) => Err(failure(step, status.code(), &said).into()),
            Waited::TimedOut(seen) => Err(failure(step, None, &[seen]).into()),
        }
    }

    fn forward(&self, step: &Step, halt: &Halt) -> Result<u8> {
        self.announce(step)?;
        let handle = Self::expression(step).start().map_err(|error| Self::spawn_failure(step, error))?;
        let started = Instant::now();
        let status = loop {
            if let Some(output) = handle.wait_timeout(TICK)? {
                break output.status;
            }
            if halt.is_requested() {
                end(&handle)?;
                halt.check()?;
            }
            if let Some(limit) = step.time_limit().filter(|limit| started.elapsed() > *limit) {
                end(&handle)?;
                return Err(timed_out(step, limit, &[]).into());
            }
        };
        halt.check()?;
        Ok(process::exit_code(status))
    }

    fn replace(&self, step: &Step) -> Result<std::convert::Infallible> {
        self.announce(step)?;
        let shell = xshell::Shell::new()?;
        #[expect(clippy::disallowed_methods, reason = "the runner is where processes are started")]
        let command = shell.cmd(step.program()).args(step.arguments()).env_clear().envs(environment(step));
        // xshell would give it an empty stdin; the plain command inherits the terminal.
        let mut command: std::process::Command = command.into();
        if let Some(folder) = step.working_folder() {
            command.current_dir(folder);
        }
        let user = step.run_as().map(|user| (user.uid, user.gid));
        Err(Self::spawn_failure(step, process::replace(command, user)))
    }

    fn start(&self, launch: &Launch) -> Result<Box<dyn Child>> {
        let step = &launch.step;
        self.announce(step)?;
        let ourselves = std::env::current_exe().context("cannot tell where xtask itself is")?;
        let mut args = vec!["launch-service".into(), "--record".into(), launch.record.clone().into_os_string()];
        if let Some(user) = step.run_as() {
            args.extend([format!("--uid={}", user.uid).into(), format!("--gid={}", user.gid).into()]);
        }
        args.push("--".into());
        args.push(step.program().as_os_str().to_owned());
        args.extend(step.arguments().iter().cloned());
        let log = open_log(&launch.log)?;
        #[expect(clippy::disallowed_methods, reason = "the runner is where processes are started")]
        let expression = duct::cmd(ourselves, args)
            .full_env(environment(step))
            .stdin_null()
            // Read from the outside in: the file is what stdout is by the time stderr joins it.
            .stderr_to_stdout()
            .stdout_file(log)
            .dir(step.working_folder().unwrap_or_else(|| Path::new("/")))
            .unchecked()
            .before_spawn(|command| {
                process::lead_group(command, None);
                Ok(())
            });
        launch::announce(&launch.record)?;
        let started = Started(expression.start().map_err(|error| Self::spawn_failure(step, error))?);
        // Until it is recorded nobody could stop it, so that not even Ctrl-C cuts this short.
        let pids = started.0.pids();
        let recorded = wait::until(GRACE, &Halt::never(), || {
            let is_recorded = Record::load(&launch.record).is_some_and(|record| pids.contains(&record.pid));
            let is_over = is_recorded || started.ended()?.is_some();
            Ok(if is_over { Look::Ready(()) } else { Look::NotYet(String::new()) })
        })?;
        if matches!(recorded, Waited::TimedOut(_)) {
            launch::call_off(&launch.record)?;
            bail!("cannot {}: its process does not get to run", step.purpose());
        }
        Ok(Box::new(started))
    }
}

struct Started(duct::Handle);

impl Child for Started {
    fn ended(&self) -> Result<Option<String>> {
        Ok(self.0.try_wait()?.map(|output| process::describe_exit(output.status)))
    }
}

/// Opened for appending, because a log is cut from behind while the program writes it.
fn open_log(path: &Path) -> Result<std::fs::File> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("cannot open {}", path.display()))
}

fn timed_out(step: &Step, limit: Duration, said: &[String]) -> Failure {
    let limit = humantime::format_duration(limit);
    let mut evidence = vec![format!("$ {step}")];
    evidence.extend(step.evidence(said, EVIDENCE));
    let exit = match step.exit_when_failed() {
        Exit::Failed => Exit::Unhealthy,
        other => other,
    };
    let failure = Failure::new(exit, format!("cannot {}: not done within {limit}", step.purpose()));
    step.advice().iter().fold(failure.details(evidence), Failure::next)
}

/// A child that may have to be ended.
trait Running {
    fn group(&self) -> Vec<u32>;
    /// Whether it has ended; asking is also what lets the system forget it.
    fn has_ended(&self) -> std::io::Result<bool>;
    fn kill(&self) -> std::io::Result<()>;
}

impl Running for duct::Handle {
    fn group(&self) -> Vec<u32> {
        self.pids()
    }

    fn has_ended(&self) -> std::io::Result<bool> {
        Ok(self.try_wait()?.is_some())
    }

    fn kill(&self) -> std::io::Result<()> {
        Self::kill(self)
    }
}

impl Running for duct::ReaderHandle {
    fn group(&self) -> Vec<u32> {
        self.pids()
    }

    fn has_ended(&self) -> std::io::Result<bool> {
        Ok(self.try_wait()?.is_some())
    }

    fn kill(&self) -> std::io::Result<()> {
        Self::kill(self)
    }
}

/// Ends a child with the group that it leads: asked first, made to after a while.
fn end(child: &impl Running) -> Result<()> {
    if cfg!(not(unix)) {
        return child.kill().context("cannot end a process");
    }
    let pids = child.group();
    // A shell lets what it runs in the background ignore SIGINT.
    for (signal, patience) in [("INT", GRACE / 4), ("TERM", GRACE), ("KILL", GRACE)] {
        for pid in &pids {
            process::signal_group(*pid, signal)?;
        }
        let gone = wait::until(patience, &Halt::never(), || {
            let is_gone = child.has_ended()? && pids.iter().all(|pid| !process::group_exists(*pid));
            Ok(if is_gone { Look::Ready(()) } else { Look::NotYet(String::new()) })
        })?;
        if matches!(gone, Waited::Done(())) {
            return Ok(());
        }
    }
    bail!("process {pids:?} does not end, not even on SIGKILL")
}

/// The environment of a step's process: what the step says on top of what it may inherit.
fn environment(step: &Step) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let inherited = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        if step.is_isolated() { is_basic(&name) } else { !is_cargo_private(&name) }
    });
    let own = step.variables().map(|(name, value)| (name.into(), value.to_owned()));
    let mut all: Vec<_> = inherited.filter(|(name, _)| !step.variables().any(|(own, _)| *name == *own)).collect();
    all.extend(own);
    all
}

/// What any program needs: where programs are, where the user's and where temporary files go.
fn is_basic(name: &str) -> bool {
    matches!(name, "PATH" | "HOME" | "USER" | "LOGNAME" | "TMPDIR" | "TMP" | "TEMP" | "SystemRoot" | "SYSTEMROOT")
}

/// What cargo tells the program that it runs about that program's own package. Passed on to another cargo it makes
/// build scripts run again and again.
fn is_cargo_private(name: &str) -> bool {
    let private = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    private.iter().any(|prefix| name.starts_with(prefix)) || name == "CARGO"
}

/// Calls `heard` with each line, until it says that it has heard enough. A carriage return ends a line as well: that is
/// how progress bars paint over themselves.
fn each_line(source: impl Read, heard: impl Fn(String) -> bool) {
    let mut line = Vec::new();
    for byte in BufReader::new(source).bytes() {
        match byte {
            Ok(b'\n' | b'\r') => {
                if !line.is_empty() && !heard(String::from_utf8_lossy(&line).into_owned()) {
                    return;
                }
                line.clear();
            }
            Ok(byte) => line.push(byte),
            Err(_) => break,
        }
    }
    if !line.is_empty() {
        heard(String::from_utf8_lossy(&line).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::terminal::Color;

    fn processes() -> Processes {
        Processes::new(Arc::new(Terminal::new(Color::Never, false)), false)
    }

    fn shell(script: &str) -> Step {
        Step::new("test", "sh").arg("-c").arg(script)
    }

    #[test]
    fn lines_end_at_line_feeds_and_carriage_returns() {
        let lines = RefCell::new(Vec::new());
        each_line(&b"one\r\ntwo\rthree\n\nfour"[..], |line| {
            lines.borrow_mut().push(line);
            true
        });
        assert_eq!(lines.into_inner(), ["one", "two", "three", "four"]);
    }

    #[test]
    fn what_was_asked_is_given_back_however_it_ended() {
        let output = processes().read(&shell("echo out; echo err >&2; exit 3")).unwrap();
        assert_eq!(output, Output { code: Some(3), stdout: "out\n".to_owned(), stderr: "err\n".to_owned() });
    }

    #[test]
    fn a_question_has_a_time_limit() {
        let step = shell("sleep 60").limit(Duration::from_millis(100));
        let error = processes().read(&step).unwrap_err();
        assert_eq!(crate::failure::exit_code(&error), Exit::Unhealthy as u8);
    }

    #[test]
    fn a_failed_step_shows_the_command_what_it_said_and_the_hint() {
        let step = shell("echo why; exit 7").hint("do better");
        let error = processes().run(&step, &Halt::never(), &|_| ()).unwrap_err();
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert_eq!(failure.to_string(), "cannot test: sh failed with exit code 7");
        assert_eq!(failure.evidence(), ["$ sh -c 'echo why; exit 7'", "why"]);
        assert_eq!(failure.advice(), ["do better"]);
    }

    #[test]
    fn a_halt_ends_the_whole_group() {
        let halt = Halt::never();
        let step = shell("sleep 60 & echo $!; wait");
        let child = RefCell::new(None);
        let error = processes()
            .run(&step, &halt, &|line| {
                *child.borrow_mut() = line.trim().parse::<u32>().ok();
                halt.request();
            })
            .unwrap_err();
        assert!(error.to_string().contains("stopped"), "{error}");
        let child = child.into_inner().unwrap();
        let gone = wait::until(GRACE, &Halt::never(), || {
            Ok(if process::is_running(child) { Look::NotYet(String::new()) } else { Look::Ready(()) })
        });
        assert!(matches!(gone.unwrap(), Waited::Done(())));
    }

    #[test]
    fn an_isolated_step_sees_nothing_of_our_environment_but_the_basics() {
        let output = processes().read(&Step::new("test", "env").isolated().env("MINE", "1")).unwrap();
        let names: Vec<&str> = output.stdout.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.contains(&"MINE") && names.contains(&"PATH"), "{names:?}");
        assert!(names.iter().all(|name| *name == "MINE" || is_basic(name)), "{names:?}");
    }

    #[test]
    fn what_cargo_says_about_xtask_is_not_passed_on() {
        let output = processes().read(&Step::new("test", "env")).unwrap();
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some(), "this test is run by cargo");
        assert!(!output.stdout.contains("CARGO_PKG_NAME"), "{}", output.stdout);
    }

    #[test]
    fn a_dry_run_cannot_change_anything() {
        let dry = Processes::new(Arc::new(Terminal::new(Color::Never, false)), true);
        assert!(dry.run(&shell("true"), &Halt::never(), &|_| ()).is_err());
        assert!(dry.read(&shell("true").only_reads()).is_ok());
    }
}
