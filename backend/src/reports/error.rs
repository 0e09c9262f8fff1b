//! Why something about a report could not be done.

use std::fmt;

use super::types::ReportState;
use crate::problem::Problem;

/// Why something about a report could not be done.
#[derive(Debug)]
pub enum ReportError {
    /// There is none, or none that one may know of.
    NotFound,
    /// One may know of it, and not do this.
    NotAllowed,
    /// Its sender changes it no more.
    AlreadyTriaged,
    /// It is at another version than its sender has seen.
    Precondition(Problem),
    /// There is no such program.
    NoSuchProgram,
    /// The program takes none.
    ProgramNotOpen(String),
    /// The asset is not one that may be tested.
    NotInScope,
    /// It does not get from its state to that one.
    TransitionNotAllowed {
        /// Where it is.
        from: ReportState,
        /// Where it should go.
        to: ReportState,
    },
    /// The program has no such other report.
    NoSuchOriginal,
    /// What it should be a duplicate of is one itself.
    OriginalIsDuplicate,
    /// Others are duplicates of it.
    HasDuplicates,
    /// The database did not do it.
    Database(sqlx::Error),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such report"),
            Self::NotAllowed => f.write_str("this is not allowed"),
            Self::AlreadyTriaged => f.write_str("its sender cannot change it any more"),
            Self::Precondition(_) => f.write_str("it was changed since it was read"),
            Self::NoSuchProgram => f.write_str("there is no such program"),
            Self::ProgramNotOpen(slug) => write!(f, "the program `{slug}` does not take reports at the moment"),
            Self::NotInScope => f.write_str("the asset is not among the program's that are in scope"),
            Self::TransitionNotAllowed { from, to } => write!(f, "a report does not get from {from:?} to {to:?}"),
            Self::NoSuchOriginal => f.write_str("the program has no such other report"),
            Self::OriginalIsDuplicate => f.write_str("that report is a duplicate itself"),
            Self::HasDuplicates => f.write_str("other reports are duplicates of it"),
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
