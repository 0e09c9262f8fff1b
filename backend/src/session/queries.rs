//! Sessions in the database.

use sqlx::{PgConnection, PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Identity;
use super::opaque::{Token, TokenHasher};
use crate::actor::Role;

/// A session as its owner sees it.
#[derive(Debug, serde::Serialize)]
pub struct SessionSummary {
    /// Its id.
    pub id: Uuid,
    /// What the client called itself when it signed in.
    pub user_agent: String,
    /// From where.
    pub address: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last got a new access token.
    #[serde(with = "time::serde::rfc3339")]
    pub last_used_at: OffsetDateTime,
    /// When it ends if it is not used before.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Why a session ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum EndedBy {
    /// Its owner said so.
    SignOut,
    /// The password was changed.
    Password,
    /// A refresh token came for the second time.
    Reuse,
    /// An administrator disabled the account.
    Admin,
}

/// What a refresh came to.
pub enum Refreshed {
    /// The session goes on, with this token.
    Live(Identity, Token),
    /// The token was used before, so that this session was ended.
    Reused(Uuid),
    /// There is no such token, or its session is over.
    Unknown,
}

/// Who has a session that is live.
pub async fn find(database: &PgPool, session: Uuid) -> Result<Option<Identity>, sqlx::Error> {
    sqlx::query_as!(
        Identity,
        r#"SELECT s.id AS session, s.user_id AS "user", u.role AS "role: Role", u.temporary
           FROM sessions s JOIN users u ON u.id = s.user_id
           WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > now() AND u.status = 'active'"#,
        session,
    )
    .fetch_optional(database)
    .await
}

/// Begins a session, and gives back its id and its first refresh token; none where the user was disabled meanwhile, or the
/// password is no longer the one that was compared.
pub async fn begin(
    connection: &mut PgConnection,
    hasher: &TokenHasher,
    user: Uuid,
    password_hash: Option<&str>,
    user_agent: &str,
    address: &str,
) -> Result<Option<(Uuid, Token)>, sqlx::Error> {
    let (id, token) = (Uuid::now_v7(), Token::random());
    let begun = sqlx::query!(
        "WITH owner AS MATERIALIZED (
             SELECT id FROM users
             WHERE id = $2 AND status = 'active' AND password_hash IS NOT DISTINCT FROM coalesce($6, password_hash)
             FOR SHARE
         ), session AS (
             INSERT INTO sessions (id, user_id, user_agent, address, expires_at)
             SELECT $1, id, $3, $4, now() + interval '30 days' FROM owner
             RETURNING id
         )
         INSERT INTO refresh_tokens (hash, session_id) SELECT $5, id FROM session",
        id,
        user,
        user_agent,
        address,
        hasher.hash(&token),
        password_hash,
    )
    .execute(connection)
    .await?;
    Ok((begun.rows_affected() > 0).then_some((id, token)))
}

/// Takes a refresh token and gives out the next. Of two that come at once one is served, and the other one is a second use.
pub async fn refresh(database: &PgPool, hasher: &TokenHasher, given: &Token) -> Result<Refreshed, sqlx::Error> {
    let known_as = hasher.hashes(given);
    let mut transaction = database.begin().await?;
    let found = sqlx::query_as!(
        Identity,
        r#"UPDATE refresh_tokens t SET used_at = now()
           FROM sessions s JOIN users u ON u.id = s.user_id
           WHERE t.hash = ANY ($1) AND t.used_at IS NULL AND s.id = t.session_id AND s.ended_at IS NULL
                 AND s.expires_at > now() AND u.status = 'active'
           RETURNING s.id AS session, s.user_id AS "user", u.role AS "role: Role", u.temporary"#,
        &known_as,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(identity) = found else {
        let ended = sqlx::query_scalar!(
            "UPDATE sessions s SET ended_at = now(), ended_by = 'reuse' FROM refresh_tokens t
             WHERE t.hash = ANY ($1) AND t.used_at IS NOT NULL AND s.id = t.session_id AND s.ended_at IS NULL
             RETURNING s.id",
            &known_as,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        return Ok(ended.map_or(Refreshed::Unknown, Refreshed::Reused));
    };
    let next = Token::random();
    sqlx::query!(
        "WITH session AS (
             UPDATE sessions
             SET last_used_at = now(),
                 expires_at = least(now() + interval '30 days', created_at + interval '180 days')
             WHERE id = $1
         )
         INSERT INTO refresh_tokens (hash, session_id) VALUES ($2, $1)",
        identity.session,
        hasher.hash(&next),
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Refreshed::Live(identity, next))
}

/// A user's live sessions, newest first.
pub async fn list(database: impl PgExecutor<'_>, owner: &Identity) -> Result<Vec<SessionSummary>, sqlx::Error> {
    sqlx::query_as!(
        SessionSummary,
        r#"SELECT id, user_agent, address, created_at, last_used_at, expires_at, id = $2 AS "current!"
           FROM sessions
           WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()
           ORDER BY created_at DESC, id DESC LIMIT 100"#,
        owner.user,
        owner.session,
    )
    .fetch_all(database)
    .await
}

/// Ends one of a user's sessions; `false` where there is no such live session.
pub async fn end_one(
    database: impl PgExecutor<'_>,
    user: Uuid,
    session: Uuid,
    by: EndedBy,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!(
        "UPDATE sessions SET ended_at = now(), ended_by = $3
         WHERE id = $2 AND user_id = $1 AND ended_at IS NULL AND expires_at > now()",
        user,
        session,
        by as EndedBy,
    )
    .execute(database)
    .await?;
    Ok(ended.rows_affected() > 0)
}

/// Ends all of a user's sessions but the one that is named, and gives back which.
pub async fn end_all(
    database: impl PgExecutor<'_>,
    user: Uuid,
    but: Option<Uuid>,
    by: EndedBy,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE sessions SET ended_at = now(), ended_by = $3
         WHERE user_id = $1 AND ended_at IS NULL AND id IS DISTINCT FROM $2
         RETURNING id",
        user,
        but,
        by as EndedBy,
    )
    .fetch_all(database)
    .await
}
