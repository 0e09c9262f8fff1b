//! Sessions: who makes a request, by the token that it shows.
//!
//! A sign-in begins a session. It gives an access token, which is shown with every request, and a refresh token, which
//! brings the next pair of both. PostgreSQL has the truth of what is live; Redis remembers it for a minute.

mod access;
mod cache;
mod opaque;
pub mod queries;

use std::sync::Arc;

use redis::aio::ConnectionManager;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use self::access::AccessTokens;
pub use self::access::{Claims, LIFETIME as ACCESS_LIFETIME, Refused};
use self::cache::{Known, SessionCache};
pub use self::opaque::{Token, TokenHasher};
pub use self::queries::{EndedBy, Refreshed, SessionSummary};
use crate::actor::Role;
use crate::config::SigningSettings;
use crate::problem::Problem;

/// Who has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Whose it is.
    pub user: Uuid,
    /// Which one.
    pub session: Uuid,
    /// What the user is.
    pub role: Role,
    /// Whether an automatic check made the user.
    pub temporary: bool,
}

/// The sessions of the service; clones share them.
#[derive(Debug, Clone)]
pub struct Sessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: PgPool,
    cache: SessionCache,
    access: AccessTokens,
    hasher: TokenHasher,
}

/// What a client gets when it signs in, and with each refresh.
#[derive(Debug, serde::Serialize)]
pub struct Grant {
    /// To be sent as `Authorization: Bearer …`.
    pub access_token: String,
    /// Always `Bearer` (RFC 6750).
    pub token_type: &'static str,
    /// For how many seconds the access token is good.
    pub expires_in: u64,
    /// Brings the next grant, once.
    pub refresh_token: String,
    /// The session that both belong to.
    pub session_id: Uuid,
}

impl Sessions {
    /// On the connections that requests use.
    pub fn new(settings: &SigningSettings, database: PgPool, redis: ConnectionManager) -> Self {
        let (access, hasher) = (AccessTokens::new(settings), TokenHasher::new(settings));
        Self(Arc::new(Shared { database, cache: SessionCache::new(redis), access, hasher }))
    }

    /// What makes the hashes of tokens.
    pub fn hasher(&self) -> &TokenHasher {
        &self.0.hasher
    }

    /// What an access token says, without a look at its session.
    pub fn check(&self, token: &str) -> Result<Claims, Refused> {
        self.0.access.check(token)
    }

    /// The user of an access token; none if its session has ended.
    pub async fn identify(&self, claims: Claims) -> Result<Option<Identity>, Problem> {
        match self.0.cache.find(claims.session).await {
            Known::Live(identity) => return Ok(Some(identity).filter(|identity| identity.user == claims.user)),
            Known::Ended => return Ok(None),
            Known::Miss => {}
        }
        let found = queries::find(&self.0.database, claims.session).await?;
        if let Some(identity) = found {
            self.0.cache.remember(identity).await;
        }
        Ok(found.filter(|identity| identity.user == claims.user))
    }

    /// The tokens for a session.
    pub fn grant(&self, user: Uuid, session: Uuid, refresh: &Token) -> Result<Grant, Problem> {
        let token = self.0.access.issue(Claims { user, session }, OffsetDateTime::now_utc());
        Ok(Grant {
            access_token: token.map_err(|error| Problem::internal(&error))?,
            token_type: "Bearer",
            expires_in: ACCESS_LIFETIME.as_secs(),
            refresh_token: refresh.text(),
            session_id: session,
        })
    }

    /// Tells every replica that sessions have ended, once the database knows.
    pub async fn ended(&self, sessions: &[Uuid]) {
        self.0.cache.end(sessions).await;
    }
}
