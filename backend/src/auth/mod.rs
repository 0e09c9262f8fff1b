//! Signing up, signing in and out, and passwords.

mod mails;
mod passwords;
mod queries;
mod routes;
mod sign_in;
mod sign_up;
mod types;

use std::time::Duration;

use axum::Router;
use tokio::time::{Instant, sleep_until};

use crate::app::App;

/// The shortest time that an answer takes which must not tell whether there is an account. What differs stays below it.
const SHORTEST: Duration = Duration::from_millis(250);
/// The same for a sign-in that fails: hashes of other makers take longer to compare.
const SHORTEST_FAILURE: Duration = Duration::from_millis(500);

/// Every route.
pub fn routes() -> Router<App> {
    routes::routes()
}

/// Does something, and waits until it has taken so long.
async fn at_least<T>(shortest: Duration, work: impl Future<Output = T>) -> T {
    let until = Instant::now() + shortest;
    let outcome = work.await;
    sleep_until(until).await;
    outcome
}
