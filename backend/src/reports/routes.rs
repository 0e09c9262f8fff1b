//! `/api/v1/reports`.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::ReportError;
use super::queries::{self, Filter};
use super::types::{NewReport, Report, ReportSummary};
use crate::app::App;
use crate::page::{Bounds, Key, Page};
use crate::problem::{Kind, Problem, Violation};
use crate::request::{Body, Given, Parameters, Query, parameters};

/// List, read and create.
pub fn routes() -> Router<App> {
    Router::new().route("/api/v1/reports", get(list).post(create)).route("/api/v1/reports/{id}", get(read))
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::NotFound => Self::not_found("report"),
            ReportError::NoSuchProgram => Self::invalid(Violation::at("#/program", "is not one that takes reports")),
            ReportError::ProgramNotOpen(slug) => Self::from(Kind::ProgramNotOpen)
                .detail(format!("The program `{slug}` does not take reports at the moment.")),
            ReportError::NotInScope => {
                Self::invalid(Violation::at("#/asset", "is not among the program's assets that are in scope"))
            }
            ReportError::Database(error) => Self::of_database(&error),
        }
    }
}

struct Wanted {
    filter: Filter,
    bounds: Bounds,
}

impl Parameters for Wanted {
    fn read(given: &mut Given<'_>) -> Option<Self> {
        let program = given.optional("program", |slug| Ok(slug.to_owned()));
        let state = given.optional("state", parameters::word);
        let severity = given.optional("severity", parameters::word);
        let bounds = Bounds::read(given);
        let filter = Filter { program: program?, state: state?, severity: severity? };
        Some(Self { filter, bounds: bounds? })
    }
}

async fn list(
    State(app): State<App>,
    Query(Wanted { filter, bounds }): Query<Wanted>,
) -> Result<Json<Page<ReportSummary>>, Problem> {
    let rows = queries::list(&app.database, &filter, &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Report>, Problem> {
    let id = Uuid::parse_str(&id).map_err(|_| ReportError::NotFound)?;
    Ok(Json(queries::find(&app.database, id).await?))
}

async fn create(State(app): State<App>, Body(new): Body<NewReport>) -> Result<Response, Problem> {
    let report = queries::create(&app.database, &new, OffsetDateTime::now_utc()).await?;
    let location = HeaderValue::from_str(&format!("/api/v1/reports/{}", report.summary.id))
        .map_err(|error| Problem::internal(&error))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(report)).into_response())
}
