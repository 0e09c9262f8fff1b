//! Waiting for a condition, always with a timeout: the one place that sleeps.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::interrupt::CancelToken;

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How a wait ended.
#[derive(Debug)]
pub enum Waited<T> {
    /// The condition came true.
    Done(T),
    /// The time was over; here is what was seen last.
    TimedOut(String),
}

/// What a look at the condition showed.
pub enum Poll<T> {
    /// It is true.
    Ready(T),
    /// Not yet, and this is how it stands.
    Pending(String),
}

/// Looks again and again until the condition is true, the time is over or `cancel` was asked for.
pub fn until<T>(
    timeout: Duration,
    cancel: &CancelToken,
    mut look: impl FnMut() -> Result<Poll<T>>,
) -> Result<Waited<T>> {
    let deadline = Instant::now().checked_add(timeout);
    loop {
        cancel.check()?;
        let last_seen = match look()? {
            Poll::Ready(value) => return Ok(Waited::Done(value)),
            Poll::Pending(seen) => seen,
        };
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(Waited::TimedOut(last_seen));
        }
        pause(POLL_INTERVAL);
    }
}

/// What an error of a connection means, in words: what the system says of a timeout is a riddle.
pub fn describe_io(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        std::io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        _ => error.to_string(),
    }
}

/// Lets a moment pass between two looks.
#[expect(clippy::disallowed_methods, reason = "this is the place that every other wait goes through")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thing_seen_is_told_when_the_time_is_over() {
        let mut looks = 0;
        let waited: Waited<()> = until(Duration::from_millis(50), &CancelToken::never(), || {
            looks += 1;
            Ok(Poll::Pending(format!("look {looks}")))
        })
        .unwrap();
        assert!(matches!(waited, Waited::TimedOut(seen) if seen == format!("look {looks}")));
    }

    #[test]
    fn a_request_to_stop_ends_the_wait() {
        let cancel = CancelToken::never();
        cancel.cancel();
        let waited = until(Duration::from_hours(1), &cancel, || Ok(Poll::<()>::Pending(String::new())));
        assert!(waited.is_err());
    }
}
