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
pub fn until<T>(timeout: Duration, cancel: &CancelToken, look: impl FnMut() -> Result<Poll<T>>) -> Result<Waited<T>> {
    until_every(POLL_INTERVAL, timeout, cancel, look)
}

/// The same for a look that costs something: `interval` passes between two of them. A wish to stop is noticed at once.
pub fn until_every<T>(
    interval: Duration,
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
        rest(interval, cancel)?;
    }
}

/// Lets that time pass, unless `cancel` is asked for.
pub fn rest(duration: Duration, cancel: &CancelToken) -> Result<()> {
    let end = Instant::now() + duration;
    loop {
        cancel.check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        pause(left.min(POLL_INTERVAL));
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

    #[test]
    fn a_look_that_costs_something_is_rare_and_a_request_to_stop_waits_for_none() {
        let cancel = CancelToken::never();
        let mut looks = 0;
        let waited = until_every(Duration::from_hours(1), Duration::from_hours(2), &cancel, || {
            looks += 1;
            cancel.cancel();
            Ok(Poll::<()>::Pending(String::new()))
        });
        assert!(waited.is_err());
        assert_eq!(looks, 1);
    }

    #[test]
    fn what_is_true_at_once_needs_no_time_and_an_error_is_not_waited_out() {
        let ready = until(Duration::ZERO, &CancelToken::never(), || Ok(Poll::Ready(7))).unwrap();
        assert!(matches!(ready, Waited::Done(7)));
        let broken = until(Duration::MAX, &CancelToken::never(), || anyhow::bail!("broken") as Result<Poll<()>>);
        assert_eq!(broken.unwrap_err().to_string(), "broken");
    }

    #[test]
    fn without_time_it_is_looked_at_once() {
        let mut looks = 0;
        let waited = until(Duration::ZERO, &CancelToken::never(), || {
            looks += 1;
            Ok(Poll::<()>::Pending("no".to_owned()))
        });
        assert!(matches!(waited.unwrap(), Waited::TimedOut(seen) if seen == "no"));
        assert_eq!(looks, 1);
    }

    #[test]
    fn an_error_of_a_connection_is_told_in_words() {
        use std::io::ErrorKind::{ConnectionRefused, Other, TimedOut, WouldBlock};
        let told = |kind: std::io::ErrorKind| describe_io(&kind.into());
        assert_eq!(
            (told(TimedOut), told(WouldBlock)),
            ("no answer in time".to_owned(), "no answer in time".to_owned())
        );
        assert_eq!(told(ConnectionRefused), "nothing listens there");
        assert_eq!(describe_io(&std::io::Error::new(Other, "odd")), "odd");
    }
}
