//! Hot reload: builds what was edited, starts it beside what serves, and lets it take over once it is ready.
//!
//! The watcher holds the listening socket and gives it to each server that it starts, so that a connection that is made
//! while one replaces the other waits instead of being refused. It is a process of its own, and the servers are not lost
//! with it: where it is killed, the one that serves goes on, and the next watcher takes over from it.

mod build;
mod events;
pub mod files;
mod location;
pub mod probe;
mod queries;
pub mod report;
mod server;
mod servers;
mod sources;
mod turnover;

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use self::build::{Job, Outcome, Prepared};
use self::events::Events;
use self::files::Files;
pub use self::location::Location;
use self::report::{Phase, Problem, WatchReport};
use self::servers::Servers;
use self::sources::{Snapshot, Sources};
use crate::context::Context;
use crate::file;
use crate::interrupt::CancelToken;
use crate::tool::backend::Variable;

/// For how long nothing may have changed before it is built: a save is several steps, a change of branches hundreds.
const DEBOUNCE: Duration = Duration::from_millis(30);
/// How long changes may go on before they are built all the same.
const DEBOUNCE_TIMEOUT: Duration = Duration::from_secs(2);
/// What may happen.
pub enum Message {
    /// Some file may have changed.
    MayHaveChanged,
    /// The job with that number is over.
    Over(u32, Outcome),
    /// The server with that number answers requests.
    Ready(u32),
    /// The server with that number has ended, and how.
    Ended(u32, String),
    /// The watcher was told to stop.
    Stop,
}

/// What a watcher is started with.
pub struct Start<'a> {
    /// Which checkout, and where to print.
    pub context: &'a Context,
    /// Where its servers run.
    pub location: &'a Location,
    /// Where it keeps what it knows.
    pub files: Files,
    /// Whether to look at intervals instead of being told by the system.
    pub polls: bool,
    /// Whether the binary has just been built and its migrations are applied.
    pub is_prepared: bool,
}

/// Watches until it is told to stop, and gives back the exit code.
pub fn run(start: Start<'_>) -> Result<u8> {
    std::thread::scope(|scope| Watcher::new(start, scope)?.run())
}

struct Watcher<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    context: &'env Context,
    location: &'env Location,
    files: Files,
    sources: Sources,
    polls: bool,
    events: Events,
    sender: Sender<Message>,
    messages: Receiver<Message>,
    /// What came while something else was waited for.
    deferred: VecDeque<Message>,
    /// What the sources held when they were looked at last.
    seen: Snapshot,
    /// What the binary that is put aside was built from.
    built: Option<u64>,
    /// The migrations that were applied last.
    migrated: Option<u64>,
    /// What serves was made from.
    served: Option<Snapshot>,
    /// Whether what serves is the binary that is put aside: one that never got ready is not.
    is_newest: bool,
    job: Option<(u32, CancelToken)>,
    worker: Option<ScopedJoinHandle<'scope, ()>>,
    servers: Servers<'env>,
    environment: Vec<Variable>,
    /// How often it has crashed in a row, and when to start it again.
    crashes: u32,
    retry: Option<Instant>,
    /// When what is being built was edited.
    edited: Option<Instant>,
    /// What the compiler said last, so that it is not said again.
    shown: Vec<String>,
    jobs: u32,
    report: WatchReport,
}

impl<'scope, 'env> Watcher<'scope, 'env> {
    fn new(start: Start<'env>, scope: &'scope Scope<'scope, 'env>) -> Result<Self> {
        let Start { context, location, files, polls, is_prepared } = start;
        let (sender, messages) = mpsc::channel();
        let stop = sender.clone();
        context.interrupt.on_request(move || drop(stop.send(Message::Stop)));
        let servers = Servers::new(context, location, files.clone(), sender.clone())?;
        let sources = Sources::of(context.project.root(), &context.project.settings());
        // Told before they are looked at, so that no change is missed.
        let events = Events::start(&sources, polls, &sender, &|text| say(context, &text));
        let seen = sources.look();
        let (mut built, mut migrated) = (None, None);
        // One that another build is just replacing is built again.
        if is_prepared && build::put_beside(location.binary(), &files.binary()).is_ok() {
            (built, migrated) = (Some(seen.code()), Some(seen.migrations()));
        }
        Ok(Self {
            scope,
            context,
            location,
            sources,
            polls,
            events,
            servers,
            files,
            sender,
            messages,
            deferred: VecDeque::new(),
            seen,
            built,
            migrated,
            served: None,
            is_newest: true,
            job: None,
            worker: None,
            environment: Vec::new(),
            crashes: 0,
            retry: None,
            edited: None,
            shown: Vec::new(),
            jobs: 0,
            report: WatchReport { phase: Phase::Building, problem: None, hints: Vec::new(), reloads: 0 },
        })
    }

