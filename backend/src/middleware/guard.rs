//! A handler's answer, or the one that stands in for it when the handler panics or takes too long.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::problem::{Kind, Problem};

/// Waits for a handler's answer, at most for `timeout`, and not longer than there is any hope, which `lost` ends.
pub async fn answer(
    handler: impl Future<Output = Result<Response, Infallible>>,
    timeout: Duration,
    lost: impl Future<Output = ()>,
) -> Response {
    let handler = async {
        tokio::select! {
            biased;
            // A future that has panicked is not polled again, so that nobody sees what it left half done.
            outcome = AssertUnwindSafe(handler).catch_unwind() => outcome,
            () = lost => Ok(Ok(Problem::from(Kind::Unavailable).detail("The database does not answer.").into_response())),
        }
    };
    match tokio::time::timeout(timeout, handler).await {
        Ok(Ok(Ok(response))) => response,
        // The panic hook has logged why.
        Ok(Err(_)) => Problem::fault().into_response(),
        Err(_) => Problem::from(Kind::Unavailable).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_panics_or_hangs_gets_an_answer_in_its_place() {
        let timeout = Duration::from_millis(50);
        let panics = async { panic!("as it should") };
        let (never, nothing) = (std::future::pending, std::future::pending);
        assert_eq!(answer(panics, timeout, never()).await.status().as_u16(), 500);
        assert_eq!(answer(nothing(), timeout, never()).await.status().as_u16(), 503);
        let works = async { Ok("fine".into_response()) };
        assert_eq!(answer(works, timeout, never()).await.status().as_u16(), 200);
        let works = async { Ok("fine".into_response()) };
        assert_eq!(answer(works, timeout, async {}).await.status().as_u16(), 200, "what is there is there");
        let begun = std::time::Instant::now();
        assert_eq!(answer(nothing(), Duration::from_secs(20), async {}).await.status().as_u16(), 503);
        assert!(begun.elapsed() < Duration::from_secs(5), "without hope nobody waits");
    }
}
