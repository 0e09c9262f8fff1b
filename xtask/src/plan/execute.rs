//! Running a plan: lanes at the same time, the first failure stops them all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Access, Action, Await, Folder, Lane, Plan, Unready, Write};
use crate::context::Context as TaskContext;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::interrupt::CancelToken;
use crate::process::Record;
use crate::runner::{Child, Launch, Runner};
use crate::supervise;
use crate::terminal;
use crate::wait::{self, Poll, Waited};

/// How many lines of a service's log are shown when it fails.
const EVIDENCE_LINES: usize = 25;
/// How long a wait may be without being mentioned.
const BLINK: Duration = Duration::from_millis(200);

/// What became of a plan.
pub struct Outcome {
    /// The services that were started, in that order, also when something failed later.
    pub started: Vec<Launch>,
    /// Whether everything was done.
    pub result: Result<()>,
}

struct Run<'a> {
    context: &'a TaskContext,
    runner: &'a dyn Runner,
    cancel: CancelToken,
    done: Mutex<Vec<String>>,
    started: Mutex<Vec<Launch>>,
    children: Mutex<HashMap<String, Running>>,
    failure: Mutex<Option<anyhow::Error>>,
}

struct Running {
    child: Box<dyn Child>,
    /// How long the log was before, so that only what this run wrote is shown.
    log_start: u64,
}

impl Plan {
    /// Does what the plan says.
    pub fn run(&self, context: &TaskContext) -> Outcome {
        self.run_with(context, &*context.runner, CancelToken::on(&context.interrupt))
    }

    /// Does what the plan says, also after somebody has asked for an end of everything else. The runner is one
    /// [`Runner::without_cancel`].
    pub fn run_uncancelled(&self, context: &TaskContext, runner: &dyn Runner) -> Result<()> {
        self.run_with(context, runner, CancelToken::never()).result
    }

    fn run_with(&self, context: &TaskContext, runner: &dyn Runner, cancel: CancelToken) -> Outcome {
        if let Err(error) = self.check() {
            return Outcome { started: Vec::new(), result: Err(error) };
        }
        let run = Run {
            context,
            runner,
            cancel,
            done: Mutex::default(),
            started: Mutex::default(),
            children: Mutex::default(),
            failure: Mutex::default(),
        };
        let (lanes, empty): (Vec<&Lane>, Vec<&Lane>) = self.lanes.iter().partition(|lane| !lane.actions.is_empty());
        // Nothing is to be done in them, so that they are done.
        lock(&run.done).extend(empty.iter().map(|lane| lane.name.clone()));
        let names: Vec<String> = lanes.iter().map(|lane| lane.name.clone()).collect();
        let progress = context.terminal.progress(&names);
        let shown: Vec<terminal::Lane<'_>> = lanes.iter().map(|lane| progress.lane(&lane.name)).collect();
        let (sender, over) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let shown = &shown;
            scope.spawn(move || {
                while over.recv_timeout(terminal::HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                    shown.iter().for_each(terminal::Lane::heartbeat);
                }
            });
            for (lane, progress) in lanes.into_iter().zip(shown) {
                let (run, sender) = (&run, sender.clone());
                scope.spawn(move || {
                    run.lane_to_its_end(lane, progress);
                    drop(sender);
                });
            }
            // The heartbeat ends with the last lane.
            drop(sender);
        });
        drop(progress);
        let failure = run.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        let started = run.started.into_inner().unwrap_or_else(PoisonError::into_inner);
        Outcome { started, result: failure.map_or(Ok(()), Err) }
    }
}

