//! Why something about a report could not be done.

use std::fmt;

/// Why something about a report could not be done.
#[derive(Debug)]
pub enum ReportError {
    /// There is none.
    NotFound,
    /// There is no program to send it to.
    NoSuchProgram,
    /// The program, by its slug, takes no reports.
    ProgramNotOpen(String),
    /// It is about something that is not among the program's assets that are in scope.
    NotInScope,
    /// The database did not do it.
    Database(sqlx::Error),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such report"),
            Self::NoSuchProgram => f.write_str("there is no such program"),
            Self::ProgramNotOpen(slug) => write!(f, "the program `{slug}` does not take reports at the moment"),
            Self::NotInScope => f.write_str("the asset is not among the program's that are in scope"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReportError {}

impl From<sqlx::Error> for ReportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
