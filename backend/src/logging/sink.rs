//! Where log lines go: to a thread of their own, so that no request waits for whoever reads them.
//!
//! A pipe that nobody empties, a disk that is full and a reader that is gone cost lines, and nothing else.

use std::io::{BufWriter, Write};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How many lines may wait to be written; what comes on top is dropped.
const WAITING: usize = 8192;
/// How long the last lines are waited for when the process ends.
const FINISH: Duration = Duration::from_millis(500);

static OPEN: Mutex<Option<(WorkerGuard, ErrorCounter)>> = Mutex::new(None);

/// Starts the thread. The first sink of a process is the one that [`finish`] ends.
pub fn open(out: impl Write + Send + 'static) -> NonBlocking {
    // Flushed whenever no line is waiting.
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .thread_name("logs")
        .finish(BufWriter::with_capacity(32 * 1024, out));
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.get_or_insert((guard, writer.error_counter()));
    writer
}

/// Writes what is waiting, as far as that is possible soon. Nothing is logged afterwards.
pub fn finish() {
    let Some((guard, dropped)) = OPEN.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    if dropped.dropped_lines() > 0 {
        tracing::warn!(lines = dropped.dropped_lines(), "log lines were dropped, because they could not be written");
    }
    // The library prints where it cannot write, and would wait for ever for the reader that is missing.
    let (tell, finished) = mpsc::channel();
    std::thread::spawn(move || {
        drop(guard);
        tell.send(()).ok();
    });
    finished.recv_timeout(FINISH).ok();
}
