//! What this process knows of each client: how many requests it may let through without asking Redis.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::class::Class;
use super::key::Key;

/// How long a window is.
pub const WINDOW: Duration = Duration::from_mins(1);

/// The parts that are locked apart.
const SHARDS: usize = 16;
/// How many clients one part knows of at most, twice: the clients of now, and those of before.
const MOST: usize = 2048;

/// Whose requests of which class.
pub type Subject = (Class, Key);

/// What is known of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    ends: Instant,
    /// How many requests this process may let through.
    left: u32,
    /// How many there were beyond that when Redis was last asked, for all processes.
    shared: u32,
    /// How many this process let through that Redis does not know of; none while both agree.
    unreported: Option<u32>,
}

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is let through.
    pub is_allowed: bool,
    /// How many more will be.
    pub left: u32,
    /// When the window ends.
    pub ends: Instant,
}

/// How many requests were let through that Redis has to be told of with the next question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreported(pub u32);

/// What is to be done about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Its verdict is known here.
    Decided(Verdict),
    /// Redis has to be asked.
    Ask(Unreported),
    /// Redis would have to be asked, and must not be.
    Alone,
}

impl Window {
    fn take(&mut self) -> Verdict {
        let is_allowed = self.left > 0;
        if is_allowed {
            self.left -= 1;
            if let Some(count) = &mut self.unreported {
                *count = count.saturating_add(1);
            }
        }
        Verdict { is_allowed, left: self.left.saturating_add(self.shared), ends: self.ends }
    }
}

/// Clients in two generations: one that was not heard of for a whole generation is forgotten. No client is forgotten within
/// its window, unless there are too many.
#[derive(Debug)]
struct Shard {
    now: HashMap<Subject, Window>,
    before: HashMap<Subject, Window>,
    since: Instant,
}

impl Shard {
    /// The window of a client, if it has not ended.
    fn live(&mut self, subject: Subject, now: Instant) -> Option<&mut Window> {
        self.turn(now);
        if let Some(window) = self.before.remove(&subject) {
            self.now.insert(subject, window);
        }
        self.now.get_mut(&subject).filter(|window| window.ends > now)
    }

    fn insert(&mut self, subject: Subject, window: Window, now: Instant) -> &mut Window {
        self.turn(now);
        self.now.entry(subject).insert_entry(window).into_mut()
    }

    fn turn(&mut self, now: Instant) {
        if self.now.len() >= MOST || now.saturating_duration_since(self.since) >= WINDOW {
            self.before = std::mem::take(&mut self.now);
            self.since = now;
        }
    }
}

/// The windows of all clients.
#[derive(Debug)]
pub struct Windows {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

impl Windows {
    pub fn new() -> Self {
        let since = Instant::now();
        let shard = |_| Mutex::new(Shard { now: HashMap::new(), before: HashMap::new(), since });
        Self { shards: std::array::from_fn(shard), hasher: RandomState::new() }
    }

