//! What the local stack is, and what runs it.
//!
//! [`thunder`] is the one file that is about this product; everything else would serve another backend as well.

pub mod docker;
pub mod engine;
pub mod folder;
pub mod ground;
pub mod host;
pub mod logs;
pub mod owner;
pub mod portable;
pub mod ports;
pub mod probe;
pub mod report;
pub mod scratch;
pub mod servers;
pub mod state;
pub mod thunder;
pub mod watch;
