//! The database's life: migrations as files, and what they would do to a database that is in use.

pub mod lint;
pub mod migrations;
mod sql;
