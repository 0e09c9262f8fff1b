//! What Redis remembers of sessions, so that most requests do not ask PostgreSQL for theirs.
//!
//! PostgreSQL has the truth. Redis gets so much time and no more: without it a request is slower, and nothing else.

use std::time::{Duration, Instant};

use redis::aio::ConnectionManager;
use redis::{Pipeline, Value};
use uuid::Uuid;

use super::Identity;
use crate::actor::Role;
use crate::breaker::Breaker;
use crate::request::rules::Words as _;

/// What Redis may take of a request's time.
const BUDGET: Duration = Duration::from_millis(50);
/// How long what PostgreSQL said is believed. A session that ends while Redis is away is gone after this time at last.
const LIFETIME: Duration = Duration::from_mins(1);
/// How long an ended session is remembered: longer than anybody can still be about to store what was true before.
const ENDED_LIFETIME: Duration = Duration::from_mins(2);
const ENDED: &str = "ended";

/// What Redis knows of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Who has it.
    Live(Identity),
    /// It has ended.
    Ended,
    /// It does not know it, or did not answer in time.
    Miss,
}

/// Sessions in Redis.
pub struct SessionCache {
    redis: ConnectionManager,
    breaker: Breaker,
}

impl std::fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionCache")
    }
}

impl SessionCache {
    /// On a connection.
    pub fn new(redis: ConnectionManager) -> Self {
        Self { redis, breaker: Breaker::new("sessions are asked of PostgreSQL") }
    }

    /// What is known of a session.
    pub async fn find(&self, session: Uuid) -> Known {
        let mut pipeline = redis::pipe();
        pipeline.get(key(session));
        let Some(answers) = self.ask(&pipeline).await else { return Known::Miss };
        match answers.first() {
            Some(Value::BulkString(text)) if text == ENDED.as_bytes() => Known::Ended,
            Some(Value::BulkString(text)) => {
                std::str::from_utf8(text).ok().and_then(|text| parse(text, session)).map_or(Known::Miss, Known::Live)
            }
            _ => Known::Miss,
        }
    }

    /// Remembers who has a session, unless something newer is known of it.
    pub async fn remember(&self, identity: Identity) {
        let mut pipeline = redis::pipe();
        let seconds = LIFETIME.as_secs();
        pipeline.cmd("SET").arg(key(identity.session)).arg(text(&identity)).arg("NX").arg("EX").arg(seconds);
        self.ask(&pipeline).await;
    }

    /// Remembers that sessions have ended. It is retried once, since whoever ended them expects it to be so.
    pub async fn end(&self, sessions: &[Uuid]) {
        if sessions.is_empty() {
            return;
        }
        let mut pipeline = redis::pipe();
        for session in sessions {
            pipeline.set_ex(key(*session), ENDED, ENDED_LIFETIME.as_secs());
        }
        if self.ask(&pipeline).await.is_none() && self.ask_now(&pipeline).await.is_none() {
            tracing::warn!(
                sessions = sessions.len(),
                "Redis was not told that sessions ended; it forgets them within a minute"
            );
        }
    }

    async fn ask(&self, pipeline: &Pipeline) -> Option<Vec<Value>> {
        if self.breaker.may_ask(Instant::now()) { self.ask_now(pipeline).await } else { None }
    }

    async fn ask_now(&self, pipeline: &Pipeline) -> Option<Vec<Value>> {
        let mut redis = self.redis.clone();
        match tokio::time::timeout(BUDGET, pipeline.query_async(&mut redis)).await {
            Ok(Ok(answers)) => {
                self.breaker.answered();
                return Some(answers);
            }
            Ok(Err(error)) => self.breaker.failed(Instant::now(), &error.to_string()),
            Err(_) => self.breaker.failed(Instant::now(), &format!("no answer within {} ms", BUDGET.as_millis())),
        }
        None
    }
}

fn key(session: Uuid) -> String {
    format!("session:{session}")
}

fn text(identity: &Identity) -> String {
    format!("{} {} {}", identity.user, identity.role.word(), u8::from(identity.temporary))
}

fn parse(text: &str, session: Uuid) -> Option<Identity> {
    let mut parts = text.split(' ');
    let user = Uuid::try_parse(parts.next()?).ok()?;
    let role = Role::from_word(parts.next()?)?;
    let temporary = parts.next()? == "1";
    Some(Identity { user, session, role, temporary })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_known() {
        for role in [Role::Researcher, Role::Triager, Role::Admin] {
            for temporary in [false, true] {
                let identity = Identity { user: Uuid::from_u128(1), session: Uuid::from_u128(2), role, temporary };
                assert_eq!(parse(&text(&identity), identity.session), Some(identity));
            }
        }
        for broken in ["", "x", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001 king 0"] {
            assert_eq!(parse(broken, Uuid::nil()), None, "{broken}");
        }
    }
}
