//! `thunder config`.

use std::io::IsTerminal;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{Stopped, output};
use crate::config::Config;

#[derive(Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Check the settings of this environment instead, and exit with 3 if any is wrong
    #[arg(long)]
    check: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match (arguments.check, arguments.json) {
        (true, true) => check_as_json(),
        (true, false) => {
            Config::from_environment()?;
            output::text("every setting is fine\n")
        }
        (false, true) => output::json(&json!({ "schema_version": 1, "settings": Config::settings() })),
        (false, false) => describe(),
    }
}

fn check_as_json() -> Result<()> {
    let problems = Config::from_environment().err().map(|error| error.problems).unwrap_or_default();
    output::json(&json!({ "schema_version": 1, "ok": problems.is_empty(), "problems": problems }))?;
    if problems.is_empty() { Ok(()) } else { Err(Stopped(3).into()) }
}

fn describe() -> Result<()> {
    let bold = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut text = String::new();
    for setting in Config::settings() {
        let need = match (setting.required, setting.default) {
            (true, _) => "required".to_owned(),
            (false, _) if setting.required_in_production => "required in production".to_owned(),
            (false, Some(default)) if !default.is_empty() => format!("default {default}"),
            (false, _) => "optional".to_owned(),
        };
        let secret = if setting.secret { ", secret" } else { "" };
        text.push_str(&format!("{}{}{} ({need}{secret})\n    {}\n", bold.0, setting.name, bold.1, setting.description));
    }
    output::text(&text)
}
