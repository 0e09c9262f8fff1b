//! Why something about a user could not be done.

use std::fmt;

/// Why something about a user could not be done.
#[derive(Debug)]
pub enum UserError {
    /// There is none.
    NotFound,
    /// Whoever asks for it may not do it any more.
    NotAllowed,
    /// Another one has the handle.
    HandleTaken(String),
    /// Another one has the address.
    EmailTaken,
    /// The database did not do it.
    Database(sqlx::Error),
}

impl UserError {
    /// What an error of the database means where a user with this handle was to be stored.
    pub(super) fn of(error: sqlx::Error, handle: &str) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("users_handle_key") => Self::HandleTaken(handle.to_owned()),
            Some("users_email_key") => Self::EmailTaken,
            _ => Self::Database(error),
        }
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such user"),
            Self::NotAllowed => f.write_str("this is not allowed"),
            Self::HandleTaken(handle) => write!(f, "there already is an account with the handle `{handle}`"),
            Self::EmailTaken => f.write_str("there already is an account with this address"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UserError {}

impl From<sqlx::Error> for UserError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
