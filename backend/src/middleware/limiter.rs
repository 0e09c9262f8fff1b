//! Whose limit a request counts against.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::HeaderMap;
use tracing::warn;
use uuid::Uuid;

use crate::rate_limit::{Class, Key, Question, RateLimit, Verdict};

/// Who sends a request, from its headers, which must prove it: whoever could name any user would have any number of limits.
pub type UserOf = Arc<dyn Fn(&HeaderMap) -> Option<Uuid> + Send + Sync>;

/// The rate limit, and how it knows users.
#[derive(Clone)]
pub struct Limiter {
    rate_limit: RateLimit,
    user_of: UserOf,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("rate_limit", &self.rate_limit).finish_non_exhaustive()
    }
}

impl Limiter {
    /// A limiter of users and addresses.
    pub fn new(rate_limit: RateLimit, user_of: UserOf) -> Self {
        Self { rate_limit, user_of }
    }

    /// The verdict on a request to a route, or what Redis has to be asked first.
    pub fn at_once(&self, route: &str, client: IpAddr, headers: &HeaderMap) -> Result<Verdict, Question> {
        let class = Class::of_route(route);
        // Guesses are counted by address, whoever the client says to be.
        let user = if class == Class::Default { (self.user_of)(headers) } else { None };
        self.rate_limit.at_once(class, user.map_or_else(|| Key::of_address(client), Key::of_user))
    }

    /// The verdict after Redis was asked.
    pub async fn ask(&self, question: Question) -> Verdict {
        self.rate_limit.ask(question).await
    }
}

/// Whether that was said.
static WARNED: AtomicBool = AtomicBool::new(false);

/// Says once what happens behind a proxy that is not trusted: what it says of its clients may be invented, so that they
/// all have its own address.
pub fn warn_of_proxies(headers: &HeaderMap) {
    if !WARNED.load(Ordering::Relaxed)
        && headers.contains_key("x-forwarded-for")
        && !WARNED.swap(true, Ordering::Relaxed)
    {
        warn!(
            "requests have X-Forwarded-For, and TRUST_PROXY is 0: if a proxy stands in front, all of its clients share \
             one rate limit"
        );
    }
}
