//! Signing in, and going on with a session.

use super::queries::{self, Account};
use super::types::SignIn;
use super::{SHORTEST_FAILURE, at_least};
use crate::app::App;
use crate::password::Verdict;
use crate::problem::{Kind, Problem};
use crate::rate_limit::{Class, Key};
use crate::session::{Grant, Refreshed, Token, queries as sessions};
use crate::users::UserStatus;

/// Where somebody signs in from.
pub struct Device {
    /// What the client calls itself, as far as it is kept.
    pub user_agent: String,
    /// Its address.
    pub address: String,
}

/// Begins a session for whoever knows the password.
pub async fn sign_in(app: &App, given: SignIn, device: &Device) -> Result<Grant, Problem> {
    app.rate_limit.check(Class::Account, Key::of_name(&given.email)).await?;
    let begun = tokio::time::Instant::now();
    let outcome = begin(app, given, device).await;
    if outcome.is_err() {
        tokio::time::sleep_until(begun + SHORTEST_FAILURE).await;
    }
    outcome
}

async fn begin(app: &App, given: SignIn, device: &Device) -> Result<Grant, Problem> {
    let account = queries::by_email(&app.database, &given.email).await?;
    let hash = account.as_ref().and_then(|account| account.password_hash.clone());
    let verdict = app.passwords.verify(given.password.0.clone(), hash).await?;
    let account = account.filter(|_| verdict != Verdict::Wrong).ok_or_else(wrong)?;
    if account.status == UserStatus::Disabled {
        return Err(Kind::AccountDisabled.into());
    }
    let mut connection = app.database.acquire().await?;
    let (hasher, hash) = (app.sessions.hasher(), account.password_hash.as_deref());
    let begun = sessions::begin(&mut connection, hasher, account.id, hash, &device.user_agent, &device.address).await;
    let (session, refresh) = begun?.ok_or_else(wrong)?;
    drop(connection);
    if verdict == Verdict::NeedsRehash {
        replace_hash(app, &account, given.password.0).await;
    }
    app.sessions.grant(account.id, session, &refresh)
}

/// The sign-in was right; where this fails, the next one does it.
async fn replace_hash(app: &App, account: &Account, password: String) {
    let (Some(old), Ok(new)) = (&account.password_hash, app.passwords.hash(password).await) else { return };
    if let Err(error) = queries::rehash(&app.database, account.id, old, &new).await {
        tracing::warn!("the hash of a password was not replaced: {error}");
    }
}

fn wrong() -> Problem {
    Problem::from(Kind::InvalidCredentials).detail("There is no account with this address and this password.")
}

/// The next tokens of a session.
pub async fn refresh(app: &App, token: &str) -> Result<Grant, Problem> {
    let token = Token::parse(token).ok_or_else(unknown)?;
    match sessions::refresh(&app.database, app.sessions.hasher(), &token).await? {
        Refreshed::Live(identity, next) => app.sessions.grant(identity.user, identity.session, &next),
        Refreshed::Reused(session) => {
            tracing::warn!(%session, "a refresh token came for the second time; its session has ended");
            app.sessions.ended(&[session]).await;
            Err(unknown())
        }
        Refreshed::Unknown => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::from(Kind::InvalidCredentials).detail("The refresh token is not good, or not any more; sign in again.")
}

/// Asks for the password of whoever is signed in; what is given back is its hash.
pub async fn confirm_password(app: &App, user: uuid::Uuid, password: String) -> Result<Option<String>, Problem> {
    let work = async {
        let account = queries::by_id(&app.database, user).await?;
        let hash = account.and_then(|account| account.password_hash);
        let verdict = app.passwords.verify(password, hash.clone()).await?;
        Ok(hash.filter(|_| verdict != Verdict::Wrong))
    };
    at_least(SHORTEST_FAILURE, work).await
}
