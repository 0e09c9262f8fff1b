//! Whether Redis is worth asking: after one answer that did not come, nobody waits for the next for a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// For how long nobody asks. Then one request does, and the others go on without.
const PAUSE: Duration = Duration::from_secs(1);

/// The breaker of a circuit.
#[derive(Debug)]
pub struct Breaker {
    /// What is different while Redis is away.
    meanwhile: &'static str,
    began: Instant,
    /// 0 while all is well, or else the millisecond since `began` after which one request may ask.
    again_at: AtomicU64,
}

impl Breaker {
    /// A breaker that lets pass; `meanwhile` is what it says is different while Redis is away.
    pub fn new(meanwhile: &'static str) -> Self {
        Self { meanwhile, began: Instant::now(), again_at: AtomicU64::new(0) }
    }

    fn in_a_while(&self, now: Instant) -> u64 {
        self.milliseconds(now + PAUSE).max(1)
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether this request may ask.
    pub fn may_ask(&self, now: Instant) -> bool {
        let again_at = self.again_at.load(Ordering::Relaxed);
        if again_at == 0 {
            return true;
        }
        let later = self.in_a_while(now);
        let is_time = self.milliseconds(now) >= again_at;
        is_time && self.again_at.compare_exchange(again_at, later, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Redis has answered.
    pub fn answered(&self) {
        if self.again_at.swap(0, Ordering::Relaxed) != 0 {
            info!("Redis answers again; until now, {}", self.meanwhile);
        }
    }

    /// Redis has not answered, or not as it should.
    pub fn failed(&self, now: Instant, why: &str) {
        if self.again_at.swap(self.in_a_while(now), Ordering::Relaxed) == 0 {
            warn!("until Redis answers, {}: {why}", self.meanwhile);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_one_request_in_a_while_asks_until_there_is_an_answer() {
        let breaker = Breaker::new("all is slower");
        let now = Instant::now();
        assert!(breaker.may_ask(now) && breaker.may_ask(now));
        breaker.failed(now, "no answer");
        assert!(!breaker.may_ask(now));
        let later = now + PAUSE + Duration::from_millis(5);
        assert!(breaker.may_ask(later));
        assert!(!breaker.may_ask(later), "one and no more");
        assert!(breaker.may_ask(later + PAUSE + Duration::from_millis(5)), "also when the one got no answer");
        breaker.answered();
        assert!(breaker.may_ask(later) && breaker.may_ask(later));
    }
}
