//! A process that was started to do a step: it leads a group of its own, and what it writes comes line by line.

use std::io::{BufRead, BufReader, ErrorKind, PipeReader};
use std::process::ExitStatus;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::environment;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::interrupt::CancelToken;
use crate::process::{self, GroupGuard};
use crate::step::{Stdin, Step};
use crate::wait::{self, Poll, Waited};

/// How long a child may take to end after it was asked to.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// How often cancellation and time are looked at, whatever the child says meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long the rest of its output may take once a child has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Which of a process's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Stdout.
    Out,
    /// Stderr.
    Err,
}

/// Why a process was ended before its time.
#[derive(Debug)]
pub enum Cut {
    /// Somebody asked for it.
    Cancelled,
    /// It took longer than this.
    TimedOut(Duration),
}

/// A running step.
pub struct Group {
    handle: duct::Handle,
    output: Receiver<(Stream, Vec<u8>)>,
    started: Instant,
    /// The second Ctrl-C kills what is registered.
    _guard: GroupGuard,
}

impl Group {
    /// Starts the step's process as the leader of a group of its own: Ctrl-C in the terminal reaches only us, and we
    /// pass it on in order.
    pub fn start(step: &Step) -> Result<Self> {
        ensure!(*step.input() != Stdin::Terminal, "{step} may not have the terminal; this is a mistake in xtask");
        let spawn = || -> Result<(duct::Handle, PipeReader, PipeReader)> {
            let ((out, out_end), (err, err_end)) = (std::io::pipe()?, std::io::pipe()?);
            // Dropped at the end of this block, with our own copies of the ends that the child writes to.
            let expression = expression(step).stderr_file(err_end);
            let expression = match step.output_file() {
                Some(path) => expression.stdout_file(file::create_private(path)?),
                None => expression.stdout_file(out_end),
            };
            Ok((expression.start()?, out, err))
        };
        let (handle, out, err) = spawn().map_err(|error| not_started(step, error))?;
        let guard = process::register_groups(handle.pids());
        let (sender, output) = mpsc::channel();
        for (stream, pipe) in [(Stream::Out, out), (Stream::Err, err)] {
            let sender = sender.clone();
            std::thread::spawn(move || each_line(pipe, &|line| sender.send((stream, line)).is_ok()));
        }
        Ok(Self { handle, output, started: Instant::now(), _guard: guard })
    }

