//! Removes what is over, a thousand rows at a time: nobody waits for a lock of it, and several processes may do it at once.

use std::time::Duration;

use sqlx::PgPool;
use tracing::{info, warn};

use crate::background::Background;

const EVERY: Duration = Duration::from_mins(10);
/// Since nothing waits for it, it leaves room between two batches.
const PAUSE: Duration = Duration::from_millis(100);

/// What is removed, and the statement that removes a batch of it.
const WHAT: [(&str, &str); 4] = [
    (
        "sign-ups",
        "DELETE FROM sign_ups WHERE hash IN (SELECT hash FROM sign_ups WHERE expires_at < now() \
         LIMIT 1000 FOR UPDATE SKIP LOCKED)",
    ),
    (
        "password resets",
        "DELETE FROM password_resets WHERE hash IN (SELECT hash FROM password_resets WHERE expires_at < now() \
         LIMIT 1000 FOR UPDATE SKIP LOCKED)",
    ),
    (
        "idempotency keys",
        "DELETE FROM idempotency_keys WHERE (user_id, key) IN (SELECT user_id, key FROM idempotency_keys \
         WHERE created_at < now() - interval '1 day' LIMIT 1000 FOR UPDATE SKIP LOCKED)",
    ),
    // Kept for a while, so that somebody who asks when a session ended finds it.
    (
        "sessions",
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < now() - interval '30 days' \
         LIMIT 1000 FOR UPDATE SKIP LOCKED)",
    ),
];

/// Starts the task that does it.
pub fn start(database: &PgPool, background: &Background) {
    let database = database.clone();
    background.supervise("cleanup", move |stop| {
        let database = database.clone();
        async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(EVERY) => {}
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = remove(&database) => {}
                }
            }
        }
    });
}

/// Removes all that is over. What fails is tried again the next time.
pub async fn remove(database: &PgPool) {
    for (name, statement) in WHAT {
        let mut removed = 0;
        loop {
            match sqlx::query(statement).execute(database).await {
                Ok(done) if done.rows_affected() == 0 => break,
                Ok(done) => removed += done.rows_affected(),
                Err(error) => {
                    warn!("old {name} were not removed: {error}");
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        if removed > 0 {
            info!(removed, "old {name} were removed");
        }
    }
}
