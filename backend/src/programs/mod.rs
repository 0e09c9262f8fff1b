//! Programs: what a company lets researchers test, and what it pays.

mod queries;
mod routes;
mod types;

pub use queries::{Removal, create, find, list, remove};
pub use routes::routes;
pub use types::{Asset, AssetKind, NewProgram, Program, ProgramStatus, ProgramSummary, Reward, RewardSeverity};
