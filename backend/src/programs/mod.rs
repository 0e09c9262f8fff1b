//! Programs: what a company lets researchers test, and what it pays.

mod changes;
mod error;
mod key;
mod members;
mod queries;
mod routes;
mod types;

pub use error::ProgramError;
pub use key::ProgramKey;
pub use queries::{Filter, create, find, list, remove};
pub use routes::routes;
pub use types::{Asset, AssetKind, NewProgram, Program, ProgramStatus, ProgramSummary};
pub use types::{Reward, RewardSeverity};
