//! The servers of one watcher: the one that serves, the one that is to be the next, and those that finish what they have
//! begun; and the socket that all of them are given.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::build::Prepared;
use super::files::Files;
use super::server::Server;
use super::{Location, Message, say};
use crate::context::Context;
use crate::file;
use crate::interrupt::CancelToken;
use crate::process;
use crate::stack::foundation;
use crate::wait::{self, Poll, Waited};

/// How long a new server may take to be ready; one that waits for its database gives up earlier, by itself.
pub const START_TIMEOUT: Duration = Duration::from_mins(2);
/// What a server is given to end beyond the time that it gives its requests.
const SIGNAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers of one watcher.
pub struct Servers<'a> {
    context: &'a Context,
    location: &'a Location,
    files: Files,
    sender: Sender<Message>,
    socket: Option<Arc<TcpListener>>,
    next: Option<(Server, Prepared)>,
    current: Option<Server>,
    retired: Vec<Server>,
    started: u32,
}

/// What a server was that has ended.
pub enum Role {
    /// It was to be the next.
    Next,
    /// It served, for so long.
    Current(Duration),
    /// It had been asked to end.
    Retired,
}

impl<'a> Servers<'a> {
    /// No servers yet, except one that an earlier watcher has left.
    pub fn new(context: &'a Context, location: &'a Location, files: Files, sender: Sender<Message>) -> Result<Self> {
        // Whoever started us has ended what these told of, except the one that serves.
        file::remove(&files.servers())?;
        file::create(&files.servers())?;
        let current = Server::adopt(0, &files, &sender);
        // Held from now on, so that whoever connects waits.
        let socket = match &current {
            None => Some(Arc::new(bind(location, Duration::ZERO, &CancelToken::on(&context.interrupt))?)),
            Some(server) => shared_with(server, location).map(Arc::new),
        };
        let (next, retired) = (None, Vec::new());
        Ok(Self { context, location, files, sender, socket, next, current, retired, started: 0 })
    }

    /// Whether any of them serves.
    pub fn is_serving(&self) -> bool {
        self.current.is_some()
    }

    /// Whether one is on its way.
    pub fn is_starting(&self) -> bool {
        self.next.is_some()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.next.is_none() && self.current.is_none() && self.retired.is_empty()
    }

    /// When the first of them has to have done what it was asked to do.
    pub fn deadline(&self) -> Option<Instant> {
        let all = self.next.iter().map(|(server, _)| server).chain(&self.current).chain(&self.retired);
        all.filter_map(|server| server.deadline).min()
    }

    /// Starts the next server beside the one that serves.
    pub fn start(&mut self, prepared: Prepared) -> Result<()> {
        if let Some((older, _)) = self.next.take() {
            self.retire(older);
        }
        let socket = match &self.socket {
            Some(socket) => Arc::clone(socket),
            None => self.take_socket()?,
        };
        self.started += 1;
        let (root, runner) = (self.context.project.root(), &*self.context.runner);
        let environment = &prepared.environment;
        let mut server = Server::start(self.started, &self.files, environment, root, &socket, runner, &self.sender)?;
        server.deadline = Some(Instant::now() + START_TIMEOUT);
        self.next = Some((server, prepared));
        Ok(())
    }

    /// Takes the address from a server whose watcher is gone: from the moment at which that one lets go of it, whoever
    /// connects waits for the next.
    fn take_socket(&mut self) -> Result<Arc<TcpListener>> {
        if let Some(server) = self.current.take() {
            say(self.context, "taking over from a server whose watcher is gone");
            self.retire(server);
        }
        let timeout = self.shutdown_timeout() + SIGNAL_TIMEOUT;
        let socket = Arc::new(bind(self.location, timeout, &CancelToken::on(&self.context.interrupt))?);
        self.socket = Some(Arc::clone(&socket));
        Ok(socket)
    }

