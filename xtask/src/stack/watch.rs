//! Hot reload: builds what was edited, starts it beside what serves, and lets it take over once it is ready.
//!
//! The watcher holds the listening socket and gives it to each server that it starts, so that a connection that is made
//! while one replaces the other waits instead of being refused. It is a process of its own, and the servers are not lost
//! with it: where it is killed, the one that serves goes on, and the next watcher takes over from it.

mod build;
mod events;
pub mod files;
mod fleet;
mod place;
pub mod probe;
mod queries;
pub mod report;
mod server;
mod sources;

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use self::build::{Job, Outcome, Prepared};
use self::events::Events;
use self::files::Files;
use self::fleet::{Fleet, Role, START};
pub use self::place::Place;
use self::report::{Phase, Problem, WatchReport};
use self::sources::{Snapshot, Sources};
use crate::context::Context;
use crate::failure::Exit;
use crate::file;
use crate::interrupt::CancelToken;
use crate::tool::backend::Variable;

/// For how long nothing may have changed before it is built: a save is several steps, a change of branches hundreds.
const QUIET: Duration = Duration::from_millis(30);
/// How long changes may go on before they are built all the same.
const UNREST: Duration = Duration::from_secs(2);
/// The pause before a server that crashed is started again; it doubles with each crash.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest such pause.
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A server that served for so long does not crash at once.
const STABLE: Duration = Duration::from_mins(1);

