//! What clients send to sign up, to sign in, and to change a password.

use crate::request::rules::{Rule, line};
use crate::request::{Input, Members, text};
use crate::users::{email, handle, password};

/// The most that any of these bodies may hold: a password in characters of four bytes, each of them escaped.
const MOST_BYTES: usize = 8 * 1024;

/// A password, which no debug print shows.
#[derive(Clone)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

fn new_password(members: &mut Members<'_>, name: &'static str) -> Option<Password> {
    members.required(name, text(password)).map(Password)
}

/// What somebody types who has a password: no rule but a bound, or rules that came later would lock people out.
fn known_password(members: &mut Members<'_>, name: &'static str) -> Option<Password> {
    members.required(name, text(bounded)).map(Password)
}

fn bounded(text: &str) -> Rule {
    if text.len() <= 1024 { Ok(()) } else { Err("must be at most 1024 bytes long".into()) }
}

fn address(members: &mut Members<'_>) -> Option<String> {
    members.required("email", text(email)).map(|email| email.to_ascii_lowercase())
}

fn token(members: &mut Members<'_>, name: &'static str) -> Option<String> {
    members.required(name, text(line(1, 200)))
}

/// What is needed for an account.
#[derive(Debug)]
pub struct SignUp {
    /// What others will call the user.
    pub handle: String,
    /// Where mail goes, in lower case.
    pub email: String,
    /// 12 to 128 characters.
    pub password: Password,
}

impl Input for SignUp {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let handle = members.required("handle", text(handle));
        let email = address(members);
        let password = new_password(members, "password");
        Some(Self { handle: handle?, email: email?, password: password? })
    }
}

/// What opens a session.
#[derive(Debug)]
pub struct SignIn {
    /// In lower case.
    pub email: String,
    /// What was typed.
    pub password: Password,
}

impl Input for SignIn {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let email = address(members);
        let password = known_password(members, "password");
        Some(Self { email: email?, password: password? })
    }
}

/// A refresh token.
pub struct Refresh(pub String);

impl Input for Refresh {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        token(members, "refresh_token").map(Self)
    }
}

/// What a mail said, to confirm its address, and the password of the sign-up that caused it.
pub struct ConfirmEmail {
    /// Out of the mail.
    pub token: String,
    /// What was typed at the sign-up.
    pub password: Password,
}

impl Input for ConfirmEmail {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let token = token(members, "token");
        let password = known_password(members, "password");
        Some(Self { token: token?, password: password? })
    }
}

/// Whose password is forgotten: an address in lower case.
pub struct ResetPassword(pub String);

impl Input for ResetPassword {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        address(members).map(Self)
    }
}

/// A new password, and what a mail said.
pub struct ConfirmReset {
    /// Out of the mail.
    pub token: String,
    /// 12 to 128 characters.
    pub password: Password,
}

impl Input for ConfirmReset {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let token = token(members, "token");
        let password = new_password(members, "password");
        Some(Self { token: token?, password: password? })
    }
}

/// A new password, and the one before.
pub struct ChangePassword {
    /// The one before.
    pub current: Password,
    /// 12 to 128 characters.
    pub new: Password,
}

impl Input for ChangePassword {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let current = known_password(members, "current_password");
        let new = new_password(members, "new_password");
        Some(Self { current: current?, new: new? })
    }
}
