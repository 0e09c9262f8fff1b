//! Changing a password, with the one before or with a mail.

use uuid::Uuid;

use super::queries::{self, Reset};
use super::sign_in::confirm_password;
use super::sign_up::not_good;
use super::types::{ChangePassword, ConfirmReset};
use super::{SHORTEST, at_least, mails};
use crate::app::App;
use crate::problem::{Problem, Violation};
use crate::rate_limit::{Class, Key};
use crate::session::{Identity, Token};
use crate::users;
use crate::users::UserStatus;

/// Changes the password of whoever is signed in, and ends all other sessions.
pub async fn change(app: &App, identity: &Identity, given: ChangePassword) -> Result<(), Problem> {
    app.rate_limit.check(Class::Account, Key::of_user(identity.user)).await?;
    let wrong = || Problem::invalid(Violation::at("#/current_password", "is not the password of this account"));
    let old = confirm_password(app, identity.user, given.current.0).await?.ok_or_else(wrong)?;
    let new = app.passwords.hash(given.new.0).await?;
    let changed = queries::change_password(&app.database, identity.user, identity.session, &old, &new).await;
    let ended = changed?.ok_or_else(wrong)?;
    app.sessions.ended(&ended).await;
    tell_of_change(app, identity.user).await
}

async fn tell_of_change(app: &App, user: Uuid) -> Result<(), Problem> {
    let user = users::queries::find(&app.database, user).await?;
    if let Some(email) = user.email {
        app.mailer.send(mails::password_changed(&email));
    }
    Ok(())
}

/// Sends a mail that lets its reader set a new password. The answer does not tell whether there is an account.
pub async fn ask_for_reset(app: &App, email: &str) -> Result<(), Problem> {
    app.rate_limit.check(Class::Account, Key::of_name(email)).await?;
    at_least(SHORTEST, async {
        let account = queries::by_email(&app.database, email).await?;
        let Some(account) = account.filter(|account| account.status == UserStatus::Active) else { return Ok(()) };
        if let Some(token) = queries::begin_reset(&app.database, app.sessions.hasher(), account.id).await? {
            app.mailer.send(mails::reset_password(&app.config, email, &token));
        }
        Ok(())
    })
    .await
}

/// Sets a new password for whoever got the mail, and ends all sessions.
pub async fn reset(app: &App, given: ConfirmReset) -> Result<(), Problem> {
    let token = Token::parse(&given.token).ok_or_else(not_good)?;
    let hash = app.passwords.hash(given.password.0).await?;
    let outcome = queries::reset_password(&app.database, app.sessions.hasher(), &token, &hash).await;
    let Reset { user, ended } = outcome?.ok_or_else(not_good)?;
    app.sessions.ended(&ended).await;
    tell_of_change(app, user).await
}
