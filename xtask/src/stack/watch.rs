//! Hot reload: builds what was edited, starts it beside what serves, and lets it take over once it is ready.
//!
//! The watcher holds the listening socket and gives it to each server that it starts, so that a connection that is made
//! while one replaces the other waits instead of being refused. It is a process of its own, and the servers are not lost
//! with it: where it is killed, the one that serves goes on, and the next watcher takes over from it.

mod build;
mod events;
pub mod files;
mod place;
pub mod report;
mod server;
mod sources;

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Scope;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};

use self::build::{Job, Outcome, Prepared};
use self::events::Events;
use self::files::Files;
pub use self::place::Place;
use self::report::{Phase, Problem, WatchReport};
use self::server::Server;
use self::sources::{Snapshot, Sources};
use crate::context::Context;
use crate::failure::Exit;
use crate::file;
use crate::interrupt::Halt;
use crate::settings::Settings;
use crate::stack::ground;
use crate::tool::backend::Variable;
use crate::wait::{self, Look, Waited};

/// For how long nothing may have changed before it is built: a save is several steps, a change of branches hundreds.
const QUIET: Duration = Duration::from_millis(30);
/// How long changes may go on before they are built all the same.
const UNREST: Duration = Duration::from_secs(2);
/// How long a new server may take to be ready; one that waits for its database gives up earlier, by itself.
const START: Duration = Duration::from_mins(2);
/// What a server is given to end beyond the time that it gives its requests.
const GRACE: Duration = Duration::from_secs(5);
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
    socket: Option<Arc<TcpListener>>,
    /// What the sources held when they were looked at last.
    seen: Snapshot,
    /// What the binary that is put aside was built from.
    built: Option<u64>,
    /// The migrations that were applied last.
    migrated: Option<u64>,
    /// What serves was made from.
    served: Option<Snapshot>,
    job: Option<(u32, Halt)>,
    next: Option<(Server, Prepared)>,
    current: Option<Server>,
    retired: Vec<Server>,
    environment: Vec<Variable>,
    /// How often it has crashed in a row, and when to start it again.
    crashes: u32,
    retry: Option<Instant>,
    /// When what is being built was edited.
    edited: Instant,
    /// What the compiler said last, so that it is not said again.
    shown: Vec<String>,
    numbers: u32,
    report: WatchReport,
}

