//! The accept loop: limits on what a connection may cost, and an orderly end.
//!
//! `axum::serve` has no time-outs, so that one client with many half-sent requests can hold every file descriptor. Here a
//! connection that sends nothing, sends its heads too slowly or does not take its answers is closed.

pub mod activation;
mod connection;
mod listen;
mod shared;
mod stream;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};

pub use self::connection::Closing;
use self::connection::Server;
pub use self::listen::{listen, make_room};
use self::shared::Shared;

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a request's head may take, counted from the connection's start or the head's first byte. Shorter than
    /// the shutdown time, or a half-sent head could use all of that up.
    pub head: Duration,
    /// How long a connection may be idle between two requests; longer than proxies keep theirs, so that it is they
    /// who close and no request meets a connection that is just going away.
    pub idle: Duration,
    /// How long a client may take nothing of an answer.
    pub write: Duration,
    /// How long, once the server was told to stop, a connection without a request may still send one. Whoever keeps a
    /// connection open may be sending on it at this very moment, and would find it closed; the answer tells that it was
    /// the last.
    pub linger: Duration,
    /// How many connections are served at once. More wait in the kernel's queue, while those without a request make
    /// room.
    pub connections: u32,
    /// How many of them may speak another protocol than HTTP.
    pub upgrades: u32,
    /// How many bytes of unfinished heads may be in memory, beyond the first [`SHORT_HEAD`] of each: all connections
    /// together, each with as long a head as it may send, would take more than a container has.
    pub long_heads: u32,
}

/// What every unfinished head may take: more than browsers and proxies send, and what hyper reserves anyway.
pub const SHORT_HEAD: usize = 8 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            connections: 8192,
            upgrades: 4096,
            long_heads: 16 * 1024 * 1024,
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every request that was in flight got its answer, and every upgraded connection its end.
    Drained,
    /// The time was over before that.
    TimedOut,
}

/// Serves until `stop` resolves, then finishes what is in flight within `drain`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> End {
    let shared = Shared::new(limits);
    let server = Server::new(router, Arc::clone(&shared));
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let place = place(&shared).await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        match stream {
            // Counted before it is spawned, so that a request that comes in just before the end is finished too.
            Ok((stream, peer)) => drop(tokio::spawn(server.clone().serve(stream, peer, place))),
            Err(error) => pause_after(&error).await,
        }
    }
    // Before anybody can see that nobody listens: whoever is answered from then on is told.
    shared.draining.store(true, Ordering::Release);
    drop(listener);
    finish(&shared, drain).await
}

/// A place for a connection. Where there is none, those that have been without a request for a while make room.
async fn place(shared: &Shared) -> OwnedSemaphorePermit {
    loop {
        if let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() {
            return place;
        }
        shared.crowded.notify_waiters();
        let place = Arc::clone(&shared.places).acquire_owned();
        if let Ok(Ok(place)) = tokio::time::timeout(Duration::from_secs(1), place).await {
            return place;
        }
    }
}

/// Ends every connection in order: upgraded ones are told at once, those without a request after a moment, and what is
/// left when the time is over is cut off.
async fn finish(shared: &Shared, drain: Duration) -> End {
    let (connections, upgraded) = (shared.connections(), shared.upgraded());
    info!(connections, upgraded, timeout_s = drain.as_secs(), "stopping: finishing what is in flight");
    shared.closing.cancel();
    let all = || shared.places.acquire_many(shared.limits.connections);
    let drained = async {
        if tokio::time::timeout(shared.limits.linger, all()).await.is_err() {
            shared.shutdown.cancel();
            all().await.ok();
        }
    };
    let is_drained = tokio::time::timeout(drain, drained).await.is_ok();
    let (requests, upgraded) = (shared.requests(), shared.upgraded());
    shared.cut.cancel();
    // A connection on which nothing was asked, or not yet, has lost nothing.
    if is_drained || requests + upgraded == 0 {
        return End::Drained;
    }
    warn!(requests, upgraded, "cut off, because the time to finish was over");
    End::TimedOut
}

/// A client that went away before it was accepted is no reason to wait; too many open files is, or the loop would spin.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    warn!("cannot accept a connection: {error}");
    tokio::time::sleep(Duration::from_millis(200)).await;
}
