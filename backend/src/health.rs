//! Whether the service can do its work: `/health` for platforms, `/api/v1/health` with each check for people.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::app::App;
use crate::logging::milliseconds;
use crate::migrations;

/// How long one check may take: a platform's probe gives up soon after.
const CHECK: Duration = Duration::from_secs(2);

/// The two health endpoints.
pub fn routes() -> Router<App> {
    Router::new().route("/health", get(summary)).route("/api/v1/health", get(details))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// A check fails.
    Failing,
    /// The process was told to stop and finishes what it has.
    Stopping,
}

#[derive(Debug, Serialize)]
struct Health {
    status: Status,
    commit: String,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

#[derive(Debug, Serialize)]
struct Checks {
    postgres: Check,
    redis: Check,
    migrations: Check,
}

#[derive(Debug, Serialize)]
struct Check {
    status: Status,
    latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

async fn summary(State(app): State<App>) -> Response {
    let (status, _) = examine(&app).await;
    answer(&app, status, None)
}

async fn details(State(app): State<App>, headers: HeaderMap) -> Response {
    let (status, checks) = examine(&app).await;
    let may_see = match &app.config.health_token {
        None => true,
        Some(token) => headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .is_some_and(|given| is_same(given, token.reveal().as_bytes())),
    };
    answer(&app, status, may_see.then_some(checks))
}

/// Compares without leaving early, so that the time taken tells nothing about the token.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn answer(app: &App, status: Status, checks: Option<Checks>) -> Response {
    let code = if status == Status::Ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = Health {
        status,
        commit: app.config.commit.clone().unwrap_or_else(|| "unknown".to_owned()),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: checks.is_some().then(|| app.started.elapsed().as_secs()),
        checks,
    };
    (code, [(header::CACHE_CONTROL, "no-store")], Json(health)).into_response()
}

async fn examine(app: &App) -> (Status, Checks) {
    let (postgres, redis, migrations) = tokio::join!(
        check(async { sqlx::query("SELECT 1").execute(&app.database).await.map(|_| ()).map_err(Into::into) }),
        check(async {
            let mut connection = app.redis.clone();
            redis::cmd("PING").query_async::<()>(&mut connection).await.map_err(Into::into)
        }),
        check_migrations(app),
    );
    let checks = Checks { postgres, redis, migrations };
    let all_well = [&checks.postgres, &checks.redis, &checks.migrations].iter().all(|one| one.status == Status::Ok);
    let status = match (app.is_stopping(), all_well) {
        (true, _) => Status::Stopping,
        (false, true) => Status::Ok,
        (false, false) => Status::Failing,
    };
    (status, checks)
}

async fn check(question: impl Future<Output = anyhow::Result<()>>) -> Check {
    let started = Instant::now();
    let error = match tokio::time::timeout(CHECK, question).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some(format!("no answer within {} s", CHECK.as_secs())),
    };
    let latency_ms = milliseconds(started.elapsed());
    let status = if error.is_none() { Status::Ok } else { Status::Failing };
    Check { status, latency_ms, head: None, pending: None, error }
}

/// Pending migrations make the service unfit; ones that only the database knows do not, or the version before could
/// not stay up while the next one is rolled out.
async fn check_migrations(app: &App) -> Check {
    let found = std::sync::OnceLock::new();
    let mut outcome = check(async {
        let mut connection = app.database.acquire().await?;
        let entries = migrations::status(&mut connection, &migrations::EMBEDDED).await?;
        let count = |state| entries.iter().filter(|entry| entry.state == state).count();
        let pending = count(migrations::State::Pending) + count(migrations::State::Empty);
        let altered = count(migrations::State::Altered);
        let applied = entries.iter().filter(|entry| entry.applied_at.is_some());
        // Set once: this future runs once.
        found.get_or_init(|| (applied.map(|entry| entry.version).max(), pending));
        anyhow::ensure!(pending == 0, "{pending} pending");
        anyhow::ensure!(altered == 0, "{altered} altered after they were applied");
        Ok(())
    })
    .await;
    if let Some((head, pending)) = found.into_inner() {
        (outcome.head, outcome.pending) = (head, Some(pending));
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_whole() {
        assert!(is_same(b"token", b"token"));
        for wrong in [&b"toke"[..], b"tokeN", b"token1", b""] {
            assert!(!is_same(wrong, b"token"));
        }
    }
}
