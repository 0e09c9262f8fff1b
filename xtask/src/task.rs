//! What can be asked for, one file each, named as the command is.

pub mod bench;
pub mod build_prod;
pub mod check;
pub mod ci;
pub mod clean;
pub mod completions;
pub mod db;
pub mod doctor;
pub mod down;
pub mod env;
pub mod exec;
pub mod launch_service;
pub mod logs;
pub mod migrate;
pub mod overview;
pub mod restart;
pub mod seed;
pub mod smoke;
pub mod status;
pub mod test;
pub mod up;
pub mod watch;
pub mod watch_backend;
