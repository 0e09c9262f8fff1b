//! Signing up, and confirming the address.

use super::queries;
use super::types::{ConfirmEmail, SignUp};
use super::{SHORTEST, at_least, mails};
use crate::actor::Role;
use crate::app::App;
use crate::password::Verdict;
use crate::problem::{Problem, Violation};
use crate::rate_limit::{Class, Key};
use crate::session::Token;
use crate::users::UserError;
use crate::users::queries::{NewUser, create};

/// Sends a mail to confirm the address. The answer does not tell whether the address has an account; the mail does. Nothing
/// that others could notice is taken before the mail is answered: no handle, and no address.
pub async fn sign_up(app: &App, new: SignUp) -> Result<(), Problem> {
    app.rate_limit.check(Class::Account, Key::of_name(&new.email)).await?;
    at_least(SHORTEST, async {
        let password_hash = app.passwords.hash(new.password.0.clone()).await?;
        // Asked first, and for every address alike, or the answer would tell whether the address has an account.
        if queries::is_handle_taken(&app.database, &new.handle).await? {
            return Err(UserError::HandleTaken(new.handle).into());
        }
        if queries::by_email(&app.database, &new.email).await?.is_some() {
            app.mailer.send(mails::already_signed_up(&new.email));
            return Ok(());
        }
        let hasher = app.sessions.hasher();
        let token = queries::begin_sign_up(&app.database, hasher, &new.email, &new.handle, &password_hash).await?;
        if let Some(token) = token {
            app.mailer.send(mails::confirm_email(&app.config, &new.email, &new.handle, &token));
        }
        Ok(())
    })
    .await
}

/// Makes the account that a mail was sent for. The password is asked for again: whoever opens a mail that somebody else
/// caused must not hand them an account with a password that they know.
pub async fn confirm_email(app: &App, given: ConfirmEmail) -> Result<(), Problem> {
    let token = Token::parse(&given.token).ok_or_else(not_good)?;
    let typed = queries::find_sign_up(&app.database, app.sessions.hasher(), &token).await?.ok_or_else(not_good)?;
    if app.passwords.verify(given.password.0, Some(typed.password_hash.clone())).await? == Verdict::Wrong {
        return Err(Problem::invalid(Violation::at(
            "#/password",
            "is not the one of the sign-up that this mail is for",
        )));
    }
    let user = NewUser {
        handle: &typed.handle,
        email: &typed.email,
        password_hash: &typed.password_hash,
        role: Role::Researcher,
        temporary: false,
    };
    match create(&app.database, &user).await {
        // The address has got an account meanwhile, by another mail.
        Err(UserError::EmailTaken) => return Err(not_good()),
        outcome => outcome?,
    };
    queries::forget_sign_ups(&app.database, &typed.email).await?;
    Ok(())
}

/// The problem of a mail's token that is unknown, used or too old.
pub fn not_good() -> Problem {
    Problem::invalid(Violation::at("#/token", "is not good any more; ask for a new one"))
}
