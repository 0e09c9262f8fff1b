//! The runner that starts real processes.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::group::{Cut, Group, not_started};
use super::transcript::Transcript;
use super::{Child, Launch, Output, Runner, Stream, environment, failure};
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::process::{self, Record};
use crate::runner::launch;
use crate::step::Step;
use crate::terminal::Terminal;
use crate::wait::{self, Poll, Waited};

/// How long a service's process may take to record itself.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs real processes.
#[derive(Clone)]
pub struct Processes {
    terminal: Arc<Terminal>,
    /// Cuts questions short.
    cancel: CancelToken,
    /// In a dry run only what changes nothing is run, and everything else is a mistake of ours.
    is_dry: bool,
}

impl Processes {
    /// A runner; one for a dry run refuses to change anything.
    pub fn new(terminal: Arc<Terminal>, cancel: CancelToken, is_dry: bool) -> Self {
        Self { terminal, cancel, is_dry }
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
}

impl Runner for Processes {
    fn find(&self, program: &str) -> Option<PathBuf> {
        which::which(program).ok()
    }

    fn read(&self, step: &Step) -> Result<Output> {
        self.announce(step)?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ended = Group::start(step)?.listen(step.time(), &self.cancel, &mut |stream, line| match stream {
            Stream::Out => stdout.extend_from_slice(line),
            Stream::Err => stderr.extend_from_slice(line),
        })?;
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        match ended {
            Ok(status) => Ok(Output { code: status.code(), stdout, stderr }),
            Err(cut) => {
                let said: Vec<String> = stdout.lines().chain(stderr.lines()).map(str::to_owned).collect();
                Err(cut_short(step, &cut, &self.cancel, &said))
            }
        }
    }

    fn run(&self, step: &Step, cancel: &CancelToken, heard: &dyn Fn(Stream, &str)) -> Result<()> {
        self.announce(step)?;
        let mut transcript = Transcript::default();
        let ended = Group::start(step)?.listen(step.time(), cancel, &mut |stream, line| {
            let line = text_of(line);
            if !line.is_empty() {
                heard(stream, &line);
                transcript.add(step, &line);
            }
        })?;
        match ended {
            Ok(status) if status.success() => Ok(()),
            // Somebody pressed Ctrl-C and the child saw it first.
            Ok(status) => {
                cancel.check()?;
                Err(failure(step, status.code(), &transcript.lines()).into())
            }
            Err(cut) => Err(cut_short(step, &cut, cancel, &transcript.lines())),
        }
    }

    fn forward(&self, step: &Step, cancel: &CancelToken) -> Result<u8> {
        self.announce(step)?;
        let mut closed = None;
        let ended = Group::start(step)?.listen(step.time(), cancel, &mut |stream, line| {
            let line = String::from_utf8_lossy(line);
            match stream {
                Stream::Out => {
                    if let Err(error) = self.terminal.relay_data(&line) {
                        // Nobody reads any more.
                        closed.get_or_insert(error);
                        cancel.cancel();
                    }
                }
                Stream::Err => self.terminal.relay_note(&line),
            }
        })?;
        if let Some(closed) = closed {
            return Err(closed);
        }
        match ended {
            Ok(status) => cancel.check().map(|()| process::exit_code(status)),
            Err(cut) => Err(cut_short(step, &cut, cancel, &[])),
        }
    }

    fn replace(&self, step: &Step) -> Result<std::convert::Infallible> {
        self.announce(step)?;
        let shell = xshell::Shell::new()?;
        #[expect(clippy::disallowed_methods, reason = "the runner is where processes are started")]
        let command =
            shell.cmd(step.program()).args(step.arguments()).env_clear().envs(environment::for_a_person(step));
        // xshell would give it an empty stdin; the plain command inherits the terminal.
        let mut command: std::process::Command = command.into();
        if let Some(folder) = step.working_folder() {
            command.current_dir(folder);
        }
        let user = step.run_as().map(|user| (user.uid, user.gid));
        Err(not_started(step, process::replace(command, user).into()))
    }

    fn without_cancel(&self) -> Box<dyn Runner> {
        Box::new(Self { cancel: CancelToken::never(), ..self.clone() })
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
            .full_env(environment::of(step))
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
        let started = Started(expression.start().map_err(|error| not_started(step, error.into()))?);
        // Until it is recorded nobody could stop it, so that not even Ctrl-C cuts this short.
        let pids = started.0.pids();
        let recorded = wait::until(RECORD_TIMEOUT, &CancelToken::never(), || {
            let is_recorded = Record::load(&launch.record).is_some_and(|record| pids.contains(&record.pid));
            let is_over = is_recorded || started.ended()?.is_some();
            Ok(if is_over { Poll::Ready(()) } else { Poll::Pending(String::new()) })
        })?;
        if matches!(recorded, Waited::TimedOut(_)) {
            launch::cancel(&launch.record)?;
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

/// A line without what ends it.
fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

/// The failure of a step that was ended before its time.
fn cut_short(step: &Step, cut: &Cut, cancel: &CancelToken, said: &[String]) -> anyhow::Error {
    let timeout = match cut {
        Cut::TimedOut(timeout) => humantime::format_duration(*timeout),
        Cut::Cancelled => {
            return cancel.check().err().unwrap_or_else(|| Failure::new(Exit::Failed, "cancelled").into());
        }
    };
    let exit = match step.exit_when_failed(None) {
        Exit::Failed => Exit::Unhealthy,
        other => other,
    };
    let failure = Failure::new(exit, format!("cannot {}: not done within {timeout}", step.purpose()));
    super::with_evidence(failure, step, said).into()
}

#[cfg(test)]
mod tests;
