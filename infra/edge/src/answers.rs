//! How many requests were answered, and how many of them with 5xx, by the second.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long counts are kept, in seconds.
const KEPT: u64 = 1_800;

/// The counts of a service.
#[derive(Debug, Default)]
pub struct Answers {
    by_second: BTreeMap<u64, (u64, u64)>,
}

impl Answers {
    /// Counts an answer.
    pub fn count(&mut self, second: u64, status: u16) {
        let entry = self.by_second.entry(second).or_default();
        entry.0 += 1;
        entry.1 += u64::from(status >= 500);
        if self.by_second.first_key_value().is_some_and(|(first, _)| first + KEPT < second) {
            self.by_second.pop_first();
        }
    }

    /// All and those with 5xx, from one second to another, both included.
    pub fn between(&self, from: u64, until: u64) -> (u64, u64) {
        if from > until {
            return (0, 0);
        }
        self.by_second.range(from..=until).fold((0, 0), |sum, (_, one)| (sum.0 + one.0, sum.1 + one.1))
    }
}

/// Seconds since 1970.
pub fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_the_time_in_which_they_came() {
        let mut answers = Answers::default();
        for (second, status) in [(10, 200), (10, 503), (11, 101), (12, 500), (12, 404)] {
            answers.count(second, status);
        }
        assert_eq!(answers.between(10, 12), (5, 2));
        assert_eq!(answers.between(11, 11), (1, 0));
        assert_eq!((answers.between(13, 20), answers.between(12, 10)), ((0, 0), (0, 0)));
        answers.count(10 + KEPT + 1, 200);
        assert_eq!(answers.between(0, 10), (0, 0), "old counts are dropped");
    }
}
