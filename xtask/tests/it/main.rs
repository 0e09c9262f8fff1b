//! The binary as its users see it: fake programs where only its own behaviour matters, a real PostgreSQL and Redis
//! where the stack does.
#![cfg(unix)]

mod check;
mod command_line;
mod db;
mod docker;
mod doctor;
mod elsewhere;
mod environment;
mod faults;
mod interruption;
mod journey;
mod layout;
mod lint;
#[path = "../../src/task/bench/load.rs"]
mod load;
mod lost;
mod mail;
mod portable;
mod support;
mod target_folder;
mod throw_away;
mod watch;
mod workflows;
