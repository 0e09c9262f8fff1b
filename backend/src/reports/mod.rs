//! Reports: what researchers found.

mod queries;
mod routes;
mod types;

pub use queries::{Filter, create, find, list};
pub use routes::routes;
pub use types::{NewReport, Report, ReportState, ReportSummary, Severity};