impl Run<'_> {
    fn lane_to_its_end(&self, lane: &Lane, progress: &terminal::Lane<'_>) {
        match self.lane(lane, progress) {
            Ok(()) => {
                progress.done(&lane.result);
                lock(&self.done).push(lane.name.clone());
            }
            Err(error) => {
                progress.failed(if self.cancel.is_cancelled() { "stopped" } else { "failed" });
                // Kept before the others are stopped by it: they have nothing to add.
                lock(&self.failure).get_or_insert(error);
                self.cancel.cancel();
            }
        }
    }

    fn lane(&self, lane: &Lane, progress: &terminal::Lane<'_>) -> Result<()> {
        for action in &lane.actions {
            self.cancel.check()?;
            self.action(action, progress)?;
        }
        Ok(())
    }

    fn action(&self, action: &Action, line: &terminal::Lane<'_>) -> Result<()> {
        match action {
            Action::Run(step) if step.is_indivisible() => {
                line.state(step.purpose());
                self.runner.without_cancel().run(step, &CancelToken::never(), &|_, _| ())
            }
            Action::Run(step) => {
                line.state(step.purpose());
                self.runner.run(step, &self.cancel, &|_, _| ())
            }
            Action::Read(step, keep) => {
                line.state(step.purpose());
                keep(step, &self.runner.read(step)?)
            }
            Action::Timed(took, action) => {
                let begun = Instant::now();
                self.action(action, line)?;
                took.set(begun.elapsed());
                Ok(())
            }
            Action::Check(check) => {
                line.state(&check.what);
                (check.run)(&Access { context: self.context, runner: self.runner, cancel: &self.cancel, line })
            }
            Action::Follow(step, find) => {
                line.state(step.purpose());
                self.runner.run(step, &self.cancel, &|_, said| {
                    if let Some(detail) = find(said) {
                        line.detail(&detail);
                    }
                })
            }
            Action::Start(launch) => {
                line.state(launch.step.purpose());
                self.start(launch)
            }
            Action::Await(wait) => {
                line.state(&format!("wait until {}", wait.probe));
                self.wait(wait, line)
            }
            Action::After(other) => self.after(other, line),
            Action::Stop(stop) => {
                line.state(&format!("stop {}", stop.service));
                supervise::stop(stop, &|text| self.context.terminal.warn(text))
            }
            Action::StopEach(stop) => supervise::stop_each(stop, &|_| false, &|text| self.context.terminal.warn(text)),
            Action::Folder(folder) => make_folder(folder),
            Action::Write(file) => write(file),
            Action::Rename(from, to) => std::fs::rename(from, to)
                .with_context(|| format!("cannot rename {} to {}", from.display(), to.display())),
            Action::Install(from, to) => install(from, to),
            Action::Links(list) => make_links(list),
            Action::Vacate(folder) => {
                line.state("wait for what is left of the one before");
                supervise::vacate(folder, &self.cancel)
            }
            Action::Remove(path) => {
                if std::fs::symlink_metadata(path).is_ok() {
                    line.state(&format!("remove {}", path.display()));
                }
                file::remove(path)
            }
            Action::Rotate(path) => crate::log_file::rotate(path),
        }
    }

    fn start(&self, launch: &Launch) -> Result<()> {
        let log = launch.log.as_ref().and_then(|log| std::fs::metadata(log).ok());
        let log_start = log.map_or(0, |log| log.len());
        lock(&self.started).push(launch.clone());
        let child = self.runner.start(launch)?;
        lock(&self.children).insert(service_of(&launch.record), Running { child, log_start });
        Ok(())
    }

    fn wait(&self, wait: &Await, line: &terminal::Lane<'_>) -> Result<()> {
        let waited = wait::until(wait.timeout, &self.cancel, || {
            if let Some(ended) = self.ended(wait)? {
                // Its last words are in the log by now.
                return Ok(Poll::Ready(Some(ended)));
            }
            match wait.probe.look(self.runner) {
                Ok(()) => Ok(Poll::Ready(None)),
                Err(Unready::Failed(failure)) => Err(failure.into()),
                Err(Unready::NotYet(seen)) => {
                    line.detail(&seen);
                    Ok(Poll::Pending(seen))
                }
            }
        })?;
        let failure = match waited {
            Waited::Done(None) => return Ok(()),
            Waited::Done(Some(ended)) => {
                Failure::new(Exit::Failed, format!("{} ended with {ended} before it was ready", wait.service))
            }
            Waited::TimedOut(seen) => {
                let timeout = humantime::format_duration(wait.timeout);
                let what = format!("{} was not ready within {timeout}: {seen}", wait.service);
                Failure::new(Exit::Unhealthy, what)
                    .hint(format!("--timeout SECONDS, if it only needs more than {timeout}"))
            }
        };
        let evidence = match &wait.process {
            Some(process) => {
                let started = lock(&self.children);
                let start = started.get(&service_of(&process.record)).map_or(0, |running| running.log_start);
                last_words(&process.log, start)
            }
            None => wait.probe.evidence(self.runner),
        };
        Err(failure.details(evidence).hint(format!("cargo xtask logs {}", wait.service)).into())
    }

    fn ended(&self, wait: &Await) -> Result<Option<String>> {
        let Some(process) = &wait.process else { return Ok(None) };
        match lock(&self.children).get(&service_of(&process.record)) {
            Some(running) => running.child.ended(),
            // Started by a task before us, which can no longer tell how it ended.
            None if Record::load(&process.record).is_some_and(|record| record.is_running()) => Ok(None),
            None => Ok(Some("an unknown exit code".to_owned())),
        }
    }

    fn after(&self, other: &str, line: &terminal::Lane<'_>) -> Result<()> {
        let is_done = || {
            let is_done = lock(&self.done).iter().any(|done| done == other);
            Ok(if is_done { Poll::Ready(()) } else { Poll::Pending(String::new()) })
        };
        // What is over in a blink needs no line.
        if matches!(wait::until(BLINK, &self.cancel, is_done)?, Waited::TimedOut(_)) {
            line.state(&format!("wait for {other}"));
            // The other lane has timeouts of its own, and its failure cancels this wait.
            wait::until(Duration::MAX, &self.cancel, is_done)?;
        }
        Ok(())
    }
}

