//! How many requests a client may send: counted in Redis for all processes together, and in this one while Redis is away.
//!
//! A window of a minute begins with a client's first request. A process takes a lease from Redis, a few requests at once,
//! and counts them down by itself, so that most requests ask nobody. What several processes hold of a client's leases is
//! lost to it at the end of a window: 1.3 % of the limit for each process.
//!
//! Redis has 50 ms to answer. When it does not, the process goes on with what the client had left, or with a limit of the
//! same size. It tells Redis of these requests afterwards. [`Breaker`] sees to it that a Redis that hangs is waited for by
//! one request a second.

mod class;
mod key;
mod windows;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderName, HeaderValue, header};
use redis::aio::ConnectionManager;

pub use self::class::{Class, PASSWORD_ROUTES};
pub use self::key::Key;
use self::windows::{Next, Subject, Unreported, WINDOW, Windows};
use crate::breaker::Breaker;
use crate::config::RateLimitSettings;
use crate::problem::{Kind, Problem};

/// How long a request waits for Redis.
const BUDGET: Duration = Duration::from_millis(50);
/// The part of a limit that is a lease.
const LEASES: u32 = 75;
/// The largest lease.
const LARGEST: u32 = 1000;

/// The headers of draft-ietf-httpapi-ratelimit-headers-10.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// The limit; clones share it.
#[derive(Clone)]
pub struct RateLimit(Arc<Shared>);

struct Shared {
    settings: RateLimitSettings,
    redis: ConnectionManager,
    breaker: Breaker,
    windows: Windows,
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// What a client's request of a class gets.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    class: Class,
    limit: u32,
    is_allowed: bool,
    left: u32,
    /// Seconds until the window ends, at least 1.
    seconds: u64,
}

/// A request that Redis has to be asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    subject: Subject,
    unreported: Unreported,
}

/// What Redis answers: how many requests there were in the window, and how long that still lasts.
type Answer = (u64, i64);

impl RateLimit {
    /// No client has asked for anything yet, as far as this process knows.
    pub fn new(settings: RateLimitSettings, redis: ConnectionManager) -> Self {
        Self(Arc::new(Shared {
            settings,
            redis,
            breaker: Breaker::new("the rate limit is that of each process alone"),
            windows: Windows::new(),
        }))
    }

    /// Lets one more request of a class through, or refuses it.
    pub async fn check(&self, class: Class, key: Key) -> Result<(), Problem> {
        let verdict = match self.at_once(class, key) {
            Ok(verdict) => verdict,
            Err(question) => self.ask(question).await,
        };
        if verdict.is_allowed() {
            return Ok(());
        }
        let told = verdict.headers().into_iter();
        Err(told.fold(verdict.refusal(), |problem, (name, value)| problem.header(name, value)))
    }

    /// The verdict, where no question is necessary.
    pub fn at_once(&self, class: Class, key: Key) -> Result<Verdict, Question> {
        let (subject, now) = ((class, key), Instant::now());
        let verdict = match self.0.windows.take(subject, now, || self.0.breaker.may_ask(now)) {
            Next::Decided(verdict) => verdict,
            Next::Ask(unreported) => return Err(Question { subject, unreported }),
            Next::Alone => self.0.windows.alone(subject, now, class.limit(&self.0.settings), Unreported(0)),
        };
        Ok(self.verdict(class, verdict, now))
    }

    /// The verdict after Redis was asked, or did not answer.
    pub async fn ask(&self, Question { subject, unreported }: Question) -> Verdict {
        let (windows, class) = (&self.0.windows, subject.0);
        let limit = class.limit(&self.0.settings);
        let lease = (limit / LEASES).clamp(1, LARGEST);
        let answer = self.lease(subject, lease.saturating_add(unreported.0)).await;
        let now = Instant::now();
        let verdict = match answer {
            None => windows.alone(subject, now, limit, unreported),
            Some((count, milliseconds)) => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                let granted = lease.saturating_sub(count.saturating_sub(limit));
                let ends = now + Duration::from_millis(u64::try_from(milliseconds).unwrap_or(1)).min(WINDOW);
                windows.granted(subject, now, ends, granted, limit.saturating_sub(count))
            }
        };
        self.verdict(class, verdict, now)
    }

    /// Takes so many from what Redis has, in one transaction, so that no count is ever without an end.
    async fn lease(&self, (class, key): Subject, count: u32) -> Option<Answer> {
        let name = key.name(class.name());
        let mut question = redis::pipe();
        question.atomic().incr(&name, count);
        question.cmd("PEXPIRE").arg(&name).arg(WINDOW.as_millis().to_string()).arg("NX").ignore();
        question.cmd("PTTL").arg(&name);
        let outcome = tokio::time::timeout(BUDGET, async {
            let mut redis = self.0.redis.clone();
            match question.query_async::<Answer>(&mut redis).await {
                // The first question after Redis was restarted finds a broken connection, and has a new one made.
                Err(error) if error.is_io_error() => question.query_async(&mut redis).await,
                outcome => outcome,
            }
        });
        let outcome = outcome.await;
        let breaker = &self.0.breaker;
        match outcome {
            Ok(Ok(answer)) => {
                breaker.answered();
                return Some(answer);
            }
            Ok(Err(error)) => breaker.failed(Instant::now(), &error.to_string()),
            Err(_) => breaker.failed(Instant::now(), &format!("no answer within {} ms", BUDGET.as_millis())),
        }
        None
    }

    fn verdict(&self, class: Class, verdict: windows::Verdict, now: Instant) -> Verdict {
        let windows::Verdict { is_allowed, left, ends } = verdict;
        let seconds = u64::try_from(ends.saturating_duration_since(now).as_millis().div_ceil(1000)).unwrap_or(1);
        Verdict { class, limit: class.limit(&self.0.settings), is_allowed, left, seconds: seconds.max(1) }
    }
}

impl Verdict {
    /// Whether the request is let through.
    pub fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// The answer to a request that is not.
    pub fn refusal(&self) -> Problem {
        let detail = format!("There were more than {} requests within a minute.", self.limit);
        Problem::from(Kind::TooManyRequests).detail(detail).header(header::RETRY_AFTER, self.seconds.into())
    }

    /// What tells the client what it may still do.
    pub fn headers(&self) -> [(HeaderName, HeaderValue); 2] {
        let name = self.class.name();
        let policy = format!("\"{name}\";q={};w={}", self.limit, WINDOW.as_secs());
        let standing = format!("\"{name}\";r={};t={}", self.left, self.seconds);
        [(POLICY, policy), (STANDING, standing)]
            .map(|(name, text)| (name, HeaderValue::try_from(text).expect("words and digits can stand in a header")))
    }
}
