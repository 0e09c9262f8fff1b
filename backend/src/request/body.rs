//! Reading a body whole, within limits on its size, its time and what all bodies together may take.

use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use tokio::sync::OwnedSemaphorePermit;

use super::admission::Admission;
use crate::problem::{Kind, Problem};

/// How long a body may take from the head to its last byte.
const TIMEOUT: Duration = Duration::from_secs(15);
/// What every body may hold without asking for room: most are smaller, and pass even while others use up all there is.
const ALWAYS: usize = 4 * 1024;

/// A body, and its room for as long as it is there.
pub struct Collected {
    /// All of it.
    pub bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

/// Reads a body to its end.
pub async fn collect(body: Body, most: usize, admission: &Admission) -> Result<Collected, Problem> {
    let too_large = || Problem::from(Kind::BodyTooLarge).detail(format!("The body may hold {most} bytes at most."));
    // Whoever says beforehand that it is too large need not send it.
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let read = async {
        let mut body = pin!(body);
        let mut collected = Collected { bytes: Vec::new(), room: None };
        while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|_| Problem::from(Kind::BadRequest).detail("The body ended too early."))?;
            let Ok(bytes) = frame.into_data() else { continue };
            let length = collected.bytes.len() + bytes.len();
            if length > most {
                return Err(too_large());
            }
            collected.makeroom(length, admission)?;
            collected.bytes.extend_from_slice(&bytes);
        }
        Ok(collected)
    };
    tokio::time::timeout(TIMEOUT, read).await.map_err(|_| Problem::from(Kind::BodyTooSlow))?
}

impl Collected {
    /// Grows by doubling, so that what is asked for is what is taken.
    fn makeroom(&mut self, length: usize, admission: &Admission) -> Result<(), Problem> {
        if length <= self.bytes.capacity() {
            return Ok(());
        }
        let capacity = length.max(2 * self.bytes.capacity()).max(ALWAYS);
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = capacity.saturating_sub(ALWAYS + held);
        if wanted > 0 {
            let room = admission.body(wanted)?;
            match &mut self.room {
                Some(held) => held.merge(room),
                none => *none = Some(room),
            }
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }
}
