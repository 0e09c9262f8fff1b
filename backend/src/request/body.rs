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
    collect_within(TIMEOUT, body, most, admission).await
}

async fn collect_within(
    timeout: Duration,
    body: Body,
    most: usize,
    admission: &Admission,
) -> Result<Collected, Problem> {
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
    tokio::time::timeout(timeout, read).await.map_err(|_| Problem::from(Kind::BodyTooSlow))?
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
            admission.body(&mut self.room, wanted)?;
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::Bytes;
    use axum::response::IntoResponse;
    use hyper::body::Frame;

    use super::*;

    /// So many bytes, and then nothing for ever.
    struct HalfSent(Option<usize>);

    impl HttpBody for HalfSent {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match self.0.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(vec![b' '; bytes].into())))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_in_time_is_given_up_on_and_its_room_is_free_again() {
        let admission = Admission::default();
        let timeout = Duration::from_millis(50);
        let outcome = collect_within(timeout, Body::new(HalfSent(Some(900_000))), 1_000_000, &admission).await;
        assert_eq!(outcome.err().unwrap().into_response().status().as_u16(), 408);
        assert!(admission.body(&mut None, 32 * 1024 * 1024).is_ok(), "all of the room");
    }

    #[tokio::test]
    async fn what_all_bodies_take_together_is_bounded_and_a_small_one_always_passes() {
        let admission = Admission::default();
        let mut held = Vec::new();
        let refusal = loop {
            match collect(Body::from(vec![b' '; 900_000]), 1_000_000, &admission).await {
                Ok(body) => held.push(body),
                Err(problem) => break problem,
            }
        };
        assert_eq!(refusal.into_response().status().as_u16(), 503);
        assert!((30..40).contains(&held.len()), "{}", held.len());
        assert!(collect(Body::from(vec![b' '; ALWAYS]), 1_000_000, &admission).await.is_ok());
        held.clear();
        assert!(collect(Body::from(vec![b' '; 900_000]), 1_000_000, &admission).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_not_read_to_its_end() {
        for body in [Body::from(vec![b' '; 1001]), Body::new(HalfSent(Some(1001)))] {
            let problem = collect(body, 1000, &Admission::default()).await.err().unwrap();
            assert_eq!(problem.into_response().status().as_u16(), 413);
        }
    }
}
