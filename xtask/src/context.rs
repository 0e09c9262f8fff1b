//! What every task is given.

use std::sync::Arc;

use crate::interrupt::Interrupt;
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
