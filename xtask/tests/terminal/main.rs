//! The tasks as people see them: on a pseudo-terminal, 80 and 40 columns wide, with questions answered and Ctrl-C.
//!
//! Run as any other test, they use a checkout of their own with processes of this machine. `cargo xtask ci journey` runs
//! them again in a fresh clone, on the engine that it was asked for, where `TERMINAL_CHECKOUT` names that clone and
//! `TERMINAL_UP` holds what `up` is told besides.
#![cfg(unix)]

mod journey;
mod session;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "the other tests use the rest of it")]
mod support;
