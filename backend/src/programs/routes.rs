//! `/api/v1/programs`.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use time::OffsetDateTime;

use super::queries::{self, Removal};
use super::types::{NewProgram, Program, ProgramStatus, ProgramSummary};
use crate::app::App;
use crate::page::{Key, Page, Window};
use crate::problem::Problem;
use crate::request::{Body, Query};

/// List, read, create, and remove what is temporary.
pub fn routes() -> Router<App> {
    Router::new().route("/programs", get(list).post(create)).route("/programs/{id_or_slug}", get(read).delete(remove))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    status: Option<ProgramStatus>,
    limit: Option<u16>,
    cursor: Option<String>,
}

async fn list(
    State(app): State<App>,
    Query(Filter { status, limit, cursor }): Query<Filter>,
) -> Result<Json<Page<ProgramSummary>>, Problem> {
    let bounds = Window { limit, cursor }.bounds()?;
    let rows = queries::list(&app.database, status, &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

async fn read(State(app): State<App>, Path(id_or_slug): Path<String>) -> Result<Json<Program>, Problem> {
    queries::find(&app.database, &id_or_slug).await?.map(Json).ok_or_else(|| Problem::not_found("program"))
}

async fn create(State(app): State<App>, Body(new): Body<NewProgram>) -> Result<Response, Problem> {
    let mut connection = app.database.acquire().await?;
    let id = queries::create(&mut connection, &new, OffsetDateTime::now_utc()).await?;
    // Given back before the next query asks the pool, which may have but one.
    drop(connection);
    let program = queries::find(&app.database, &id.to_string())
        .await?
        .ok_or_else(|| Problem::internal(&"the program that was just made is gone"))?;
    let location =
        HeaderValue::from_str(&format!("/api/v1/programs/{}", new.slug)).map_err(|e| Problem::internal(&e))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(program)).into_response())
}

async fn remove(State(app): State<App>, Path(id_or_slug): Path<String>) -> Result<StatusCode, Problem> {
    match queries::remove(&app.database, &id_or_slug).await? {
        Removal::Removed => Ok(StatusCode::NO_CONTENT),
        Removal::NotFound => Err(Problem::not_found("program")),
        Removal::NotTemporary => {
            Err(Problem::new(StatusCode::FORBIDDEN).detail("Only a temporary program can be removed."))
        }
    }
}
