//! Why something about a program could not be done.

use std::fmt;

use crate::problem::Problem;

/// Why something about a program could not be done.
#[derive(Debug)]
pub enum ProgramError {
    /// There is none, or none that one may know of.
    NotFound,
    /// One may know of it, and not do this.
    NotAllowed,
    /// It is at another version than its sender has seen.
    Precondition(Problem),
    /// Reports are about an asset that is to be removed.
    AssetInUse,
    /// There is no such user.
    NoSuchUser,
    /// Only triagers are members.
    NotTriager,
    /// Another one has the slug.
    SlugTaken(String),
    /// It is there to stay.
    NotTemporary,
    /// The database did not do it.
    Database(sqlx::Error),
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such program"),
            Self::NotAllowed => f.write_str("this is not allowed"),
            Self::Precondition(_) => f.write_str("it was changed since it was read"),
            Self::AssetInUse => f.write_str("reports are about an asset that is to be removed"),
            Self::NoSuchUser => f.write_str("there is no such user"),
            Self::NotTriager => f.write_str("only triagers are members of programs"),
            Self::SlugTaken(slug) => write!(f, "there already is a program `{slug}`"),
            Self::NotTemporary => f.write_str("only a temporary program can be removed"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProgramError {}

impl From<sqlx::Error> for ProgramError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
