//! What every task is given.

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
}

impl Context {
    /// Asks, with No as what Enter means. Without a terminal to ask on it is a refusal that names `flag`; Ctrl-C ends the
    /// task at once.
    pub fn confirm(&self, question: &str, flag: &str) -> Result<()> {
        let _reaction = self.interrupt.react(Reaction::Abort);
        self.terminal.confirm(question, flag)
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
