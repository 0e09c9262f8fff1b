//! Accounts in the database, as far as signing in is concerned.

use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::session::{EndedBy, Token, TokenHasher, queries as sessions};
use crate::users::UserStatus;

/// How many sign-ups with one address may wait for an answer.
const MOST_SIGN_UPS: i64 = 20;
/// How many mails to set one password may do so.
const MOST_RESETS: i64 = 5;

/// What signing in needs to know of an account.
#[derive(Debug)]
pub struct Account {
    /// Whose it is.
    pub id: Uuid,
    /// The hash of its password.
    pub password_hash: Option<String>,
    /// Whether it can be used.
    pub status: UserStatus,
}

/// The account with that address.
pub async fn by_email(database: impl PgExecutor<'_>, email: &str) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"SELECT id, password_hash, status AS "status: UserStatus" FROM users WHERE email = $1"#,
        email,
    )
    .fetch_optional(database)
    .await
}

/// The account with that id.
pub async fn by_id(database: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"SELECT id, password_hash, status AS "status: UserStatus" FROM users WHERE id = $1"#,
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

/// Whether a handle belongs to an account.
pub async fn is_handle_taken(database: impl PgExecutor<'_>, handle: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM users WHERE handle = $1) AS "exists!""#, handle)
        .fetch_one(database)
        .await
}

/// Notes what somebody typed who signs up, and gives back the token for the mail; none while so many for this address
/// wait for an answer that one more would only fill a mailbox.
pub async fn begin_sign_up(
    database: impl PgExecutor<'_>,
    hasher: &TokenHasher,
    email: &str,
    handle: &str,
    password_hash: &str,
) -> Result<Option<Token>, sqlx::Error> {
    let token = Token::random();
    let noted = sqlx::query!(
        "INSERT INTO sign_ups (hash, email, handle, password_hash, expires_at)
         SELECT $1, $2, $3, $4, now() + interval '1 day'
         WHERE (SELECT count(*) FROM sign_ups WHERE email = $2 AND expires_at > now()) < $5",
        hasher.hash(&token),
        email,
        handle,
        password_hash,
        MOST_SIGN_UPS,
    )
    .execute(database)
    .await?;
    Ok((noted.rows_affected() > 0).then_some(token))
}

/// What was typed at the sign-up that a token belongs to.
pub struct SignUp {
    /// The address that the token was sent to.
    pub email: String,
    /// The handle.
    pub handle: String,
    /// The hash of the password.
    pub password_hash: String,
}

/// The sign-up that a token belongs to, while it is good.
pub async fn find_sign_up(
    database: impl PgExecutor<'_>,
    hasher: &TokenHasher,
    token: &Token,
) -> Result<Option<SignUp>, sqlx::Error> {
    sqlx::query_as!(
        SignUp,
        "SELECT email, handle, password_hash FROM sign_ups WHERE hash = ANY ($1) AND expires_at > now()",
        &hasher.hashes(token),
    )
    .fetch_optional(database)
    .await
}

/// Forgets every sign-up with an address, once one of them was answered.
pub async fn forget_sign_ups(database: impl PgExecutor<'_>, email: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM sign_ups WHERE email = $1 OR expires_at < now()", email).execute(database).await?;
    Ok(())
}

/// A token that lets its reader set a password within an hour; none while several wait already: any of them will do.
pub async fn begin_reset(
    database: impl PgExecutor<'_>,
    hasher: &TokenHasher,
    user: Uuid,
) -> Result<Option<Token>, sqlx::Error> {
    let token = Token::random();
    let noted = sqlx::query!(
        "INSERT INTO password_resets (hash, user_id, expires_at)
         SELECT $1, $2, now() + interval '1 hour'
         WHERE (SELECT count(*) FROM password_resets WHERE user_id = $2 AND expires_at > now()) < $3",
        hasher.hash(&token),
        user,
        MOST_RESETS,
    )
    .execute(database)
    .await?;
    Ok((noted.rows_affected() > 0).then_some(token))
}

/// A password that was set by mail.
pub struct Reset {
    /// Whose it is.
    pub user: Uuid,
    /// The sessions that ended by it.
    pub ended: Vec<Uuid>,
}

/// Sets the password of the account that a token was sent to, and ends all of its sessions, which are
/// given back; none where the token is good no more.
pub async fn reset_password(
    database: &PgPool,
    hasher: &TokenHasher,
    token: &Token,
    password_hash: &str,
) -> Result<Option<Reset>, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let user = sqlx::query_scalar!(
        "WITH token AS (
             DELETE FROM password_resets WHERE hash = ANY ($1) AND expires_at > now()
             RETURNING user_id
         )
         UPDATE users
         SET password_hash = $2, updated_at = now()
         FROM token WHERE id = token.user_id
         RETURNING id",
        &hasher.hashes(token),
        password_hash,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(user) = user else { return Ok(None) };
    let ended = after_new_password(&mut transaction, user, None).await?;
    transaction.commit().await?;
    Ok(Some(Reset { user, ended }))
}

/// Ends all sessions but one, and makes the mails useless that were sent to set a password: whoever could read one must not
/// be able to change the password back.
async fn after_new_password(
    connection: &mut PgConnection,
    user: Uuid,
    but: Option<Uuid>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query!("DELETE FROM password_resets WHERE user_id = $1", user).execute(&mut *connection).await?;
    sessions::end_all(connection, user, but, EndedBy::Password).await
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
    let ended = after_new_password(&mut transaction, user, Some(session)).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}
