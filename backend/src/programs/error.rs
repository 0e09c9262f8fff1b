//! Why something about a program could not be done.

use std::fmt;

/// Why something about a program could not be done.
#[derive(Debug)]
pub enum ProgramError {
    /// There is none.
    NotFound,
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
