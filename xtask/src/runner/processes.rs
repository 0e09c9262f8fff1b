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
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::terminal::Color;

    fn processes() -> Processes {
        Processes::new(Arc::new(Terminal::new(Color::Never, false)), CancelToken::never(), false)
    }

    fn shell(script: &str) -> Step {
        Step::new("test", "sh").arg("-c").arg(script)
    }

    #[test]
    fn what_was_asked_is_given_back_however_it_ended() {
        let output = processes().read(&shell("echo out; echo err >&2; exit 3")).unwrap();
        assert_eq!(output, Output { code: Some(3), stdout: "out\n".to_owned(), stderr: "err\n".to_owned() });
    }

    #[test]
    fn a_question_has_a_timeout() {
        let step = shell("sleep 60").timeout(Duration::from_millis(100));
        let error = processes().read(&step).unwrap_err();
        assert_eq!(crate::failure::exit_code(&error), Exit::Unhealthy as u8);
    }

    #[test]
    fn a_failed_step_shows_the_command_what_it_said_and_the_hint() {
        let step = shell("echo why; exit 7").hint("do better");
        let error = processes().run(&step, &CancelToken::never(), &|_, _| ()).unwrap_err();
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert_eq!(failure.to_string(), "cannot test: sh failed with exit code 7");
        assert_eq!(failure.evidence(), ["why"]);
        assert_eq!(failure.failed_command(), Some("sh -c 'echo why; exit 7'"));
        assert_eq!(failure.hints(), ["do better"]);
    }

    #[test]
    fn a_cancelled_step_ends_with_its_whole_group() {
        let cancel = CancelToken::never();
        let step = shell("sleep 60 & echo $!; wait");
        let child = RefCell::new(None);
        let error = processes()
            .run(&step, &cancel, &|_, line| {
                *child.borrow_mut() = line.trim().parse::<u32>().ok();
                cancel.cancel();
            })
            .unwrap_err();
        assert!(error.to_string().contains("stopped"), "{error}");
        let child = child.into_inner().unwrap();
        let gone = wait::until(RECORD_TIMEOUT, &CancelToken::never(), || {
            Ok(if process::is_running(child) { Poll::Pending(String::new()) } else { Poll::Ready(()) })
        });
        assert!(matches!(gone.unwrap(), Waited::Done(())));
    }

    #[test]
    fn a_question_can_be_cancelled() {
        let cancel = CancelToken::never();
        let runner = Processes::new(Arc::new(Terminal::new(Color::Never, false)), cancel.clone(), false);
        cancel.cancel();
        let error = runner.read(&shell("sleep 60")).unwrap_err();
        assert!(error.to_string().contains("stopped"), "{error}");
        assert!(runner.without_cancel().read(&shell("true")).unwrap().is_success());
    }

    #[test]
    fn output_without_a_pause_keeps_neither_the_timeout_nor_ctrl_c_from_ending_it() {
        let endless = || shell("while :; do echo x; done");
        let error = processes().run(&endless().timeout(Duration::from_millis(200)), &CancelToken::never(), &|_, _| ());
        assert_eq!(crate::failure::exit_code(&error.unwrap_err()), Exit::Unhealthy as u8);
        let cancel = CancelToken::never();
        let error = processes().run(&endless(), &cancel, &|_, _| cancel.cancel()).unwrap_err();
        assert!(error.to_string().contains("stopped"), "{error}");
    }

    #[test]
    fn stdout_and_stderr_are_told_apart() {
        let heard = RefCell::new(Vec::new());
        let step = shell("echo one; echo two >&2");
        processes()
            .run(&step, &CancelToken::never(), &|stream, line| heard.borrow_mut().push((stream, line.to_owned())))
            .unwrap();
        let heard = heard.into_inner();
        assert!(heard.contains(&(Stream::Out, "one".to_owned())), "{heard:?}");
        assert!(heard.contains(&(Stream::Err, "two".to_owned())), "{heard:?}");
    }

    #[test]
    fn only_a_program_that_takes_our_place_may_have_the_terminal() {
        let step = shell("cat").stdin(crate::step::Stdin::Terminal);
        assert!(processes().read(&step).is_err());
        assert!(processes().run(&step, &CancelToken::never(), &|_, _| ()).is_err());
        assert!(processes().forward(&step, &CancelToken::never()).is_err());
    }

    #[test]
    fn a_program_that_is_not_there_is_a_missing_prerequisite() {
        let error = processes().read(&Step::new("try", "no-such-program")).unwrap_err();
        assert_eq!(crate::failure::exit_code(&error), Exit::Missing as u8);
        assert_eq!(error.to_string(), "cannot try: no-such-program is not installed, or not on PATH");
    }

    #[test]
    fn each_exit_code_of_a_program_has_its_own_meaning() {
        let step = |code: u32| shell(&format!("exit {code}")).exit_codes(&[(5, Exit::Migrations)]);
        let code = |code| {
            let error = processes().run(&step(code), &CancelToken::never(), &|_, _| ()).unwrap_err();
            crate::failure::exit_code(&error)
        };
        assert_eq!((code(5), code(7)), (5, 1));
    }

    #[test]
    fn what_is_left_in_the_background_does_not_hold_us_up() {
        let output = processes().read(&shell("echo done; sleep 60 &").timeout(Duration::from_secs(30))).unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "done\n"));
    }

    #[test]
    fn an_isolated_step_sees_nothing_of_our_environment_but_the_basics() {
        let output = processes().read(&Step::new("test", "env").isolated().env("MINE", "1")).unwrap();
        let names: Vec<&str> = output.stdout.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.contains(&"MINE") && names.contains(&"PATH"), "{names:?}");
        assert!(names.iter().all(|name| *name == "MINE" || environment::is_basic(name)), "{names:?}");
    }

    #[test]
    fn what_cargo_says_about_xtask_is_not_passed_on() {
        let output = processes().read(&Step::new("test", "env")).unwrap();
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some(), "this test is run by cargo");
        assert!(!output.stdout.contains("CARGO_PKG_NAME"), "{}", output.stdout);
    }

    #[test]
    fn a_dry_run_cannot_change_anything() {
        let dry = Processes::new(Arc::new(Terminal::new(Color::Never, false)), CancelToken::never(), true);
        assert!(dry.run(&shell("true"), &CancelToken::never(), &|_, _| ()).is_err());
        assert!(dry.read(&shell("true").only_reads()).is_ok());
    }
}
