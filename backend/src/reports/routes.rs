//! `/api/v1/reports`.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::queries::{self, Filter};
use super::types::{NewReport, Report, ReportState, ReportSummary, Severity};
use crate::app::App;
use crate::page::{Key, Page, Window};
use crate::problem::Problem;
use crate::request::{Body, Query};

/// List, read and create.
pub fn routes() -> Router<App> {
    Router::new().route("/reports", get(list).post(create)).route("/reports/{id}", get(read))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    program: Option<String>,
    state: Option<ReportState>,
    severity: Option<Severity>,
    limit: Option<u16>,
    cursor: Option<String>,
}

async fn list(
    State(app): State<App>,
    Query(Parameters { program, state, severity, limit, cursor }): Query<Parameters>,
) -> Result<Json<Page<ReportSummary>>, Problem> {
    let bounds = Window { limit, cursor }.bounds()?;
    let rows = queries::list(&app.database, &Filter { program, state, severity }, &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Report>, Problem> {
    let found = match Uuid::parse_str(&id) {
        Ok(id) => queries::find(&app.database, id).await?,
        Err(_) => None,
    };
    found.map(Json).ok_or_else(|| Problem::not_found("report"))
}

async fn create(State(app): State<App>, Body(new): Body<NewReport>) -> Result<Response, Problem> {
    let mut connection = app.database.acquire().await?;
    let id = queries::create(&mut connection, &new, OffsetDateTime::now_utc()).await?;
    // Given back before the next query asks the pool, which may have but one.
    drop(connection);
    let report = queries::find(&app.database, id)
        .await?
        .ok_or_else(|| Problem::internal(&"the report that was just made is gone"))?;
    let location = HeaderValue::from_str(&format!("/api/v1/reports/{id}")).map_err(|e| Problem::internal(&e))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(report)).into_response())
}
