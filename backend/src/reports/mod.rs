//! Reports: what researchers found.

mod error;
mod queries;
mod routes;
mod types;

pub use error::ReportError;
pub use queries::{Filter, create, find, list};
pub use routes::routes;
pub use types::{NewReport, Report, ReportState, ReportSummary, Severity};
