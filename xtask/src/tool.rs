//! Programs that xtask drives, one file each: pure functions from typed arguments to a [`crate::step::Step`], the
//! parsing of what the program says, and for servers the question whether they answer. A tool knows no task.

pub mod backend;
pub mod cargo;
pub mod compose;
pub mod docker;
pub mod edge;
pub mod git;
pub mod hadolint;
pub mod lsof;
pub mod maildev;
pub mod npm;
pub mod pip;
pub mod postgres;
pub mod postgres_clients;
pub mod railway;
pub mod redis;
pub mod shellcheck;
pub mod squawk;
pub mod system;
pub mod tar;
pub mod version;
