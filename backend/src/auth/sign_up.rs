//! Signing up, and confirming the address.

use uuid::Uuid;

use super::queries::{self, Purpose};
use super::types::SignUp;
use super::{SHORTEST, at_least, mails};
use crate::actor::Role;
use crate::app::App;
use crate::problem::{Problem, Violation};
use crate::session::Token;
use crate::users::queries::{NewUser, create};
use crate::users::{UserError, UserStatus};

/// Makes an account and sends a mail to confirm its address. The answer does not tell whether the address has one already;
/// the mail does.
pub async fn sign_up(app: &App, new: SignUp) -> Result<(), Problem> {
    at_least(SHORTEST, async {
        let password_hash = app.passwords.hash(new.password.0.clone()).await?;
        // Asked first, and for every address alike, or the answer would tell whether the address has an account.
        if queries::is_handle_taken(&app.database, &new.handle, &new.email).await.map_err(of_database)? {
            return Err(UserError::HandleTaken(new.handle).into());
        }
        if let Some(account) = queries::by_email(&app.database, &new.email).await.map_err(of_database)? {
            if account.email_confirmed || account.status == UserStatus::Disabled {
                app.mailer.send(mails::already_signed_up(&new.email));
                return Ok(());
            }
            return send_confirmation(app, account.id, &new, &password_hash).await;
        }
        let user = NewUser {
            handle: &new.handle,
            email: &new.email,
            password_hash: &password_hash,
            role: Role::Researcher,
            email_confirmed: false,
            temporary: false,
        };
        match create(&app.database, &user).await {
            Ok(id) => send_confirmation(app, id, &new, &password_hash).await,
            // Somebody signed up with it at the same time, and gets the mail.
            Err(UserError::EmailTaken) => Ok(()),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

async fn send_confirmation(app: &App, user: Uuid, new: &SignUp, password_hash: &str) -> Result<(), Problem> {
    let (hasher, purpose) = (app.sessions.hasher(), Purpose::ConfirmEmail);
    let token = queries::mail_token(&app.database, hasher, user, purpose, Some(password_hash)).await;
    let token = token.map_err(of_database)?;
    app.mailer.send(mails::confirm_email(&app.config, &new.email, &new.handle, &token));
    Ok(())
}

/// Confirms the address that a token was sent to.
pub async fn confirm_email(app: &App, token: &str) -> Result<(), Problem> {
    let token = Token::parse(token).ok_or_else(not_good)?;
    let confirmed = queries::confirm_email(&app.database, app.sessions.hasher(), &token).await.map_err(of_database)?;
    if confirmed { Ok(()) } else { Err(not_good()) }
}

/// What is said of a mail's token that is unknown, used or too old.
pub fn not_good() -> Problem {
    Problem::invalid(Violation::at("#/token", "is not good any more; ask for a new one"))
}

#[expect(clippy::needless_pass_by_value, reason = "passed to `map_err`")]
pub fn of_database(error: sqlx::Error) -> Problem {
    Problem::of_database(&error)
}
