//! Where log lines go: to a thread of their own, which writes many of them at once.
//!
//! A request adds its line to a buffer, and neither waits for a reader nor wakes a thread for each line. A pipe that nobody
//! reads, a full disk and a reader that is gone cost lines, and nothing else.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long the first line of a batch waits for others. A person does not notice it, and under load it saves a system
/// call and a change of threads for each line.
const BATCH: Duration = Duration::from_millis(5);
/// A batch of this size does not wait.
const LARGE: usize = 64 * 1024;
/// How much may wait to be written; what comes on top is dropped.
const MOST: usize = 1024 * 1024;
/// How long the last lines are waited for when the process ends.
const FINISH: Duration = Duration::from_millis(500);

static OPEN: Mutex<Option<Sink>> = Mutex::new(None);

/// The way to the thread; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Sink(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Tells the thread that there is something to do, and [`finish`] that all is done.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    dropped: usize,
    is_finishing: bool,
    is_finished: bool,
}

impl Waiting {
    fn is_urgent(&self) -> bool {
        self.is_finishing || self.lines.len() >= LARGE
    }
}

/// Opens the sink of the process; a second one is not the one that [`finish`] ends.
pub fn open(out: impl Write + Send + 'static) -> Sink {
    let sink = Sink::start(out);
    OPEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| sink.clone());
    sink
}

/// Writes what is waiting, as far as that is possible soon. Nothing is logged afterwards.
pub fn finish() {
    let Some(sink) = OPEN.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let dropped = sink.waiting().dropped;
    if dropped > 0 {
        tracing::warn!(lines = dropped, "log lines were dropped, because they could not be written");
    }
    sink.finish();
}

impl Sink {
    /// Starts the thread.
    pub fn start(out: impl Write + Send + 'static) -> Self {
        let sink = Self::default();
        let thread = sink.clone();
        let started = std::thread::Builder::new().name("logs".to_owned()).spawn(move || thread.write_batches(out));
        // Without a thread the lines are dropped, and the service goes on.
        drop(started);
        sink
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.lines.len() + line.len() > MOST {
            waiting.dropped += 1;
            return;
        }
        let (is_first, was_urgent) = (waiting.lines.is_empty(), waiting.is_urgent());
        waiting.lines.extend_from_slice(line);
        // Once for each batch, and once more where it need not wait any longer.
        if is_first || (waiting.is_urgent() && !was_urgent) {
            drop(waiting);
            self.0.changed.notify_all();
        }
    }

    /// Waits a moment for the thread to write what is left and to end.
    pub fn finish(&self) {
        let mut waiting = self.waiting();
        waiting.is_finishing = true;
        self.0.changed.notify_all();
        drop(self.0.changed.wait_timeout_while(waiting, FINISH, |waiting| !waiting.is_finished));
    }

    fn write_batches(self, mut out: impl Write) {
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            // Whatever the reason, there is nobody who could be told.
            drop(out.write_all(&batch).and_then(|()| out.flush()));
            batch.clear();
            // What a rush has taken is given back.
            batch.shrink_to(LARGE);
        }
        self.waiting().is_finished = true;
        self.0.changed.notify_all();
    }

    /// Waits for a batch; false when there will be none any more.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let is_idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_finishing;
        let waiting = self.0.changed.wait_while(self.waiting(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let grown = self.0.changed.wait_timeout_while(waiting, BATCH, |waiting| !waiting.is_urgent());
        let (mut waiting, _) = grown.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.lines, batch);
        !batch.is_empty()
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Each call is a whole line.
impl Write for &Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Tells of each call, and returns from it when it may.
    struct Slow {
        written: mpsc::Sender<Vec<u8>>,
        go_on: mpsc::Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.send(bytes.to_vec()).unwrap();
            self.go_on.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Sink, mpsc::Receiver<Vec<u8>>, mpsc::Sender<()>) {
        let ((written, writes), (goes_on, go_on)) = (mpsc::channel(), mpsc::channel());
        (Sink::start(Slow { written, go_on }), writes, goes_on)
    }

    #[test]
    fn lines_that_come_while_others_are_written_are_written_with_one_call() {
        let (sink, writes, goes_on) = slow();
        sink.add(b"first\n");
        assert_eq!(writes.recv().unwrap(), b"first\n");
        for _ in 0..1000 {
            sink.add(b"line\n");
        }
        goes_on.send(()).unwrap();
        assert_eq!(writes.recv().unwrap(), b"line\n".repeat(1000));
        goes_on.send(()).unwrap();
        sink.finish();
        assert!(sink.waiting().is_finished);
    }

    #[test]
    fn what_nobody_reads_is_bounded_and_counted() {
        let (sink, writes, goes_on) = slow();
        sink.add(b"first\n");
        writes.recv().unwrap();
        for _ in 0..3000 {
            sink.add(&[b'x'; 1024]);
        }
        let waiting = sink.waiting().lines.len();
        let dropped = sink.waiting().dropped;
        assert_eq!((waiting, dropped), (MOST, 3000 - 1024));
        drop(goes_on);
        sink.finish();
    }

    #[test]
    fn lines_that_were_dropped_are_told_at_the_end_and_only_then() {
        use tracing_subscriber::layer::SubscriberExt as _;
        for (rush, is_told) in [(MOST / 1024 + 7, true), (1, false)] {
            let ((written, writes), (goes_on, go_on)) = (mpsc::channel(), mpsc::channel());
            let sink = open(Slow { written, go_on });
            sink.add(b"first\n");
            writes.recv().unwrap();
            (0..rush).for_each(|_| sink.add(&[b'x'; 1024]));
            goes_on.send(()).unwrap();
            // The reader has caught up: there is room again.
            writes.recv().unwrap();
            goes_on.send(()).unwrap();
            goes_on.send(()).unwrap();
            let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(sink);
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), finish);
            let last: Vec<u8> = writes.try_iter().flatten().collect();
            let last = String::from_utf8(last).unwrap();
            let warning = "log lines were dropped, because they could not be written lines=7";
            assert_eq!(last.contains(warning), is_told, "{last}");
        }
    }
}
