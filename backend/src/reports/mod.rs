//! Reports: what researchers found, and what becomes of it.

mod changes;
mod error;
mod lists;
mod moves;
mod queries;
mod routes;
mod types;

pub use error::ReportError;
pub use lists::{Filter, Scope, list};
pub use moves::TABLE as MOVES;
pub use queries::{create, find};
pub use routes::routes;
pub use types::{NewReport, Report, ReportState, ReportSummary, Severity};