/// The service that a record file is about: the file's name.
fn service_of(record: &Path) -> String {
    record.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The end of a log, under its name.
fn last_words(log: &Path, start: u64) -> Vec<String> {
    let text = crate::log_file::read_from(log, start);
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return vec![format!("{} says nothing", log.display())];
    }
    let shown = lines.iter().skip(lines.len().saturating_sub(EVIDENCE_LINES)).map(|line| format!("| {line}"));
    std::iter::once(format!("the end of {}:", log.display())).chain(shown).collect()
}

/// Does what stops a service, also after somebody has asked for an end of everything else.
pub fn stop_all(actions: &[Action], warn: &dyn Fn(String)) -> Result<()> {
    actions.iter().try_for_each(|action| match action {
        Action::Stop(stop) => supervise::stop(stop, warn),
        Action::StopEach(stop) => supervise::stop_each(stop, &|_| false, warn),
        _ => Ok(()),
    })
}

fn make_folder(folder: &Folder) -> Result<()> {
    let path = &folder.path;
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    file::set_mode(path, folder.mode)?;
    file::give_to(path, folder.owner.as_ref())
}

fn install(from: &Path, to: &Path) -> Result<()> {
    match std::fs::rename(from, to) {
        Err(_) if to.is_dir() => file::remove(from),
        outcome => outcome.with_context(|| format!("cannot put {} in its place", to.display())),
    }
}

#[derive(serde::Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// The list names paths from the package's folder on; each link points beside itself, so that the whole can be moved.
fn make_links(list: &Path) -> Result<()> {
    let package = list.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let text = std::fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    let links: Vec<Link> = serde_json::from_slice(&text).with_context(|| format!("cannot read {}", list.display()))?;
    for Link { source, target } in links {
        let (link, name) = (package.join(&target), source.file_name().unwrap_or_default());
        anyhow::ensure!(source.parent() == target.parent(), "{} links to another folder", target.display());
        file::remove(&link)?;
        #[cfg(unix)]
        std::os::unix::fs::symlink(name, &link).with_context(|| format!("cannot make {}", link.display()))?;
        #[cfg(not(unix))]
        std::fs::copy(package.join(name), &link).with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(())
}

fn write(file: &Write) -> Result<()> {
    file::write(&file.path, file.text.as_bytes(), file.mode)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
