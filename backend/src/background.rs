//! Tasks that go on beside requests: started again when they fail, and waited for when the process ends.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

/// The pause before a task that failed is started again; it doubles with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The tasks of a process; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Background {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Background {
    /// Runs a task until [`Background::stop`]. It ends when its token is cancelled; when it ends before, or panics, it
    /// is started again.
    pub fn supervise<F>(&self, name: &'static str, task: impl Fn(CancellationToken) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let outcome = tokio::spawn(task(stop.clone())).await;
                if stop.is_cancelled() {
                    return;
                }
                let how = if outcome.is_err() { "panicked" } else { "ended" };
                error!(pause_ms = pause.as_millis(), "the background task `{name}` {how}; it is started again");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => return,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Tells every task to end, and waits until they have.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Poll;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_is_started_again_and_the_end_waits_for_it() {
        let background = Background::default();
        let (starts, ends) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (runs, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let shared = (Arc::clone(&starts), Arc::clone(&ends), Arc::clone(&runs), Arc::clone(&may_end));
        background.supervise("it", move |stop| {
            let (starts, ends, runs, may_end) = shared.clone();
            async move {
                assert!(starts.fetch_add(1, Ordering::Relaxed) >= 2, "the first two attempts fail");
                runs.notify_one();
                stop.cancelled().await;
                may_end.notified().await;
                ends.fetch_add(1, Ordering::Relaxed);
            }
        });
        runs.notified().await;
        let mut stopped = pin!(background.stop());
        // Polled once, which tells the task; it still holds the end up.
        assert!(poll_fn(|cx| Poll::Ready(stopped.as_mut().poll(cx).is_pending())).await);
        assert_eq!((starts.load(Ordering::Relaxed), ends.load(Ordering::Relaxed)), (3, 0));
        may_end.notify_one();
        stopped.await;
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }
}
