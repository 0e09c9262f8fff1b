//! Whether the service can do its work: `/health` for platforms, `/api/v1/health` with each check for people, and
//! `/health/live` for whoever only wants to know whether the process answers.

mod checks;
mod probe;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;

pub use self::checks::{Check, Checks, Status};
pub use self::probe::Probe;
use crate::COMMIT;
use crate::actor::Operator;
use crate::app::App;

const NO_STORE: [(HeaderName, HeaderValue); 1] = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// The health endpoints. Machines ask them every few seconds.
pub fn routes() -> Router<App> {
    Router::new().route("/health/live", get(live)).route("/health", get(summary)).route("/api/v1/health", get(details))
}

#[derive(Debug, Serialize)]
struct Health<'a> {
    status: Status,
    commit: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<&'a Checks>,
}

async fn live() -> Response {
    (NO_STORE, Json(json!({ "status": Status::Ok }))).into_response()
}

async fn summary(State(app): State<App>) -> Response {
    if app.is_stopping() {
        return answer(&app, Status::Stopping, None);
    }
    answer(&app, app.health.checks().await.status(), None)
}

async fn details(State(app): State<App>, Operator(is_operator): Operator) -> Response {
    let checks = app.health.checks().await;
    let status = if app.is_stopping() { Status::Stopping } else { checks.status() };
    answer(&app, status, is_operator.then_some(&checks))
}

fn answer(app: &App, status: Status, checks: Option<&Checks>) -> Response {
    let code = match status {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Failing | Status::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    let uptime_seconds = checks.is_some().then(|| app.started.elapsed().as_secs());
    let health = Health { status, commit: COMMIT, version: env!("CARGO_PKG_VERSION"), uptime_seconds, checks };
    (code, NO_STORE, Json(health)).into_response()
}