/// What tells more about a server that ended.
const LOGS: &str = "cargo xtask logs backend";

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
    pub place: &'a Place,
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
    place: &'env Place,
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
    job: Option<(u32, CancelToken)>,
    worker: Option<ScopedJoinHandle<'scope, ()>>,
    fleet: Fleet<'env>,
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
        let Start { context, place, files, polls, is_prepared } = start;
        let (sender, messages) = mpsc::channel();
        let stop = sender.clone();
        context.interrupt.on_request(move || drop(stop.send(Message::Stop)));
        let fleet = Fleet::new(context, place, files.clone(), sender.clone())?;
        let sources = Sources::of(context.project.root(), &context.project.settings());
        // Told before they are looked at, so that no change is missed.
        let events = Events::start(&sources, polls, &sender, &|text| say(context, &text));
        let seen = sources.look();
        let (mut built, mut migrated) = (None, None);
        // One that another build is just replacing is built anew.
        if is_prepared && build::put_beside(place.binary(), &files.binary()).is_ok() {
            (built, migrated) = (Some(seen.code()), Some(seen.migrations()));
        }
        Ok(Self {
            scope,
            context,
            place,
            sources,
            polls,
            events,
            fleet,
            files,
            sender,
            messages,
            deferred: VecDeque::new(),
            seen,
            built,
            migrated,
            served: None,
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
        let deadline = self.fleet.deadline().into_iter().chain(self.retry).min();
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
        if self.served.as_ref() == Some(&self.seen) && self.fleet.is_serving() && is_migrated {
            self.shown.clear();
            self.stand(Phase::Idle, None);
            return self.say(&format!("{difference} changed back to what serves"));
        }
        self.say(&format!("{difference} changed{}", if was_busy { "; starting over" } else { "" }));
        self.retry = None;
        self.prepare();
    }

    /// What the sources hold when they have not changed for a while.
    fn rest(&mut self, mut before: Snapshot) -> Snapshot {
        let timeout = Instant::now() + UNREST;
        loop {
            let until = Instant::now() + QUIET;
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
        self.fleet.cancel() || job.is_some()
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
        let (context, place, files, sender) = (self.context, self.place, self.files.clone(), self.sender.clone());
        let before = self.worker.take();
        self.worker = Some(self.scope.spawn(move || {
            // One that was cancelled is still ending, and would get in the way.
            if let Some(Err(panic)) = before.map(ScopedJoinHandle::join) {
                std::panic::resume_unwind(panic);
            }
            let outcome = job.run(context, place, &files, &cancel);
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
                let is_the_same = !prepared.is_another_binary && prepared.environment == self.environment;
                if is_the_same && self.fleet.is_serving() && self.served.is_some() {
                    self.served = Some(prepared.snapshot);
                    self.say("the build is the same; nothing to reload");
                    self.stand(Phase::Idle, None);
                    return None;
                }
                match self.fleet.start(prepared) {
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
            file::write(&self.place.root().join(path), text, 0o644)?;
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

    /// The next server is ready: it is the one that serves now, and the one before finishes what it has begun.
    fn take_over(&mut self, number: u32) -> Result<()> {
        let Some((prepared, is_reload)) = self.fleet.take_over(number)? else { return Ok(()) };
        self.report.reloads += u32::from(is_reload);
        match self.edited.take().filter(|_| is_reload) {
            Some(edited) => self.say(&format!("reloaded {:.1} s after the change", edited.elapsed().as_secs_f64())),
            None => self.say("serving"),
        }
        if prepared.is_another_binary {
            self.crashes = 0;
        }
        self.environment = prepared.environment;
        self.served = Some(prepared.snapshot);
        self.retry = None;
        // What was edited since may have failed already.
        let problem = self.report.problem.take().filter(|_| self.served.as_ref() != Some(&self.seen));
        if let Err(error) = crate::log_file::rotate(&self.files.log()) {
            self.say(&format!("{error:#}"));
        }
        if problem.is_none() {
            self.report.hints.clear();
        }
        self.report.problem = problem;
        self.report.phase = if self.job.is_some() { Phase::Building } else { Phase::Idle };
        self.write_report();
        Ok(())
    }

    /// A server has ended. An exit code, where there is nothing to go on with.
    fn ended(&mut self, number: u32, how: &str) -> Result<Option<u8>> {
        Ok(match self.fleet.ended(number)? {
            Role::Next => {
                let problem = Problem::new(format!("the new server ended with {how} before it was ready"));
                let code = how.strip_prefix("exit code ").and_then(|code| code.parse().ok()).unwrap_or(1);
                self.fail(problem.hint(LOGS), code)
            }
            Role::Current(lived) => {
                if lived > STABLE {
                    self.crashes = 0;
                }
                let (times, pause) = self.pause();
                let what = format!("the backend ended with {how}{times}");
                self.say(&format!("{what}; starting it again in {pause}"));
                self.stand(Phase::Waiting, Some(Problem::new(what).hint(LOGS)));
                None
            }
            Role::Retired => None,
        })
    }

    /// Notes why what was edited does not serve. An exit code, where nothing ever did and nothing is left to wait for.
    fn fail(&mut self, problem: Problem, code: u8) -> Option<u8> {
        let serving = if self.fleet.is_serving() { "; the older build goes on serving" } else { "" };
        self.say(&format!("{}{serving}", problem.summary));
        self.show(&problem.details);
        for hint in &problem.hints {
            self.say(&format!("try: {hint}"));
        }
        if self.served.is_none() && !self.fleet.is_serving() && !self.fleet.is_starting() {
            self.stand(Phase::Idle, Some(problem));
            return Some(code);
        }
        if self.fleet.is_starting() {
            self.stand(Phase::Starting, Some(problem));
        } else if self.fleet.is_serving() || problem.needs_edit {
            self.stand(Phase::Idle, Some(problem));
        } else {
            let (times, pause) = self.pause();
            self.say(&format!("nothing serves{times}; trying again in {pause}"));
            self.stand(Phase::Waiting, Some(problem));
        }
        None
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

    /// Waits before a server is started again, longer each time: how often that was, and for how long.
    fn pause(&mut self) -> (String, humantime::FormattedDuration) {
        let pause = LAST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(self.crashes.min(16)));
        self.crashes += 1;
        self.retry = Some(Instant::now() + pause);
        let times = if self.crashes > 1 { format!(", {} times in a row", self.crashes) } else { String::new() };
        (times, humantime::format_duration(pause))
    }

    /// Does what is due.
    fn tick(&mut self) {
        if self.fleet.tick() {
            let timeout = humantime::format_duration(START);
            let problem = Problem::new(format!("the new server was not ready within {timeout}"));
            self.fail(problem.hint(LOGS), Exit::Unhealthy as u8);
        }
        if self.retry.is_some_and(|when| when <= Instant::now()) {
            self.retry = None;
            if self.job.is_none() && !self.fleet.is_starting() {
                self.prepare();
            }
        }
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
        self.fleet.retire_all();
        while !self.fleet.is_empty() {
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
