//! The mails that signing up and signing in lead to.

use crate::config::Config;
use crate::mail::Mail;
use crate::session::Token;

/// Asks to confirm the address.
pub fn confirm_email(config: &Config, to: &str, handle: &str, token: &Token) -> Mail {
    let what_to_do = what_to_do(config, "confirm-email", token, "/api/v1/auth/confirm-email");
    let text = format!(
        "Hello {handle},\n\nsomebody signed up at Thunder Security with this address. If it was you, confirm it within a \
         day, with the password that you chose:\n\n{what_to_do}\n\nIf it was not you, do nothing: without this, there is no \
         account.\n"
    );
    Mail { to: to.to_owned(), subject: "Confirm your address".to_owned(), text }
}

/// Tells whoever has an account that somebody signed up with its address.
pub fn already_signed_up(to: &str) -> Mail {
    let text = "Hello,\n\nsomebody signed up at Thunder Security with this address, which has an account already. If it was \
                you, sign in, or ask for a new password.\n\nIf it was not you, do nothing: nothing has changed.\n";
    Mail { to: to.to_owned(), subject: "You have an account already".to_owned(), text: text.to_owned() }
}

/// Brings what sets a new password.
pub fn reset_password(config: &Config, to: &str, token: &Token) -> Mail {
    let what_to_do = what_to_do(config, "reset-password", token, "/api/v1/auth/password-reset/confirm");
    let text = format!(
        "Hello,\n\nsomebody asked for a new password at Thunder Security. If it was you, set it within an \
         hour:\n\n{what_to_do}\n\nIf it was not you, do nothing: your password is still the same.\n"
    );
    Mail { to: to.to_owned(), subject: "Set a new password".to_owned(), text }
}

/// Tells that the password was changed.
pub fn password_changed(to: &str) -> Mail {
    let text = "Hello,\n\nyour password at Thunder Security was changed, and every other device was signed out.\n\nIf it was \
                not you, ask for a new password at once.\n";
    Mail { to: to.to_owned(), subject: "Your password was changed".to_owned(), text: text.to_owned() }
}

/// A link to the web application; without one, the token and where to send it.
fn what_to_do(config: &Config, page: &str, token: &Token, route: &str) -> String {
    let token = token.text();
    match config.origins.frontend.as_ref().and_then(|origin| origin.to_str().ok()) {
        // After the `#`, it gets into no log and no referrer.
        Some(origin) => format!("{origin}/{page}#token={token}"),
        None => format!("Send this token to {route}: {token}"),
    }
}
