//! Ctrl-C and SIGTERM: the first ends what the task has begun, the second ends everything at once.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Whether the process was asked to stop; clones share the answer.
#[derive(Clone, Default)]
pub struct Interrupt {
    code: Arc<AtomicU8>,
    reaction: Arc<Mutex<Reaction>>,
    /// Whether the user was told that this ends the task.
    announced: Arc<AtomicBool>,
    listener: Arc<Mutex<Option<Listener>>>,
}

type Listener = Box<dyn FnOnce() + Send>;

/// What the first signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reaction {
    /// Says that what was begun is ended now, and lets the task do it.
    #[default]
    EndInOrder,
    /// Lets the task end without a word: it only looks at something.
    EndQuietly,
    /// Ends the process at once: it waits for an answer, and has changed nothing.
    Abort,
    /// Nothing: the task is over, and its exit code is chosen.
    Over,
}

/// Restores the reaction that was there before.
pub struct ReactionGuard {
    interrupt: Interrupt,
    before: Reaction,
}

impl Drop for ReactionGuard {
    fn drop(&mut self) {
        *lock(&self.interrupt.reaction) = self.before;
    }
}

impl Interrupt {
    /// Listens for signals from now on.
    pub fn install(terminal: &Arc<Terminal>) -> Result<Self> {
        let interrupt = Self::default();
        listen(interrupt.clone(), Arc::clone(terminal))?;
        Ok(interrupt)
    }

    /// Calls this once when asked to stop, for one who waits for something else as well.
    pub fn on_request(&self, listener: impl FnOnce() + Send + 'static) {
        *lock(&self.listener) = Some(Box::new(listener));
    }

    /// Reacts like this until the guard is dropped.
    #[must_use]
    pub fn react(&self, reaction: Reaction) -> ReactionGuard {
        let before = std::mem::replace(&mut *lock(&self.reaction), reaction);
        ReactionGuard { interrupt: self.clone(), before }
    }

    /// As if a signal had come that ends with this code.
    #[cfg(test)]
    pub fn request(&self, exit: Exit) {
        self.code.store(exit as u8, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_requested(&self) -> bool {
        self.code.load(Ordering::Relaxed) != 0
    }

    /// To be called when a task has done everything: what comes from now on changes nothing any more. A signal that was
    /// announced before is a failure, because whoever typed it waits for its exit code.
    pub fn finish(&self) -> Result<()> {
        *lock(&self.reaction) = Reaction::Over;
        if !self.announced.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (exit, word) = match self.code.load(Ordering::Relaxed) {
            code if code == Exit::Interrupted as u8 => (Exit::Interrupted, "interrupted"),
            _ => (Exit::Terminated, "terminated"),
        };
        Err(Failure::new(exit, format!("{word} too late: everything was done by then, and is not taken back")).into())
    }

    /// Notes a signal, and says what it does. Whether the process has to leave at once.
    fn hear(&self, exit: Exit, terminal: &Terminal) -> bool {
        // Held, so that `finish` comes before or after it as a whole.
        let reaction = lock(&self.reaction);
        let is_second = self.code.swap(exit as u8, Ordering::Relaxed) != 0;
        match *reaction {
            Reaction::Abort => terminal.note("\naborted: nothing was changed"),
            Reaction::EndInOrder if !is_second => {
                self.announced.store(true, Ordering::Relaxed);
                terminal.note("interrupted: ending what this task has begun; Ctrl-C again leaves at once");
            }
            Reaction::EndInOrder | Reaction::EndQuietly | Reaction::Over => {}
        }
        is_second || *reaction == Reaction::Abort
    }

    /// The failure to end with, once asked to stop.
    pub fn check(&self) -> Result<()> {
        let code = self.code.load(Ordering::Relaxed);
        match code {
            0 => Ok(()),
            code if *lock(&self.reaction) == Reaction::EndQuietly => Err(Failure::passed_through(code).into()),
            code if code == Exit::Interrupted as u8 => Err(Failure::new(Exit::Interrupted, "interrupted").into()),
            _ => Err(Failure::new(Exit::Terminated, "terminated").into()),
        }
    }
}

#[cfg(unix)]
fn listen(interrupt: Interrupt, terminal: Arc<Terminal>) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let exit = if signal == SIGINT { Exit::Interrupted } else { Exit::Terminated };
            if interrupt.hear(exit, &terminal) {
                crate::process::kill_groups();
                #[expect(clippy::exit, reason = "the second signal promises to leave without waiting for anything")]
                std::process::exit(exit as i32);
            }
            if let Some(listener) = lock(&interrupt.listener).take() {
                listener();
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as where signals can be listened for")]
fn listen(_: Interrupt, _: Arc<Terminal>) -> Result<()> {
    // The system ends the process itself; on this platform no task leaves anything running.
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether some work should stop: the user asked for it, or a part that runs beside it failed.
#[derive(Clone, Default)]
pub struct CancelToken {
    interrupt: Interrupt,
    cancelled: Arc<AtomicBool>,
}

impl CancelToken {
    /// Cancelled when the user asks for it.
    pub fn on(interrupt: &Interrupt) -> Self {
        Self { interrupt: interrupt.clone(), cancelled: Arc::default() }
    }

    /// Never cancelled by the user: for cleaning up, which has timeouts of its own.
    pub fn never() -> Self {
        Self::default()
    }

    /// Asks everything that shares this to stop.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.interrupt.is_requested()
    }

    /// The failure to end with, once it was the user who asked; a sibling's failure is that sibling's to report.
    pub fn check(&self) -> Result<()> {
        self.interrupt.check()?;
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Failure::new(Exit::Failed, "stopped, because something beside it failed").into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