    /// The server with that number is ready: if it is the next, it is the one that serves from now on. What it was made
    /// from, and whether another one served before.
    pub fn take_over(&mut self, number: u32) -> Result<Option<(Prepared, bool)>> {
        let Some((mut server, prepared)) = self.next.take_if(|(server, _)| server.number == number) else {
            return Ok(None);
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
        Ok(Some((prepared, is_reload)))
    }

    /// Cancels the next server, unless nothing serves: then an older build is better than none.
    pub fn cancel(&mut self) -> bool {
        let next = self.next.take_if(|_| self.current.is_some());
        let was_starting = next.is_some();
        if let Some((server, _)) = next {
            self.retire(server);
        }
        was_starting
    }

    /// Forgets a server that has ended, and tells what it was.
    pub fn ended(&mut self, number: u32) -> Result<Role> {
        if let Some((server, _)) = self.next.take_if(|(server, _)| server.number == number) {
            server.forget()?;
            return Ok(Role::Next);
        }
        if let Some(server) = self.current.take_if(|server| server.number == number) {
            server.forget()?;
            file::remove(&self.files.current())?;
            return Ok(Role::Current(server.since.elapsed()));
        }
        if let Some(index) = self.retired.iter().position(|server| server.number == number) {
            self.retired.swap_remove(index).forget()?;
        }
        Ok(Role::Retired)
    }

    /// Does what is due: kills those that do not end. Whether the next server was given up, because it is not ready.
    pub fn tick(&mut self) -> bool {
        let now = Instant::now();
        let is_due = |server: &Server| server.deadline.is_some_and(|deadline| deadline <= now);
        for server in self.retired.iter_mut().filter(|server| is_due(server)) {
            let pid = server.record().map_or(0, |record| record.pid);
            say(self.context, &format!("the server (process {pid}) does not stop by itself; sending SIGKILL"));
            server.signal("KILL", SIGNAL_TIMEOUT);
        }
        let late = self.next.take_if(|(server, _)| is_due(server));
        let is_late = late.is_some();
        if let Some((server, _)) = late {
            self.retire(server);
        }
        is_late
    }

    /// Asks all of them to end.
    pub fn retire_all(&mut self) {
        let next = self.next.take().map(|(server, _)| server);
        for server in self.current.take().into_iter().chain(next) {
            self.retire(server);
        }
    }

    fn retire(&mut self, mut server: Server) {
        server.signal("TERM", self.shutdown_timeout() + SIGNAL_TIMEOUT);
        self.retired.push(server);
    }

    /// The time that a server gives its requests; the settings may be the very thing that is broken.
    fn shutdown_timeout(&self) -> Duration {
        foundation::shutdown_timeout_of(self.context)
    }
}

/// The very socket on which a server listens whose watcher is gone: with it the next server takes over without a gap.
/// None where the system does not give it away.
fn shared_with(server: &Server, location: &Location) -> Option<TcpListener> {
    let socket = process::socket_of(server.record()?.pid).ok()?;
    (socket.local_addr().ok()? == location.address().ok()?).then_some(socket)
}

/// The socket that all servers are given, as soon as nobody else has its address.
fn bind(location: &Location, timeout: Duration, cancel: &CancelToken) -> Result<TcpListener> {
    let address = location.address()?;
    let mut failure = None;
    let waited = wait::until(timeout, cancel, || {
        Ok(match TcpListener::bind(address) {
            Ok(socket) => Poll::Ready(socket),
            Err(error) => {
                let seen = error.to_string();
                failure = Some(error);
                Poll::Pending(seen)
            }
        })
    })?;
    match (waited, failure) {
        (Waited::Done(socket), _) => Ok(socket),
        (Waited::TimedOut(_), Some(error)) => Err(error).with_context(|| format!("cannot listen on {address}")),
        (Waited::TimedOut(seen), None) => anyhow::bail!("cannot listen on {address}: {seen}"),
    }
}

#[cfg(test)]
mod tests;
