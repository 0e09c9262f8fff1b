//! A walk through a running service as a client would take it, from health to a report that was sent, triaged and read.
//!
//! Safe to repeat against any environment: it signs in as temporary users, keeps to one temporary program of its own, and
//! removes all of it in the end, whatever came of the checks. Whoever does not show the token of an operator walks through
//! what everybody may see, and is told so.

mod client;
mod walk;

use std::time::{Duration, Instant};

use serde::Serialize;

use self::client::Client;
use crate::config::Secret;

/// One check and what came of it.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it held.
    pub ok: bool,
    /// How long it took.
    pub milliseconds: u64,
    /// What was seen, or what was wrong.
    pub detail: String,
}

/// What came of a walk.
#[derive(Debug)]
pub struct Outcome {
    /// The checks that were made.
    pub checks: Vec<Check>,
    /// Whether every check was made and held; of those behind a sign-in, only where somebody could sign in.
    pub is_complete: bool,
    /// Whether it went behind the sign-in.
    pub signed_in: bool,
}

/// Walks through the service at `url`, tells `each` of every check, and stops at the first that fails: those after it
/// build on it.
pub fn run(url: &str, token: Option<&Secret>, timeout: Duration, mut each: impl FnMut(&Check)) -> Outcome {
    let mut client = Client::new(url, token, timeout);
    let mut checks = Vec::new();
    let mut make = |(name, walk): walk::Step, client: &mut Client| {
        let started = Instant::now();
        let outcome = walk(client);
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (ok, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(error) => (false, format!("{error:#}")),
        };
        let check = Check { name, ok, milliseconds, detail };
        each(&check);
        checks.push(check);
        ok
    };
    let mut is_complete = walk::PUBLIC.iter().all(|step| make(*step, &mut client));
    let signed_in = is_complete && client.can_sign_in();
    if signed_in {
        is_complete = walk::SIGNED_IN.iter().all(|step| make(*step, &mut client));
        // Even after a check that failed.
        is_complete &= make(walk::CLEANUP, &mut client);
    }
    Outcome { checks, is_complete, signed_in }
}
