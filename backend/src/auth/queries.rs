//! Accounts in the database, as far as signing in is concerned.

use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::session::{EndedBy, Token, TokenHasher, queries as sessions};
use crate::users::UserStatus;

/// How many tokens of one purpose stay good besides the newest: the mail that somebody opens may be an earlier one.
const KEPT: i64 = 4;

/// What signing in needs to know of an account.
#[derive(Debug)]
pub struct Account {
    /// Whose it is.
    pub id: Uuid,
    /// The hash of its password.
    pub password_hash: Option<String>,
    /// Whether mail is known to arrive.
    pub email_confirmed: bool,
    /// Whether it can be used.
    pub status: UserStatus,
}

/// What a mail's token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub enum Purpose {
    /// To show that mail arrives; good for a day.
    ConfirmEmail,
    /// To set a password without knowing the one before; good for an hour.
    ResetPassword,
}

impl Purpose {
    const fn hours(self) -> i32 {
        match self {
            Self::ConfirmEmail => 24,
            Self::ResetPassword => 1,
        }
    }
}

/// The account with that address.
pub async fn by_email(database: impl PgExecutor<'_>, email: &str) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"SELECT id, password_hash, email_confirmed_at IS NOT NULL AS "email_confirmed!", status AS "status: UserStatus"
           FROM users WHERE email = $1"#,
        email,
    )
    .fetch_optional(database)
    .await
}

/// The account with that id.
pub async fn by_id(database: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"SELECT id, password_hash, email_confirmed_at IS NOT NULL AS "email_confirmed!", status AS "status: UserStatus"
           FROM users WHERE id = $1"#,
        id,
    )
    .fetch_optional(database)
    .await
}

/// Replaces the hash of the same password by one of today's kind, unless the password was changed meanwhile.
pub async fn rehash(database: impl PgExecutor<'_>, id: Uuid, old: &str, new: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2", id, old, new)
        .execute(database)
        .await?;
    Ok(())
}

/// Whether a handle belongs to an account; one with this address that was never confirmed does not count, since whoever
/// signs up again may be its owner.
pub async fn is_handle_taken(database: impl PgExecutor<'_>, handle: &str, email: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM users
               WHERE handle = $1 AND (email IS DISTINCT FROM $2 OR email_confirmed_at IS NOT NULL)
           ) AS "exists!""#,
        handle,
        email,
    )
    .fetch_one(database)
    .await
}

/// A new token to be sent by mail. To confirm an address, it brings the password that was typed when it was asked for.
pub async fn mail_token(
    database: &PgPool,
    hasher: &TokenHasher,
    user: Uuid,
    purpose: Purpose,
    password_hash: Option<&str>,
) -> Result<Token, sqlx::Error> {
    let token = Token::random();
    sqlx::query!(
        "WITH old AS (
             DELETE FROM mail_tokens
             WHERE hash IN (SELECT hash FROM mail_tokens WHERE user_id = $2 AND purpose = $3
                            ORDER BY created_at DESC OFFSET $6)
         )
         INSERT INTO mail_tokens (hash, user_id, purpose, password_hash, expires_at)
         VALUES ($1, $2, $3, $4, now() + make_interval(hours => $5))",
        hasher.hash(&token),
        user,
        purpose as Purpose,
        password_hash,
        purpose.hours(),
        KEPT,
    )
    .execute(database)
    .await?;
    Ok(token)
}

/// Confirms the address that a token was sent to; `false` where the token is good no more.
pub async fn confirm_email(database: &PgPool, hasher: &TokenHasher, token: &Token) -> Result<bool, sqlx::Error> {
    let confirmed = sqlx::query!(
        "WITH token AS (
             DELETE FROM mail_tokens WHERE hash = ANY ($1) AND purpose = 'confirm-email' AND expires_at > now()
             RETURNING user_id, password_hash
         )
         UPDATE users
         SET email_confirmed_at = now(), password_hash = coalesce(token.password_hash, users.password_hash),
             updated_at = now()
         FROM token WHERE id = token.user_id AND email_confirmed_at IS NULL",
        &hasher.hashes(token),
    )
    .execute(database)
    .await?;
    Ok(confirmed.rows_affected() > 0)
}

/// Sets the password of the account that a token was sent to, confirms its address, and ends all of its sessions, which are
/// given back; none where the token is good no more.
pub async fn reset_password(
    database: &PgPool,
    hasher: &TokenHasher,
    token: &Token,
    password_hash: &str,
) -> Result<Option<Vec<Uuid>>, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let user = sqlx::query_scalar!(
        "WITH token AS (
             DELETE FROM mail_tokens WHERE hash = ANY ($1) AND purpose = 'reset-password' AND expires_at > now()
             RETURNING user_id
         )
         UPDATE users
         SET password_hash = $2, email_confirmed_at = coalesce(email_confirmed_at, now()), updated_at = now()
         FROM token WHERE id = token.user_id
         RETURNING id",
        &hasher.hashes(token),
        password_hash,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(user) = user else { return Ok(None) };
    let ended = sessions::end_all(&mut *transaction, user, None, EndedBy::Password).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}

/// Changes a password, unless it was changed meanwhile, and ends all other sessions, which are given back.
pub async fn change_password(
    database: &PgPool,
    user: Uuid,
    session: Uuid,
    old_hash: &str,
    new_hash: &str,
) -> Result<Option<Vec<Uuid>>, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let changed = sqlx::query!(
        "UPDATE users SET password_hash = $3, updated_at = now() WHERE id = $1 AND password_hash = $2",
        user,
        old_hash,
        new_hash,
    )
    .execute(&mut *transaction)
    .await?;
    if changed.rows_affected() == 0 {
        return Ok(None);
    }
    let ended = sessions::end_all(&mut *transaction, user, Some(session), EndedBy::Password).await?;
    // Whoever could read the mail must not be able to change it back.
    sqlx::query!("DELETE FROM mail_tokens WHERE user_id = $1 AND purpose = 'reset-password'", user)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Some(ended))
}
