//! The task that takes mail out of the queue, and tries until it is delivered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, warn};

use super::{Letter, Transport, Undelivered};

/// When delivery is tried.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// How often at most.
    pub attempts: u32,
    /// The pause after the first failure.
    pub first_pause: Duration,
    /// By how much each pause is longer than the one before.
    pub factor: u32,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many mails are being delivered at the same time.
    pub at_once: usize,
}

/// Delivers by one transport.
pub struct Courier<T> {
    transport: T,
    schedule: Schedule,
    hands: Semaphore,
}

impl<T: Transport> Courier<T> {
    pub fn new(transport: T, schedule: Schedule) -> Self {
        Self { transport, schedule, hands: Semaphore::new(schedule.at_once) }
    }

    /// Delivers until it is told to stop, and then what is left. Each mail is a task of its own: one that waits for its
    /// next attempt holds up no other.
    pub async fn run(self: Arc<Self>, letters: Arc<Mutex<mpsc::UnboundedReceiver<Letter>>>, stop: CancellationToken) {
        let mut letters = letters.lock().await;
        let mut on_the_way = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(letter) = letters.recv() => {
                    on_the_way.spawn(Arc::clone(&self).deliver(letter, stop.clone()));
                }
                Some(_) = on_the_way.join_next() => {}
                // Nobody can send any more, and nothing is left.
                else => return stop.cancelled().await,
            }
        }
        letters.close();
        while let Some(letter) = letters.recv().await {
            on_the_way.spawn(Arc::clone(&self).deliver(letter, stop.clone()));
        }
        on_the_way.join_all().await;
    }

    async fn deliver(self: Arc<Self>, letter: Letter, stop: CancellationToken) {
        let span = letter.span.clone();
        self.try_to_deliver(&letter, &stop).instrument(span).await;
    }

    async fn try_to_deliver(&self, letter: &Letter, stop: &CancellationToken) {
        let Schedule { attempts, first_pause, factor, timeout, .. } = self.schedule;
        let (id, mut pause) = (letter.id, first_pause);
        for attempt in 1.. {
            // Nobody closes it.
            let Ok(hand) = self.hands.acquire().await else { return };
            // After a stop there is one attempt and no more.
            let is_last = attempt >= attempts || stop.is_cancelled();
            let outcome = tokio::time::timeout(timeout, self.transport.deliver(letter)).await;
            drop(hand);
            let error = match outcome {
                Ok(Ok(())) => return info!(mail = %id, attempt, "a mail was delivered"),
                Ok(Err(error)) => error,
                Err(_) => Undelivered { why: format!("no answer within {} s", timeout.as_secs_f32()), may_pass: true },
            };
            let why = error.why;
            if is_last || !error.may_pass {
                return error!(mail = %id, attempt, "a mail was given up: {why}");
            }
            warn!(mail = %id, attempt, pause_ms = pause.as_millis(), "a mail is tried again: {why}");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
            pause *= factor;
        }
    }
}