    /// Tells `heard` every line as it comes, with what ends it, until the process has ended. One that is cancelled or
    /// takes too long is ended with its group.
    pub fn listen(
        self,
        timeout: Option<Duration>,
        cancel: &CancelToken,
        heard: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Result<ExitStatus, Cut>> {
        let mut looked = Instant::now();
        loop {
            let is_over = match self.output.recv_timeout(POLL_INTERVAL) {
                Ok((stream, line)) => {
                    heard(stream, &line);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if is_over {
                break;
            }
            // Not only between lines: one that never pauses would never be asked to stop.
            if looked.elapsed() < POLL_INTERVAL {
                continue;
            }
            looked = Instant::now();
            if cancel.is_cancelled() {
                self.end()?;
                return Ok(Err(Cut::Cancelled));
            }
            if let Some(timeout) = timeout.filter(|timeout| self.started.elapsed() > *timeout) {
                self.end()?;
                return Ok(Err(Cut::TimedOut(timeout)));
            }
            if self.has_ended()? {
                // What it left in the background may hold its output open, and fill it, for as long as it likes.
                self.drain(heard);
                break;
            }
        }
        self.wait_for_end(timeout, cancel)
    }

    /// The rest of the output of a process that has ended. A pause says nothing about its end: on a busy machine the
    /// threads that read may not have had their turn.
    fn drain(&self, heard: &mut dyn FnMut(Stream, &[u8])) {
        let until = Instant::now() + DRAIN_TIMEOUT;
        while let Ok((stream, line)) = self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
            heard(stream, &line);
            if Instant::now() > until {
                break;
            }
        }
    }

    /// The status, once its output has ended.
    fn wait_for_end(&self, timeout: Option<Duration>, cancel: &CancelToken) -> Result<Result<ExitStatus, Cut>> {
        loop {
            if let Some(output) = self.handle.wait_timeout(POLL_INTERVAL)? {
                return Ok(Ok(output.status));
            }
            if cancel.is_cancelled() {
                self.end()?;
                return Ok(Err(Cut::Cancelled));
            }
            if let Some(timeout) = timeout.filter(|timeout| self.started.elapsed() > *timeout) {
                self.end()?;
                return Ok(Err(Cut::TimedOut(timeout)));
            }
        }
    }

    fn has_ended(&self) -> Result<bool> {
        Ok(self.handle.try_wait()?.is_some())
    }

    /// Ends the process with the group that it leads: asked first, made to after a while.
    fn end(&self) -> Result<()> {
        if cfg!(not(unix)) {
            return self.handle.kill().context("cannot end a process");
        }
        let pids = self.handle.pids();
        // A shell lets what it runs in the background ignore SIGINT.
        for (signal, timeout) in [("INT", END_TIMEOUT / 4), ("TERM", END_TIMEOUT), ("KILL", END_TIMEOUT)] {
            for pid in &pids {
                process::signal_group(*pid, signal)?;
            }
            let gone = wait::until(timeout, &CancelToken::never(), || {
                let is_gone = self.has_ended()? && pids.iter().all(|pid| !process::group_exists(*pid));
                Ok(if is_gone { Poll::Ready(()) } else { Poll::Pending(String::new()) })
            })?;
            if matches!(gone, Waited::Done(())) {
                return Ok(());
            }
        }
        bail!("process {pids:?} does not end, not even on SIGKILL")
    }
}

/// The failure of a step whose program could not be run.
pub fn not_started(step: &Step, error: anyhow::Error) -> anyhow::Error {
    let is_missing = match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => true,
        // One of the folders of PATH may not be entered, and none of the others has it.
        Some(ErrorKind::PermissionDenied) => which::which(step.program()).is_err(),
        _ => false,
    };
    if is_missing && !step.program().is_absolute() {
        let what = format!("cannot {}: {} is not installed, or not on PATH", step.purpose(), step.program().display());
        return Failure::new(Exit::Missing, what).into();
    }
    error.context(format!("cannot {}: cannot run {}", step.purpose(), step.program().display()))
}

fn expression(step: &Step) -> duct::Expression {
    #[expect(clippy::disallowed_methods, reason = "the runner is where processes are started")]
    let expression = duct::cmd(step.program().as_os_str(), step.arguments());
    let expression = expression.full_env(environment::marked(step)).unchecked();
    let expression = match step.working_folder() {
        Some(folder) => expression.dir(folder),
        None => expression,
    };
    let expression = match step.input() {
        Stdin::Text(text) => expression.stdin_bytes(text.as_bytes()),
        Stdin::File(path) => expression.stdin_path(path),
        Stdin::Null | Stdin::Terminal => expression.stdin_null(),
    };
    let user = step.run_as().map(|user| (user.uid, user.gid));
    expression.before_spawn(move |command| {
        process::lead_group(command, user);
        Ok(())
    })
}

/// Calls `heard` with each line and its end, until it says that it has heard enough. A carriage return ends a line as
/// well: that is how progress bars paint over themselves.
fn each_line(source: impl std::io::Read, heard: &dyn Fn(Vec<u8>) -> bool) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        let (used, is_end) = match source.fill_buf() {
            Ok([]) | Err(_) => break,
            Ok(bytes) => {
                let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                let used = end.map_or(bytes.len(), |end| end + 1);
                line.extend_from_slice(&bytes[..used]);
                (used, end.is_some())
            }
        };
        source.consume(used);
        if is_end && !heard(std::mem::take(&mut line)) {
            return;
        }
    }
    if !line.is_empty() {
        heard(line);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_is_read_late_is_not_lost_once_the_process_has_ended() {
        // What stays in the background stands for a reading thread that gets no turn.
        let step = Step::new("test", "sh").arg("-c").arg("(sleep 0.3; echo late) & echo early");
        let mut lines = Vec::new();
        let ended = Group::start(&step).unwrap().listen(None, &CancelToken::never(), &mut |_, line| {
            lines.push(String::from_utf8_lossy(line).into_owned());
        });
        assert!(ended.unwrap().unwrap().success());
        assert_eq!(lines, ["early\n", "late\n"]);
    }

    #[test]
    fn lines_end_at_line_feeds_and_carriage_returns_and_lose_nothing() {
        let lines = RefCell::new(Vec::new());
        each_line(&b"one\r\ntwo\rthree\n\nfour"[..], &|line| {
            lines.borrow_mut().push(String::from_utf8(line).unwrap());
            true
        });
        assert_eq!(lines.into_inner(), ["one\r", "\n", "two\r", "three\n", "\n", "four"]);
    }
}
