//! Users: who has an account, and what each of them is to the platform.

mod error;
pub mod queries;
mod routes;
mod types;

pub use error::UserError;
pub use routes::routes;
pub use types::{User, UserStatus, email, handle, password};
