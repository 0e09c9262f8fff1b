//! `/api/v1/programs`.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::ProgramError;
use super::key::ProgramKey;
use super::queries::{self, Filter};
use super::types::{NewProgram, Program, ProgramChange, ProgramSummary};
use super::{changes, members};
use crate::actor::{Actor, SignedIn};
use crate::app::App;
use crate::idempotency::{self, Created, Creation};
use crate::page::{Bounds, Key, Page};
use crate::policy::{self, Action, Subject};
use crate::problem::{Kind, Problem, Violation};
use crate::request::precondition::{IfMatch, etag};
use crate::request::{Body, Given, Parameters, Query, parameters};

/// List, read, create and change; remove what is temporary; say who triages what.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/programs", get(list).post(create))
        .route("/api/v1/programs/{id_or_slug}", get(read).patch(change).delete(remove))
        .route("/api/v1/programs/{id_or_slug}/members/{user}", put(add_member).delete(remove_member))
}

impl From<ProgramError> for Problem {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::NotFound => Self::not_found("program"),
            ProgramError::NotAllowed => Kind::Forbidden.into(),
            ProgramError::Precondition(problem) => problem,
            ProgramError::SlugTaken(slug) => {
                Self::from(Kind::SlugTaken).detail(format!("There already is a program `{slug}`."))
            }
            ProgramError::NotTemporary => {
                Self::from(Kind::Forbidden).detail("Only a temporary program can be removed.")
            }
            ProgramError::AssetInUse => Self::invalid(Violation::at(
                "#/assets",
                "leaves out an asset that reports are about; say `in_scope: false` instead",
            )),
            ProgramError::NoSuchUser => Self::not_found("user"),
            ProgramError::NotTriager => Self::from(Kind::NotTriager),
            ProgramError::Database(error) => Self::of_database(&error),
        }
    }
}

struct Wanted {
    filter: Filter,
    bounds: Bounds,
}

impl Parameters for Wanted {
    fn read(given: &mut Given<'_>) -> Option<Self> {
        let status = given.optional("status", parameters::word);
        let search = given.optional("q", parameters::search);
        let bounds = Bounds::read(given);
        Some(Self { filter: Filter { status: status?, search: search? }, bounds: bounds? })
    }
}

async fn list(
    State(app): State<App>,
    actor: Actor,
    Query(Wanted { filter, bounds }): Query<Wanted>,
) -> Result<Json<Page<ProgramSummary>>, Problem> {
    let rows = queries::list(&app.database, actor.identity.as_ref(), &filter, &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

fn with_etag(program: Program) -> Response {
    ([(header::ETAG, etag(program.summary.version))], Json(program)).into_response()
}

async fn read(State(app): State<App>, actor: Actor, Path(key): Path<String>) -> Result<Response, Problem> {
    let found = queries::find(&app.database, key.as_str().into(), actor.identity.as_ref()).await?;
    Ok(with_etag(found.program))
}

async fn create(
    State(app): State<App>,
    actor: SignedIn,
    Creation { new, key }: Creation<NewProgram>,
) -> Result<Created, Problem> {
    let identity = actor.identity;
    policy::require(Subject::of(Some(identity.role), false, false), Action::CreateProgram, "program")?;
    if new.temporary != identity.temporary {
        let detail =
            if identity.temporary { "must be true for a temporary user" } else { "is for temporary users only" };
        return Err(Problem::invalid(Violation::at("#/temporary", detail)));
    }
    idempotency::once(&app.database, identity.user, key, async |connection| {
        let program = queries::create(connection, &new, Some(&identity), OffsetDateTime::now_utc()).await?;
        Created::new(format!("/api/v1/programs/{}", new.slug), Some(etag(program.summary.version)), &program)
    })
    .await
}

async fn change(
    State(app): State<App>,
    actor: SignedIn,
    Path(key): Path<String>,
    if_match: IfMatch,
    Body(change): Body<ProgramChange>,
) -> Result<Response, Problem> {
    changes::change(&app.database, key.as_str().into(), &actor.identity, &if_match, &change).await?;
    let found = queries::find(&app.database, key.as_str().into(), Some(&actor.identity)).await?;
    Ok(with_etag(found.program))
}

async fn remove(State(app): State<App>, actor: SignedIn, Path(key): Path<String>) -> Result<StatusCode, Problem> {
    queries::remove(&app.database, ProgramKey::from(key.as_str()), &actor.identity).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id is nobody's: whether the program may be known of is asked first.
fn user_id(text: &str) -> Uuid {
    Uuid::parse_str(text).unwrap_or(Uuid::nil())
}

async fn add_member(
    State(app): State<App>,
    actor: SignedIn,
    Path((key, user)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    members::add(&app.database, key.as_str().into(), user_id(&user), &actor.identity).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_member(
    State(app): State<App>,
    actor: SignedIn,
    Path((key, user)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    members::remove(&app.database, key.as_str().into(), user_id(&user), &actor.identity).await?;
    Ok(StatusCode::NO_CONTENT)
}
