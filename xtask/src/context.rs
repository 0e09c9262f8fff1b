//! What every task is given.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::interrupt::{CancelToken, Interrupt, Reaction};
use crate::lock::Lock;
use crate::project::Project;
use crate::runner::Runner;
use crate::terminal::Terminal;

/// What every task is given.
pub struct Context {
    /// Where to print.
    pub terminal: Arc<Terminal>,
    /// Which checkout this is about.
    pub project: Project,
    /// What starts processes.
    pub runner: Box<dyn Runner>,
    /// Whether the user wants to stop.
    pub interrupt: Interrupt,
    /// Whether to print plans instead of running them.
    pub dry_run: bool,
    /// The task's name, for others who wait for it.
    pub task: String,
    /// The variables of our own environment.
    pub variables: BTreeMap<String, String>,
}

impl Context {
    /// A variable of our own environment; none where it is empty.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Asks, with No as what Enter means. Without a terminal to ask on it is a refusal that names `flag`; Ctrl-C ends the
    /// task at once.
    pub fn confirm(&self, question: &str, flag: &str) -> Result<()> {
        let _reaction = self.interrupt.react(Reaction::Abort);
        self.terminal.confirm(question, flag)
    }

    /// Asks for a word to be typed: for what many people would notice. Without a terminal to ask on it is a refusal that
    /// names `flag`; Ctrl-C ends the task at once.
    pub fn confirm_word(&self, question: &str, word: &str, flag: &str) -> Result<()> {
        let _reaction = self.interrupt.react(Reaction::Abort);
        self.terminal.confirm_word(question, word, flag)
    }

    /// The lock of the checkout's stack; none in a dry run, which changes nothing.
    pub fn lock_stack(&self, timeout: Duration) -> Result<Option<Lock>> {
        self.lock(&self.project.state().join("lock"), timeout)
    }

    /// The lock at that path, waited for up to `timeout`; none in a dry run.
    pub fn lock(&self, path: &Path, timeout: Duration) -> Result<Option<Lock>> {
        if self.dry_run {
            return Ok(None);
        }
        Lock::take(path, &self.task, timeout, &CancelToken::on(&self.interrupt), &self.terminal).map(Some)
    }
}