    fn run(mut self) -> Result<u8> {
        self.say(&format!("watching {}", crate::product::SOURCES[0]));
        self.prepare();
        loop {
            match self.receive() {
                Some(Message::MayHaveChanged) => self.look(),
                Some(Message::Over(number, outcome)) => {
                    if let Some(code) = self.over(number, outcome) {
                        return self.stop(code);
                    }
                }
                Some(Message::Ready(number)) => self.take_over(number)?,
                Some(Message::Ended(number, how)) => {
                    if let Some(code) = self.ended(number, &how)? {
                        return self.stop(code);
                    }
                }
                Some(Message::Stop) => return self.stop(0),
                None => {}
            }
            self.tick();
        }
    }

    /// The next thing that happens; none when it is time to look at the clock.
    fn receive(&mut self) -> Option<Message> {
        if let Some(message) = self.deferred.pop_front() {
            return Some(message);
        }
        let deadline = self.servers.deadline().into_iter().chain(self.retry).min();
        let timeout = deadline.map_or(Duration::from_hours(1), |when| when.saturating_duration_since(Instant::now()));
        self.messages.recv_timeout(timeout).ok()
    }

    /// Looks at the sources, once they have come to rest, and builds what is new.
    fn look(&mut self) {
        let first = self.sources.look();
        if first == self.seen {
            return;
        }
        let snapshot = self.rest(first);
        if !self.events.are_current(&self.sources) {
            self.events = Events::start(&self.sources, self.polls, &self.sender, &|text| say(self.context, &text));
        }
        let Some(difference) = snapshot.difference(&self.seen) else { return };
        self.edited = Some(Instant::now());
        self.seen = snapshot;
        let was_busy = self.cancel();
        // A draft may have been reverted meanwhile: then the database is not as what serves needs it.
        let is_migrated = self.migrated == Some(self.seen.migrations());
        self.retry = None;
        if self.served.as_ref() == Some(&self.seen) && self.servers.is_serving() && is_migrated {
            self.shown.clear();
            self.stand(Phase::Idle, None);
            return self.say(&format!("{difference} changed back to what serves"));
        }
        self.say(&format!("{difference} changed{}", if was_busy { "; starting over" } else { "" }));
        self.crashes = 0;
        self.prepare();
    }

