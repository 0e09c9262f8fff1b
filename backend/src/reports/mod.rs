//! Reports: what researchers found, and what becomes of it.

mod changes;
mod error;
mod lists;
mod queries;
mod routes;
mod transitions;
mod types;

pub use changes::transition;
pub use error::ReportError;
pub use lists::{Filter, Scope, list};
pub use queries::{create, find};
pub use routes::routes;
pub use types::{NewReport, Report, ReportState, ReportSummary, Severity, Transition};
