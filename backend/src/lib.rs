//! The API of Thunder Security's bug-bounty platform.
//!
//! Cut by capability: each folder holds its own routes, queries and types. What they share is at the bottom:
//! [`config`], [`problem`], [`session`], [`policy`], [`page`] and the connections in [`app`]; [`router`] puts them together.

/// The commit that this was built from.
pub const COMMIT: &str = env!("THUNDER_COMMIT");

pub mod actor;
pub mod app;
pub mod auth;
pub mod background;
pub mod boot;
pub mod breaker;
pub mod cleanup;
pub mod cli;
pub mod config;
pub mod connect;
pub mod database;
pub mod health;
pub mod idempotency;
pub mod logging;
pub mod mail;
pub mod middleware;
pub mod migrations;
pub mod page;
pub mod password;
pub mod policy;
pub mod problem;
pub mod programs;
pub mod random;
pub mod rate_limit;
pub mod reports;
pub mod request;
pub mod router;
pub mod seed;
pub mod server;
pub mod session;
pub mod signals;
pub mod smoke;
pub mod users;
