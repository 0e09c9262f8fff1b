//! What somebody with only a network connection, or a machine that misbehaves, can do to the service: each of
//! these once took it down. They run on loopback, and each within a minute.

mod bodies;
mod connections;
mod database;
mod faults;
mod logs;
mod raw;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;
