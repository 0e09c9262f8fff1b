//! Ctrl-C and SIGTERM: the first stops in order and says so, the second at once.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Whether the process was asked to stop; clones share the answer.
#[derive(Clone, Default)]
pub struct Interrupt {
    code: Arc<AtomicU8>,
    listener: Arc<Mutex<Option<Listener>>>,
}

type Listener = Box<dyn FnOnce() + Send>;

impl Interrupt {
    /// Listens for signals from now on.
    pub fn install(terminal: &Arc<Terminal>) -> Result<Self> {
        let interrupt = Self::default();
        listen(interrupt.clone(), Arc::clone(terminal))?;
        Ok(interrupt)
    }

    /// Calls this once when asked to stop, for one who waits for something else as well.
    pub fn on_request(&self, listener: impl FnOnce() + Send + 'static) {
        let mut place = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Box::new(listener));
    }

    /// Whether to stop.
    pub fn is_requested(&self) -> bool {
        self.code.load(Ordering::Relaxed) != 0
    }

    /// The failure to end with, once asked to stop.
    pub fn check(&self) -> Result<()> {
        match self.code.load(Ordering::Relaxed) {
            0 => Ok(()),
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
            let code = if signal == SIGINT { Exit::Interrupted } else { Exit::Terminated } as u8;
            if interrupt.code.swap(code, Ordering::Relaxed) != 0 {
                #[expect(clippy::exit, reason = "the second signal promises to leave without waiting for anything")]
                std::process::exit(i32::from(code));
            }
            terminal.note("stopping in order; once more to leave at once");
            if let Some(listener) = interrupt.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
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

/// Whether some work should stop: the user asked for it, or a part that runs beside it failed.
#[derive(Clone, Default)]
pub struct Halt {
    interrupt: Interrupt,
    failed: Arc<AtomicBool>,
}

impl Halt {
    /// Follows the user's wish.
    pub fn on(interrupt: &Interrupt) -> Self {
        Self { interrupt: interrupt.clone(), failed: Arc::default() }
    }

    /// Never: for the orderly end itself, which has time limits of its own.
    pub fn never() -> Self {
        Self::default()
    }

    /// Asks everything that shares this to stop.
    pub fn request(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_requested(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.interrupt.is_requested()
    }

    /// The failure to end with, once it was the user who asked; a sibling's failure is that sibling's to report.
    pub fn check(&self) -> Result<()> {
        self.interrupt.check()?;
        if self.failed.load(Ordering::Relaxed) {
            return Err(Failure::new(Exit::Failed, "stopped, because something beside it failed").into());
        }
        Ok(())
    }
}
