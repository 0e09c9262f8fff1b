//! Waiting for a condition, always with a limit: the one place that sleeps.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::interrupt::Halt;

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// How a wait ended.
#[derive(Debug)]
pub enum Waited<T> {
    /// The condition came true.
    Done(T),
    /// The time was over; here is what was seen last.
    TimedOut(String),
}

/// What a look at the condition showed.
pub enum Look<T> {
    /// It is true.
    Ready(T),
    /// Not yet, and this is how it stands.
    NotYet(String),
}

/// Looks again and again until the condition is true, the limit is over or `halt` is requested.
pub fn until<T>(limit: Duration, halt: &Halt, mut look: impl FnMut() -> Result<Look<T>>) -> Result<Waited<T>> {
    let deadline = Instant::now() + limit;
    loop {
        halt.check()?;
        let last_seen = match look()? {
            Look::Ready(value) => return Ok(Waited::Done(value)),
            Look::NotYet(seen) => seen,
        };
        if Instant::now() >= deadline {
            return Ok(Waited::TimedOut(last_seen));
        }
        pause(INTERVAL);
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
        let waited: Waited<()> = until(Duration::from_millis(50), &Halt::never(), || {
            looks += 1;
            Ok(Look::NotYet(format!("look {looks}")))
        })
        .unwrap();
        assert!(matches!(waited, Waited::TimedOut(seen) if seen == format!("look {looks}")));
    }

    #[test]
    fn a_request_to_stop_ends_the_wait() {
        let halt = Halt::never();
        halt.request();
        let waited = until(Duration::from_hours(1), &halt, || Ok(Look::<()>::NotYet(String::new())));
        assert!(waited.is_err());
    }
}
