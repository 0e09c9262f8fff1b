//! `thunder smoke`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{Stopped, output};
use crate::smoke;

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

pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { url, timeout, json } = arguments;
    let mut unwritten = Ok(());
    let checks = smoke::run(url, Duration::from_secs(*timeout), |check| {
        if !json && unwritten.is_ok() {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            let line = format!("{mark} {:17} {:5} ms  {}\n", check.name, check.milliseconds, check.detail);
            unwritten = output::text(&line);
        }
    });
    unwritten?;
    let ok = smoke::is_complete(&checks);
    if *json {
        output::json(&json!({ "schema_version": 1, "url": url, "ok": ok, "checks": checks }))?;
    }
    match checks.iter().find(|check| !check.ok) {
        None if ok => Ok(()),
        Some(check) if check.name == "health" => Err(Stopped(4).into()),
        _ => Err(Stopped(1).into()),
    }
}