impl<'scope, 'env> Watcher<'scope, 'env> {
    fn new(start: Start<'env>, scope: &'scope Scope<'scope, 'env>) -> Result<Self> {
        let Start { context, place, files, polls, is_prepared } = start;
        let (sender, messages) = mpsc::channel();
        let stop = sender.clone();
        context.interrupt.on_request(move || drop(stop.send(Message::Stop)));
        // Whoever started us has ended what these told of, but for the one that serves.
        file::remove(&files.servers())?;
        file::create(&files.servers())?;
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
            current: Server::adopt(0, &files, &sender),
            files,
            sender,
            messages,
            deferred: VecDeque::new(),
            socket: None,
            seen,
            built,
            migrated,
            served: None,
            job: None,
            next: None,
            retired: Vec::new(),
            environment: Vec::new(),
            crashes: 0,
            retry: None,
            edited: Instant::now(),
            shown: Vec::new(),
            numbers: 0,
            report: WatchReport { phase: Phase::Building, problem: None, advice: Vec::new(), reloads: 0 },
        })
    }

    fn run(mut self) -> Result<u8> {
        if self.current.is_none() {
            // Held from now on, so that whoever connects waits.
            self.socket = Some(Arc::new(bind(self.place, Duration::ZERO, &Halt::on(&self.context.interrupt))?));
        }
        self.say(&format!("watching {}", crate::stack::thunder::SOURCES[0]));
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
        let deadlines = self.servers().filter_map(|server| server.deadline).chain(self.retry);
        let patience =
            deadlines.min().map_or(Duration::from_hours(1), |when| when.saturating_duration_since(Instant::now()));
        self.messages.recv_timeout(patience).ok()
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        self.next.iter().map(|(server, _)| server).chain(&self.current).chain(&self.retired)
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
        self.edited = Instant::now();
        self.seen = snapshot;
        let was_busy = self.call_off();
        if self.served.as_ref() == Some(&self.seen) && self.current.is_some() {
            self.say(&format!("{difference} changed back to what serves"));
            self.shown.clear();
            return self.stand(Phase::Idle, None);
        }
        self.say(&format!("{difference} changed{}", if was_busy { "; starting over" } else { "" }));
        self.retry = None;
        self.prepare();
    }

    /// What the sources hold when they have not changed for a while.
    fn rest(&mut self, mut before: Snapshot) -> Snapshot {
        let limit = Instant::now() + UNREST;
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
            if is_quiet && now == before || Instant::now() > limit {
                return now;
            }
            before = now;
        }
    }

    /// Stops what was under way to the next server; whether anything was.
    fn call_off(&mut self) -> bool {
        let job = self.job.take();
        if let Some((_, halt)) = &job {
            halt.request();
        }
        // While nothing serves, an older build is better than none.
        let next = self.next.take_if(|_| self.current.is_some());
        let was_busy = job.is_some() || next.is_some();
        if let Some((server, _)) = next {
            self.retire(server);
        }
        was_busy
    }

    /// Builds and migrates, as far as that is needed.
    fn prepare(&mut self) {
        self.numbers += 1;
        let number = self.numbers;
        let job = Job {
            snapshot: self.seen.clone(),
            needs_build: self.built != Some(self.seen.code()),
            needs_migration: self.migrated != Some(self.seen.migrations()),
        };
        let halt = Halt::on(&self.context.interrupt);
        self.job = Some((number, halt.clone()));
        let (context, place, files, sender) = (self.context, self.place, self.files.clone(), self.sender.clone());
        self.scope.spawn(move || {
            let outcome = job.run(context, place, &files, &halt);
            drop(sender.send(Message::Over(number, outcome)));
        });
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
            Outcome::CalledOff => None,
            Outcome::Failed(problem) => self.fail(problem, 1),
            Outcome::Prepared(prepared) => {
                self.show(&prepared.warnings);
                for line in &prepared.migrated {
                    self.say(&format!("migration {line}"));
                }
                self.built = Some(prepared.snapshot.code());
                self.migrated = Some(prepared.snapshot.migrations());
                let is_the_same = !prepared.is_another_binary && prepared.environment == self.environment;
                if is_the_same && self.current.is_some() && self.served.is_some() {
                    self.served = Some(prepared.snapshot);
                    self.say("the build is the same; nothing to reload");
                    self.stand(Phase::Idle, None);
                    return None;
                }
                self.start(prepared).err().and_then(|error| self.fail(error.into(), 1))
            }
        }
    }

    /// Starts the next server beside the one that serves.
    fn start(&mut self, prepared: Prepared) -> Result<()> {
        if let Some((older, _)) = self.next.take() {
            self.retire(older);
        }
        let socket = match &self.socket {
            Some(socket) => Arc::clone(socket),
            None => self.take_socket()?,
        };
        self.numbers += 1;
        let root = self.context.project.root();
        let (files, runner) = (&self.files, &*self.context.runner);
        let mut server =
            Server::start(self.numbers, files, &prepared.environment, root, &socket, runner, &self.sender)?;
        server.deadline = Some(Instant::now() + START);
        self.next = Some((server, prepared));
        self.report.phase = Phase::Starting;
        self.write_report();
        Ok(())
    }

    /// Takes the address from a server whose watcher is gone: from the moment at which that one lets go of it, whoever
    /// connects waits for the next.
    fn take_socket(&mut self) -> Result<Arc<TcpListener>> {
        if let Some(server) = self.current.take() {
            self.say("taking over from a server whose watcher is gone");
            self.retire(server);
        }
        let patience = self.shutdown_timeout() + GRACE;
        let socket = Arc::new(bind(self.place, patience, &Halt::on(&self.context.interrupt))?);
        self.socket = Some(Arc::clone(&socket));
        Ok(socket)
    }

    /// The next server is ready: it is the one that serves now, and the one before finishes what it has begun.
    fn take_over(&mut self, number: u32) -> Result<()> {
        let Some((mut server, prepared)) = self.next.take_if(|(server, _)| server.number == number) else {
            return Ok(());
        };
        server.deadline = None;
        if let Some(record) = server.record() {
            file::write(&self.files.current(), serde_json::to_string(&record)?.as_bytes(), 0o644)?;
        }
        let before = self.current.replace(server);
        let is_reload = before.is_some();
        if let Some(before) = before {
            self.retire(before);
        }
        let seconds = self.edited.elapsed().as_secs_f64();
        if is_reload {
            self.report.reloads += 1;
            self.say(&format!("reloaded {seconds:.1} s after the change"));
        } else {
            self.say("serving");
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
        self.report.phase = if self.job.is_some() { Phase::Building } else { Phase::Idle };
        self.report.problem = problem;
        self.write_report();
        Ok(())
    }

    /// A server has ended. An exit code, where there is nothing to go on with.
    fn ended(&mut self, number: u32, how: &str) -> Result<Option<u8>> {
        if let Some((server, _)) = self.next.take_if(|(server, _)| server.number == number) {
            server.forget()?;
            let problem = Problem::new(format!("the new server ended with {how} before it was ready"));
            let code = how.strip_prefix("exit code ").and_then(|code| code.parse().ok()).unwrap_or(1);
            return Ok(self.fail(problem.next(LOGS), code));
        }
        if let Some(server) = self.current.take_if(|server| server.number == number) {
            server.forget()?;
            file::remove(&self.files.current())?;
            if server.since.elapsed() > STABLE {
                self.crashes = 0;
            }
            let (times, pause) = self.pause();
            let what = format!("the backend ended with {how}{times}");
            self.say(&format!("{what}; starting it again in {pause}"));
            self.stand(Phase::Waiting, Some(Problem::new(what).next(LOGS)));
            return Ok(None);
        }
        if let Some(index) = self.retired.iter().position(|server| server.number == number) {
            self.retired.swap_remove(index).forget()?;
        }
        Ok(None)
    }

    /// Notes why what was edited does not serve. An exit code, where nothing ever did and nothing is left to wait for.
    fn fail(&mut self, problem: Problem, code: u8) -> Option<u8> {
        let serving = if self.current.is_some() { "; the older build goes on serving" } else { "" };
        self.say(&format!("{}{serving}", problem.summary));
        self.show(&problem.details);
        for advice in &problem.advice {
            self.say(&format!("try: {advice}"));
        }
        if self.served.is_none() && self.current.is_none() && self.next.is_none() {
            self.stand(Phase::Idle, Some(problem));
            return Some(code);
        }
        if self.next.is_some() {
            self.stand(Phase::Starting, Some(problem));
        } else if self.current.is_some() || problem.needs_edit {
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

    /// Asks a server to end. It is forgotten when it has.
    fn retire(&mut self, mut server: Server) {
        server.signal("TERM", self.shutdown_timeout() + GRACE);
        self.retired.push(server);
    }

    /// Does what is due.
    fn tick(&mut self) {
        let now = Instant::now();
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        for server in self.retired.iter_mut().filter(|server| is_due(server.deadline)) {
            let pid = server.record().map_or(0, |record| record.pid);
            say(self.context, &format!("the server (process {pid}) does not stop by itself; sending SIGKILL"));
            server.signal("KILL", GRACE);
        }
        if let Some((server, _)) = self.next.take_if(|(server, _)| is_due(server.deadline)) {
            self.retire(server);
            let limit = humantime::format_duration(START);
            let problem = Problem::new(format!("the new server was not ready within {limit}"));
            self.fail(problem.next(LOGS), Exit::Unhealthy as u8);
        }
        if is_due(self.retry) {
            self.retry = None;
            if self.job.is_none() && self.next.is_none() {
                self.prepare();
            }
        }
    }

    /// How it stands now.
    fn stand(&mut self, phase: Phase, problem: Option<Problem>) {
        self.report.phase = phase;
        (self.report.problem, self.report.advice) =
            problem.map_or((None, Vec::new()), |problem| (Some(problem.summary), problem.advice));
        self.write_report();
    }

    fn write_report(&self) {
        if let Err(error) = self.report.store(&self.files.report()) {
            self.say(&format!("{error:#}"));
        }
    }

    /// Ends every server in order.
    fn stop(mut self, code: u8) -> Result<u8> {
        self.call_off();
        let next = self.next.take().map(|(server, _)| server);
        for server in self.current.take().into_iter().chain(next) {
            self.retire(server);
        }
        while !self.retired.is_empty() {
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

    /// The time that a server gives its requests; the settings may be the very thing that is broken.
    fn shutdown_timeout(&self) -> Duration {
        Settings::load(&self.context.project)
            .map_or(Duration::from_secs(10), |settings| ground::shutdown_timeout(&settings))
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

/// The socket that all servers are given, as soon as nobody else has its address.
fn bind(place: &Place, patience: Duration, halt: &Halt) -> Result<TcpListener> {
    let address = place.address()?;
    let mut failure = None;
    let waited = wait::until(patience, halt, || {
        Ok(match TcpListener::bind(address) {
            Ok(socket) => Look::Ready(socket),
            Err(error) => {
                let seen = error.to_string();
                failure = Some(error);
                Look::NotYet(seen)
            }
        })
    })?;
    match (waited, failure) {
        (Waited::Done(socket), _) => Ok(socket),
        (Waited::TimedOut(_), Some(error)) => Err(error).with_context(|| format!("cannot listen on {address}")),
        (Waited::TimedOut(seen), None) => anyhow::bail!("cannot listen on {address}: {seen}"),
    }
}
