//! What the connections of a server have in common, and what each of them has done.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Limits;

/// What the connections of a server have in common.
#[derive(Debug)]
pub struct Shared {
    /// The limits.
    pub limits: Limits,
    /// A place for each connection that may be open.
    pub places: Arc<Semaphore>,
    /// A place for each connection that may speak another protocol than HTTP.
    upgrades: Arc<Semaphore>,
    /// Room for unfinished heads that are long.
    pub long_heads: Arc<Semaphore>,
    /// How many requests are being answered.
    requests: AtomicUsize,
    /// Whether the server was told to stop: an answer says from then on that it is the last.
    pub draining: AtomicBool,
    /// Tells the handlers of upgraded connections to say good-bye.
    pub closing: CancellationToken,
    /// Ends connections without a request.
    pub shutdown: CancellationToken,
    /// Ends what is still open.
    pub cut: CancellationToken,
    /// Ends connections without a request that have been so for a while: others are waiting for their places.
    pub crowded: Notify,
}

impl Shared {
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            places: Arc::new(Semaphore::new(limits.connections as usize)),
            upgrades: Arc::new(Semaphore::new(limits.upgrades as usize)),
            long_heads: Arc::new(Semaphore::new(limits.long_heads as usize)),
            requests: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            closing: CancellationToken::new(),
            shutdown: CancellationToken::new(),
            cut: CancellationToken::new(),
            crowded: Notify::new(),
        })
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.limits.connections as usize - self.places.available_permits()
    }

    /// How many of them speak another protocol.
    pub fn upgraded(&self) -> usize {
        self.limits.upgrades as usize - self.upgrades.available_permits()
    }

    /// How many requests are being answered.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// What it shares with others.
    pub shared: Arc<Shared>,
    /// How many heads were read whole, ever.
    heads: AtomicUsize,
    /// How many of those requests have not been answered whole.
    open: AtomicUsize,
    /// Whether anything was received.
    pub has_received: AtomicBool,
    /// Whether it speaks another protocol now.
    is_upgraded: AtomicBool,
    /// Its place among those.
    upgrade: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Connection {
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            heads: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            has_received: AtomicBool::new(false),
            is_upgraded: AtomicBool::new(false),
            upgrade: Mutex::new(None),
        })
    }

    pub fn heads(&self) -> usize {
        self.heads.load(Ordering::Acquire)
    }

    /// Whether no request is being answered.
    pub fn is_idle(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    pub fn is_upgraded(&self) -> bool {
        self.is_upgraded.load(Ordering::Acquire)
    }

    /// From now on it speaks another protocol; false where too many do.
    pub fn upgrade(&self) -> bool {
        let Ok(place) = Arc::clone(&self.shared.upgrades).try_acquire_owned() else { return false };
        *self.upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        self.is_upgraded.store(true, Ordering::Release);
        true
    }

    /// Gives back its place among those that speak another protocol.
    pub fn end(&self) {
        drop(self.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// A request from here until the guard is dropped.
    pub fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.heads.fetch_add(1, Ordering::AcqRel);
        self.open.fetch_add(1, Ordering::AcqRel);
        self.shared.requests.fetch_add(1, Ordering::AcqRel);
        RequestGuard(Arc::clone(self))
    }
}

/// A request that is being answered.
pub struct RequestGuard(Arc<Connection>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.shared.requests.fetch_sub(1, Ordering::AcqRel);
    }
}
