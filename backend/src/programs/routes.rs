//! `/api/v1/programs`.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use time::OffsetDateTime;

use super::error::ProgramError;
use super::queries;
use super::types::{NewProgram, Program, ProgramKey, ProgramStatus, ProgramSummary};
use crate::actor::Actor;
use crate::app::App;
use crate::page::{Bounds, Key, Page};
use crate::problem::{Kind, Problem};
use crate::request::{Body, Given, Parameters, Query, parameters};

/// List, read, create, and remove what is temporary.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/programs", get(list).post(create))
        .route("/api/v1/programs/{id_or_slug}", get(read).delete(remove))
}

impl From<ProgramError> for Problem {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::NotFound => Self::not_found("program"),
            ProgramError::SlugTaken(slug) => {
                Self::from(Kind::SlugTaken).detail(format!("There already is a program `{slug}`."))
            }
            ProgramError::NotTemporary => {
                Self::from(Kind::Forbidden).detail("Only a temporary program can be removed.")
            }
            ProgramError::Database(error) => Self::of_database(&error),
        }
    }
}

struct Filter {
    status: Option<ProgramStatus>,
    bounds: Bounds,
}

impl Parameters for Filter {
    fn read(given: &mut Given<'_>) -> Option<Self> {
        let status = given.optional("status", parameters::word);
        let bounds = Bounds::read(given);
        Some(Self { status: status?, bounds: bounds? })
    }
}

async fn list(
    State(app): State<App>,
    Query(Filter { status, bounds }): Query<Filter>,
) -> Result<Json<Page<ProgramSummary>>, Problem> {
    let rows = queries::list(&app.database, status, &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

async fn read(State(app): State<App>, Path(key): Path<String>) -> Result<Json<Program>, Problem> {
    Ok(Json(queries::find(&app.database, key.as_str().into()).await?))
}

async fn create(State(app): State<App>, Body(new): Body<NewProgram>) -> Result<Response, Problem> {
    let mut connection = app.database.acquire().await.map_err(|error| Problem::of_database(&error))?;
    let program = queries::create(&mut connection, &new, OffsetDateTime::now_utc()).await?;
    let location =
        HeaderValue::from_str(&format!("/api/v1/programs/{}", new.slug)).map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(program)).into_response())
}

async fn remove(State(app): State<App>, actor: Actor, Path(key): Path<String>) -> Result<StatusCode, Problem> {
    queries::remove(&app.database, ProgramKey::from(key.as_str()), &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
