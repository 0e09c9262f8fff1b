//! The runner that starts real processes.

use std::fs::OpenOptions;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Child, EVIDENCE, Launch, Output, Runner, failure};
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
        let mut args = vec!["launch-service".into(), "--record".into(), launch.record.clone().into_os_string()];
        if launch.socket.is_some() {
            args.push("--with-socket".into());
        }
        if let Some(user) = step.run_as() {
            args.extend([format!("--uid={}", user.uid).into(), format!("--gid={}", user.gid).into()]);
        }
        args.push("--".into());
        args.push(step.program().as_os_str().to_owned());
        args.extend(step.arguments().iter().cloned());
        #[expect(clippy::disallowed_methods, reason = "the runner is where processes are started")]
        let expression = duct::cmd(process::ourselves()?, args)
            .full_env(environment(step))
            .stdin_null()
            // Read from the outside in: the file is what stdout is by the time stderr joins it.
            .stderr_to_stdout();
        let expression = match &launch.log {
            Some(log) => expression.stdout_file(open_log(log)?),
            None => expression,
        };
        let socket = launch.socket.clone();
        let expression = expression
            .dir(step.working_folder().unwrap_or_else(|| Path::new("/")))
            .unchecked()
            .before_spawn(move |command| {
                process::lead_group(command, None);
                socket.as_ref().map_or(Ok(()), |socket| process::pass_socket(command, socket))
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

    fn wait(&self) -> Result<String> {
        Ok(process::describe_exit(self.0.wait()?.status))
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
