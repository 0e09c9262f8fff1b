//! How much the service takes on at once: requests that are being answered, and bytes of bodies that are being read.
//!
//! What is beyond is refused at once with 503, which costs next to nothing, instead of being kept waiting in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::problem::{Kind, Problem};

/// How many requests may be answered at once.
const REQUESTS: usize = 512;
/// How much of bodies may be in memory, beyond the part of each that always is.
const BODIES: usize = 32 * 1024 * 1024;

/// How many searches may be made at once, and how long one more waits.
const SEARCHES: usize = 2;
const SEARCH_WAIT: Duration = Duration::from_secs(1);

/// What is left of all of them; clones share it.
#[derive(Debug, Clone)]
pub struct Admission {
    requests: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    searches: Arc<Semaphore>,
}

impl Default for Admission {
    fn default() -> Self {
        Self::of(REQUESTS, BODIES)
    }
}

impl Admission {
    /// Room for so many requests, and so many bytes of bodies.
    pub fn of(requests: usize, bodies: usize) -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        Self { requests: of(requests), bodies: of(bodies), searches: of(SEARCHES) }
    }

    /// A place for a request, to be held until its answer is there.
    pub fn admit(&self, request: &mut Request) -> Result<Place, Problem> {
        let place = Place::default();
        if request.body().is_end_stream() {
            place.take(self)?;
        } else {
            request.extensions_mut().insert(place.clone());
        }
        Ok(place)
    }

    /// Room for so many bytes more of a body, until `held` is dropped.
    pub fn body(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Problem> {
        grow(held, &self.bodies, bytes).map_err(|_| overloaded())
    }

    /// A place for a search, to be held until it has found what there is. Searches cost more than all else, and must leave
    /// connections to the database to others.
    pub async fn search(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = tokio::time::timeout(SEARCH_WAIT, Arc::clone(&self.searches).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(overloaded)
    }

    fn request(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.requests).try_acquire_owned().map_err(|_| overloaded())
    }
}

/// Lets a permit grow by so much; without room for it, the permit stays as it was.
pub fn grow(held: &mut Option<OwnedSemaphorePermit>, room: &Arc<Semaphore>, by: usize) -> Result<(), TryAcquireError> {
    let count = u32::try_from(by).unwrap_or(u32::MAX);
    let more = Arc::clone(room).try_acquire_many_owned(count)?;
    match held {
        Some(held) => held.merge(more),
        none => *none = Some(more),
    }
    Ok(())
}

fn overloaded() -> Problem {
    Problem::from(Kind::Overloaded)
}

/// A request's place among those that are being answered. One with a body gets it when the body is there: a slow sender
/// keeps none from others.
#[derive(Debug, Clone, Default)]
pub struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    /// Takes the place.
    pub fn take(&self, admission: &Admission) -> Result<(), Problem> {
        let permit = admission.request()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        Ok(())
    }
}