    fn shard<T>(&self, subject: Subject, f: impl FnOnce(&mut Shard) -> T) -> T {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of it will do")]
        let index = self.hasher.hash_one(subject) as usize % SHARDS;
        f(&mut self.shards[index].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is to be done about a request. Whoever is told to ask has had the permission of `may_ask`.
    pub fn take(&self, subject: Subject, now: Instant, may_ask: impl Fn() -> bool) -> Next {
        let ask = |may_ask: bool| if may_ask { Next::Ask(Unreported(0)) } else { Next::Alone };
        self.shard(subject, |shard| {
            let Some(window) = shard.live(subject, now) else { return ask(may_ask()) };
            match &mut window.unreported {
                Some(count) if may_ask() => Next::Ask(Unreported(std::mem::take(count))),
                None if window.left == 0 && window.shared > 0 => ask(may_ask()),
                _ => Next::Decided(window.take()),
            }
        })
    }

    /// The verdict after Redis has answered: it lets this process let `granted` requests through, has `shared` more, and
    /// knows when the window ends.
    pub fn granted(&self, subject: Subject, now: Instant, ends: Instant, granted: u32, shared: u32) -> Verdict {
        self.shard(subject, |shard| {
            // What was counted here alone gives way to what Redis says.
            let known = shard.live(subject, now).map(|window| (window.left, window.unreported));
            let (kept, unreported) = known.map_or((0, None), |(left, unreported)| match unreported {
                None => (left, None),
                Some(count) => (0, Some(count).filter(|count| *count > 0)),
            });
            let window = Window { ends, left: kept.saturating_add(granted), shared, unreported };
            let window = shard.insert(subject, window, now);
            window.take()
        })
    }

    /// The verdict while Redis does not answer: what it would have had left in this window, this process has.
    pub fn alone(&self, subject: Subject, now: Instant, limit: u32, Unreported(told): Unreported) -> Verdict {
        self.shard(subject, |shard| {
            let known = shard.live(subject, now).map(|window| Window {
                ends: window.ends,
                left: window.left.saturating_add(window.shared).min(limit),
                shared: 0,
                unreported: Some(window.unreported.unwrap_or(0).saturating_add(told)),
            });
            let new = Window { ends: now + WINDOW, left: limit, shared: 0, unreported: Some(told) };
            let window = shard.insert(subject, known.unwrap_or(new), now);
            window.take()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Subject = (Class::Default, Key::of_user(uuid::Uuid::from_u128(1)));
    const SECOND: Duration = Duration::from_secs(1);

    /// As many requests as are let through before something else is to be done.
    fn let_through(windows: &Windows, now: Instant, may_ask: bool) -> (u32, Next) {
        let mut count = 0;
        loop {
            match windows.take(ADA, now, || may_ask) {
                Next::Decided(Verdict { is_allowed: true, .. }) => count += 1,
                next => return (count, next),
            }
        }
    }

    fn refused(left: u32, ends: Instant) -> Next {
        Next::Decided(Verdict { is_allowed: false, left, ends })
    }

    #[test]
    fn a_lease_is_counted_down_and_then_redis_is_asked_as_long_as_it_has_more() {
        let (windows, now) = (Windows::new(), Instant::now());
        let ends = now + WINDOW;
        assert_eq!(windows.take(ADA, now, || true), Next::Ask(Unreported(0)));
        assert_eq!(windows.granted(ADA, now, ends, 8, 12), Verdict { is_allowed: true, left: 19, ends });
        assert_eq!(let_through(&windows, now, true), (7, Next::Ask(Unreported(0))));
        assert_eq!(windows.granted(ADA, now, ends, 4, 0), Verdict { is_allowed: true, left: 3, ends });
        assert_eq!(let_through(&windows, now, true), (3, refused(0, ends)));
        // Nobody is asked about a client that has had it all, until the window ends.
        assert_eq!(windows.take(ADA, now + SECOND * 59, || true), refused(0, ends));
        assert_eq!(windows.take(ADA, ends, || true), Next::Ask(Unreported(0)));
    }

    #[test]
    fn two_leases_at_once_are_both_kept() {
        let (windows, now) = (Windows::new(), Instant::now());
        windows.granted(ADA, now, now + WINDOW, 8, 12);
        windows.granted(ADA, now, now + WINDOW, 8, 4);
        assert_eq!(let_through(&windows, now, true).0, 14);
    }

    #[test]
    fn a_refusal_of_redis_is_one_here() {
        let (windows, now) = (Windows::new(), Instant::now());
        let verdict = windows.granted(ADA, now, now + SECOND, 0, 0);
        assert_eq!(verdict, Verdict { is_allowed: false, left: 0, ends: now + SECOND });
    }

    #[test]
    fn without_redis_a_client_has_what_it_had_left_or_a_limit_of_the_same_size() {
        let (windows, now) = (Windows::new(), Instant::now());
        assert_eq!(windows.take(ADA, now, || false), Next::Alone);
        assert!(windows.alone(ADA, now, 20, Unreported(0)).is_allowed);
        assert_eq!(let_through(&windows, now, false), (19, refused(0, now + WINDOW)));

        let windows = Windows::new();
        windows.granted(ADA, now, now + SECOND, 8, 4);
        assert_eq!(let_through(&windows, now, false), (7, Next::Alone));
        windows.alone(ADA, now, 20, Unreported(0));
        assert_eq!(let_through(&windows, now, false), (3, refused(0, now + SECOND)), "the window is that of before");
    }

    #[test]
    fn redis_is_told_what_was_let_through_without_it_once_and_before_anything_else() {
        let (windows, now) = (Windows::new(), Instant::now());
        windows.alone(ADA, now, 20, Unreported(0));
        assert_eq!(let_through(&windows, now, false).0, 19);
        assert_eq!(windows.take(ADA, now, || true), Next::Ask(Unreported(20)));
        assert_eq!(windows.take(ADA, now, || true), Next::Ask(Unreported(0)), "another one does not tell it again");
        // It does not answer after all: nothing is forgotten, and nothing is given twice.
        assert!(!windows.alone(ADA, now, 20, Unreported(20)).is_allowed);
        assert_eq!(windows.take(ADA, now, || true), Next::Ask(Unreported(20)));
        let ends = now + SECOND;
        assert!(windows.granted(ADA, now, ends, 3, 0).is_allowed);
        assert_eq!(let_through(&windows, now, true), (2, refused(0, ends)));
    }

    #[test]
    fn clients_that_are_gone_are_forgotten_and_there_are_never_too_many() {
        let (windows, now) = (Windows::new(), Instant::now());
        let known = || {
            windows
                .shards
                .iter()
                .map(|shard| shard.lock().unwrap())
                .map(|s| s.now.len() + s.before.len())
                .sum::<usize>()
        };
        let visit = |number: u128, now: Instant| {
            let subject = (Class::Default, Key::of_user(uuid::Uuid::from_u128(number)));
            windows.granted(subject, now, now + WINDOW, 8, 8);
        };
        (0..200_000).for_each(|number| visit(number, now));
        assert!((SHARDS * MOST..=2 * SHARDS * MOST).contains(&known()), "{}", known());
        // Whoever comes again and again is kept, whatever else comes.
        windows.granted(ADA, now, now + WINDOW, 8, 0);
        for round in 1..7_u128 {
            assert!(matches!(windows.take(ADA, now, || true), Next::Decided(_)), "{round}");
            (0..10_000).for_each(|number| visit(round << 32 | number, now));
        }
        for minutes in 1..=2 {
            (0..1_000).for_each(|number| visit(number, now + WINDOW * minutes));
        }
        assert!(known() <= 1_000, "{}", known());
    }
}
