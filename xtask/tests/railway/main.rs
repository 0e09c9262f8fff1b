//! `deploy` with the real Railway CLI, which talks to a Railway that is played: over TLS with a throw-away authority,
//! through a proxy as in a company's network. Every document is checked against the API's own schema, and so is every
//! answer that is played.
//!
//! They need the CLI, so that only `cargo xtask ci ship` runs them.
#![cfg(target_os = "linux")]

mod deploys;
#[path = "../../src/fixture/platform.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod platform;
mod schema;
mod server;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;
mod yard;