    /// What the sources hold when they have not changed for a while.
    fn rest(&mut self, mut before: Snapshot) -> Snapshot {
        let timeout = Instant::now() + DEBOUNCE_TIMEOUT;
        loop {
            let until = Instant::now() + DEBOUNCE;
            let mut is_quiet = true;
            while let Ok(message) = self.messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                match message {
                    Message::MayHaveChanged => is_quiet = false,
                    other => self.deferred.push_back(other),
                }
            }
            let now = self.sources.look();
            if is_quiet && now == before || Instant::now() > timeout {
                return now;
            }
            before = now;
        }
    }

    /// Stops what was under way to the next server; whether anything was.
    fn cancel(&mut self) -> bool {
        let job = self.job.take();
        if let Some((_, cancel)) = &job {
            cancel.cancel();
        }
        self.servers.cancel() || job.is_some()
    }

    /// Builds and migrates, as far as that is needed.
    fn prepare(&mut self) {
        self.jobs += 1;
        let number = self.jobs;
        let job = Job {
            snapshot: self.seen.clone(),
            needs_build: self.built != Some(self.seen.code()),
            needs_migration: self.migrated != Some(self.seen.migrations()),
        };
        // However far it comes: only one that comes to its end tells what is put aside and applied.
        if job.needs_build {
            self.built = None;
        }
        if job.needs_migration {
            self.migrated = None;
        }
        let cancel = CancelToken::on(&self.context.interrupt);
        self.job = Some((number, cancel.clone()));
        let (context, location, files, sender) = (self.context, self.location, self.files.clone(), self.sender.clone());
        let before = self.worker.take();
        self.worker = Some(self.scope.spawn(move || {
            // One that was cancelled is still ending, and would get in the way.
            if let Some(Err(panic)) = before.map(ScopedJoinHandle::join) {
                std::panic::resume_unwind(panic);
            }
            let outcome = job.run(context, location, &files, &cancel);
            drop(sender.send(Message::Over(number, outcome)));
        }));
        self.report.phase = Phase::Building;
        self.write_report();
    }

    /// A job is over: what it prepared is started. An exit code, where there is nothing to go on with.
    fn over(&mut self, number: u32, outcome: Outcome) -> Option<u8> {
        if self.job.as_ref().is_none_or(|(own, _)| *own != number) {
            return None;
        }
        self.job = None;
        match outcome {
            Outcome::Cancelled => None,
            Outcome::Failed(problem) => self.fail(problem, 1),
            Outcome::Prepared(mut prepared) => {
                if let Err(error) = self.keep_metadata(&mut prepared) {
                    return self.fail(error.into(), 1);
                }
                self.show(&prepared.warnings);
                for line in &prepared.migrated {
                    self.say(&format!("migration {line}"));
                }
                self.built = Some(prepared.snapshot.code());
                self.migrated = Some(prepared.snapshot.migrations());
                self.is_newest &= !prepared.is_another_binary;
                let is_the_same = self.is_newest && prepared.environment == self.environment;
                if is_the_same && self.servers.is_serving() && self.served.is_some() {
                    self.served = Some(prepared.snapshot);
                    self.stand(Phase::Idle, None);
                    self.say("the build is the same; nothing to reload");
                    return None;
                }
                match self.servers.start(prepared) {
                    Ok(()) => {
                        self.report.phase = Phase::Starting;
                        self.write_report();
                        None
                    }
                    Err(error) => self.fail(error.into(), 1),
                }
            }
        }
    }

    /// Writes what the database said about changed queries. It is known from now on, so that it is no change.
    fn keep_metadata(&mut self, prepared: &mut Prepared) -> Result<()> {
        let metadata = std::mem::take(&mut prepared.metadata);
        for (path, text) in &metadata {
            file::write(&self.location.root().join(path), text, 0o644)?;
            self.seen.add(path, text);
            prepared.snapshot.add(path, text);
        }
        if let Some(folder) = metadata.first().and_then(|(path, _)| path.parent()) {
            let count = metadata.len();
            let what = if count == 1 { "a changed query".to_owned() } else { format!("{count} changed queries") };
            self.say(&format!("asked the database about {what}; its answer is in {}", folder.display()));
        }
        Ok(())
    }

    /// Says what a compiler or a migration said, unless it is what was said last.
    fn show(&mut self, lines: &[String]) {
        if !lines.is_empty() && self.shown == lines {
            return self.say("(as before)");
        }
        for line in lines {
            // With a closed stdout there is nobody to tell.
            drop(self.context.terminal.data(line.trim_end()));
        }
        lines.clone_into(&mut self.shown);
    }

    /// How it stands now.
    fn stand(&mut self, phase: Phase, problem: Option<Problem>) {
        self.report.phase = phase;
        (self.report.problem, self.report.hints) =
            problem.map_or((None, Vec::new()), |problem| (Some(problem.summary), problem.hints));
        self.write_report();
    }

    fn write_report(&self) {
        if let Err(error) = self.report.store(&self.files.report()) {
            self.say(&format!("{error:#}"));
        }
    }

    /// Ends every server in order.
    fn stop(mut self, code: u8) -> Result<u8> {
        self.cancel();
        self.servers.retire_all();
        while !self.servers.is_empty() {
            match self.receive() {
                Some(Message::Ended(number, how)) => drop(self.ended(number, &how)?),
                Some(_) => {}
                None => self.tick(),
            }
        }
        file::remove(&self.files.current())?;
        if code == 0 {
            file::remove(&self.files.report())?;
            self.say("stopped");
        }
        Ok(code)
    }

    fn say(&self, text: &str) {
        say(self.context, text);
    }
}

/// A line among those of the backend, in its form.
fn say(context: &Context, text: &str) {
    let time = humantime::format_rfc3339_micros(SystemTime::now());
    // With a closed stdout there is nobody to tell.
    drop(context.terminal.data(format!("{time} WATCH {text}")));
}

#[cfg(test)]
mod tests;
