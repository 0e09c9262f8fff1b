//! The database's life: migrations as files, what they would do to a database that is in use, and its data as a whole:
//! saved, restored, and made again.
//!
//! Nothing here asks which engine runs the database: a [`target::Target`] reaches it.

pub mod address;
pub mod check;
pub mod compatibility;
pub mod difference;
pub mod dump;
pub mod dumps;
pub mod lint;
pub mod migrations;
pub mod recorded;
pub mod reset;
pub mod restore;
pub mod schema;
mod sql;
pub mod survey;
pub mod target;
pub mod trace;
