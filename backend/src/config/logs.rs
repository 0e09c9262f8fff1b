//! What is logged, and how it looks.

use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::setting::{settings, word};

settings! {
    /// Logging.
    pub struct LogSettings {
        /// What is logged: error, warn, info, debug, trace, or a filter such as info,backend=debug,sqlx=warn.
        pub filter: Targets = plain("LOG_LEVEL", "info", filter);
        /// json (one object a line) or pretty (for a person's eyes).
        pub format: LogFormat = plain("LOG_FORMAT", "json", word(FORMATS));
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One readable line an event.
    Pretty,
}

const FORMATS: &[(&str, LogFormat)] = &[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];

/// A level for everything, and levels for single targets. The library's own parser takes a word that is no level for a
/// target, and then logs nothing else.
fn filter(value: &str) -> Result<Targets, String> {
    let problem = || "must be error, warn, info, debug, trace or off, or a list such as info,sqlx=warn".to_owned();
    let mut filter = Targets::new();
    for part in value.split(',').map(str::trim) {
        filter = match part.split_once('=') {
            None => filter.with_default(level(part).ok_or_else(problem)?),
            Some((target, part)) if !target.is_empty() => filter.with_target(target, level(part).ok_or_else(problem)?),
            Some(_) => return Err(problem()),
        };
    }
    // PostgreSQL's notices, such as that a table already exists. Whoever wants to see them names them.
    let default = filter.default_level().unwrap_or(LevelFilter::OFF);
    let notices = ("sqlx::postgres::notice", default.min(LevelFilter::WARN));
    Ok(Targets::new().with_default(default).with_targets([notices]).with_targets(filter))
}

fn level(word: &str) -> Option<LevelFilter> {
    // The library takes numbers too, which say nothing to a reader.
    LevelFilter::from_str(word).ok().filter(|_| !word.is_empty() && word.chars().all(char::is_alphabetic))
}
