//! How a watcher stands, as it writes it down for `status`.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::file;

/// What a watcher does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It builds what was edited, and migrates.
    Building,
    /// It waits for a new server to be ready.
    Starting,
    /// It waits for an edit.
    Idle,
    /// It waits before it starts a server again that has crashed.
    Waiting,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Building => "building",
            Self::Starting => "starting a server",
            Self::Idle => "idle",
            Self::Waiting => "waiting after a crash",
        })
    }
}

/// How a watcher stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchReport {
    /// What it does.
    pub phase: Phase,
    /// Why what was edited last is not what serves; none when it is, or is about to be.
    pub problem: Option<String>,
    /// What to do about that.
    #[serde(default)]
    pub hints: Vec<String>,
    /// How often the server was replaced since the watcher was started.
    pub reloads: u32,
}

impl WatchReport {
    /// What the file says; none when there is none.
    pub fn load(path: &Path) -> Option<Self> {
        Self::parse(&std::fs::read(path).ok()?)
    }

    /// What the file's text says.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Writes the file.
    pub fn store(&self, path: &Path) -> Result<()> {
        file::write(path, serde_json::to_string(self)?.as_bytes(), 0o644)
    }
}

/// Why what was edited last does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In a line, such as `1 error in reports/routes.rs:41`.
    pub summary: String,
    /// What the compiler, the migration or the settings said.
    pub details: Vec<String>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Whether only an edit helps: then nothing is tried again.
    pub needs_edit: bool,
}

impl Problem {
    /// A problem that needs no more words.
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), details: Vec::new(), hints: Vec::new(), needs_edit: false }
    }

    /// A problem of what was edited, with what was said about it.
    pub fn of_source(summary: String, details: Vec<String>) -> Self {
        Self { summary, details, hints: Vec::new(), needs_edit: true }
    }

    /// The same, with one more thing to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        let summary = format!("{error:#}");
        match error.downcast::<crate::failure::Failure>() {
            Ok(failure) => {
                Self { details: failure.evidence().to_vec(), hints: failure.hints().to_vec(), ..Self::new(summary) }
            }
            Err(_) => Self::new(summary),
        }
    }
}
