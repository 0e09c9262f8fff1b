//! `thunder smoke`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{Stopped, output};
use crate::config::Secret;
use crate::smoke;

/// Walks through a service as a client. With the service's `HEALTH_TOKEN` in the environment it also signs in, as users that
/// it makes and removes.
#[derive(Args)]
pub struct Arguments {
    /// Where the service is, such as `https://api.example.com`
    #[arg(long)]
    url: String,
    /// Seconds that one request may take
    #[arg(long, default_value_t = 10)]
    timeout: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The variable with the service's token for operators: with it, the walk goes behind the sign-in.
const TOKEN: &str = "HEALTH_TOKEN";

pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { url, timeout, json } = arguments;
    let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty()).map(|token| Secret::from(token.as_str()));
    let mut unwritten = Ok(());
    let outcome = smoke::run(url, token.as_ref(), Duration::from_secs(*timeout), |check| {
        if !json && unwritten.is_ok() {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            let line = format!("{mark} {:17} {:5} ms  {}\n", check.name, check.milliseconds, check.detail);
            unwritten = output::text(&line);
        }
    });
    unwritten?;
    let smoke::Outcome { checks, is_complete: ok, signed_in } = outcome;
    if *json {
        let document = json!({ "schema_version": 1, "url": url, "ok": ok, "signed_in": signed_in, "checks": checks });
        output::json(&document)?;
    }
    match checks.iter().find(|check| !check.ok) {
        None if ok => Ok(()),
        Some(check) if check.name == "health" => Err(Stopped(4).into()),
        _ => Err(Stopped(1).into()),
    }
}
