//! `/api/v1/reports`.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use time::OffsetDateTime;
use uuid::Uuid;

use super::changes;
use super::error::ReportError;
use super::lists::{self, Filter, Scope};
use super::queries::{self, Found};
use super::types::{Comment, Event, NewComment, NewReport, Report, ReportChange, ReportSummary, Transition};
use crate::actor::SignedIn;
use crate::app::App;
use crate::idempotency::{self, Created, Creation};
use crate::page::{Bounds, Key, Page};
use crate::policy::{self, Action, Subject, Verdict};
use crate::problem::{Kind, Problem, Violation};
use crate::request::precondition::{IfMatch, etag};
use crate::request::rules::Words;
use crate::request::{Body, Given, Parameters, Query, parameters};

/// List, read, create, change, move and comment.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/reports", get(list).post(create))
        .route("/api/v1/reports/{id}", get(read).patch(change))
        .route("/api/v1/reports/{id}/transitions", post(transition))
        .route("/api/v1/reports/{id}/events", get(list_events))
        .route("/api/v1/reports/{id}/comments", get(list_comments).post(comment))
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        let word =
            |state| super::ReportState::WORDS.iter().find(|(_, known)| *known == state).map_or("", |(word, _)| word);
        match error {
            ReportError::NotFound => Self::not_found("report"),
            ReportError::NotAllowed => Kind::Forbidden.into(),
            ReportError::AlreadyTriaged => Self::from(Kind::Forbidden)
                .detail("Its sender can change a report as long as it is new; comment on it instead."),
            ReportError::Precondition(problem) => problem,
            ReportError::NoSuchProgram => Self::invalid(Violation::at("#/program", "is not one that takes reports")),
            ReportError::ProgramNotOpen(slug) => Self::from(Kind::ProgramNotOpen)
                .detail(format!("The program `{slug}` does not take reports at the moment.")),
            ReportError::NotInScope => {
                Self::invalid(Violation::at("#/asset", "is not among the program's assets that are in scope"))
            }
            ReportError::TransitionNotAllowed { from, to } => Self::from(Kind::TransitionNotAllowed).detail(format!(
                "The report is {}, and does not get from there to {}.",
                word(from),
                word(to)
            )),
            ReportError::NoSuchOriginal => {
                Self::invalid(Violation::at("#/duplicate_of", "is not another report of the same program"))
            }
            ReportError::OriginalIsDuplicate => Self::invalid(Violation::at(
                "#/duplicate_of",
                "is a duplicate itself; name the report that it is one of",
            )),
            ReportError::HasDuplicates => {
                Self::invalid(Violation::at("#/to", "cannot be duplicate, as other reports are duplicates of this one"))
            }
            ReportError::Database(error) => Self::of_database(&error),
        }
    }
}

fn id(text: &str) -> Result<Uuid, ReportError> {
    Uuid::parse_str(text).map_err(|_| ReportError::NotFound)
}

fn with_etag(report: Report) -> Response {
    ([(header::ETAG, etag(report.summary.version))], Json(report)).into_response()
}

/// The report, for whoever may do that with it.
async fn permitted(app: &App, report: &str, actor: &SignedIn, action: Action) -> Result<Found, Problem> {
    let found = queries::find(&app.database, id(report)?, &actor.identity).await?;
    policy::require(found.subject, action, "report")?;
    Ok(found)
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
        let search = given.optional("q", parameters::search);
        let bounds = Bounds::read(given);
        let filter = Filter { program: program?, state: state?, severity: severity?, search: search? };
        Some(Self { filter, bounds: bounds? })
    }
}

async fn list(
    State(app): State<App>,
    actor: SignedIn,
    Query(Wanted { filter, bounds }): Query<Wanted>,
) -> Result<Json<Page<ReportSummary>>, Problem> {
    let _place = match &filter.search {
        Some(_) => Some(app.admission.search().await?),
        None => None,
    };
    let rows = lists::list(&app.database, Scope::of(&actor.identity), &filter, &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

async fn read(State(app): State<App>, actor: SignedIn, Path(report): Path<String>) -> Result<Response, Problem> {
    permitted(&app, &report, &actor, Action::ReadReport).await.map(|found| with_etag(found.report))
}

async fn create(
    State(app): State<App>,
    actor: SignedIn,
    Creation { new, key }: Creation<NewReport>,
) -> Result<Created, Problem> {
    policy::require(Subject::of(Some(actor.identity.role), false, false), Action::CreateReport, "report")?;
    let now = OffsetDateTime::now_utc();
    let created = |report: &Report| {
        let summary = &report.summary;
        Created::new(format!("/api/v1/reports/{}", summary.id), Some(etag(summary.version)), report)
    };
    if key.is_none() {
        // One statement, and no transaction around it.
        return created(&queries::create(&app.database, &new, &actor.identity, now).await?);
    }
    idempotency::once(&app.database, actor.identity.user, key, async |connection| {
        created(&queries::create(connection, &new, &actor.identity, now).await?)
    })
    .await
}

async fn change(
    State(app): State<App>,
    actor: SignedIn,
    Path(report): Path<String>,
    if_match: IfMatch,
    Body(change): Body<ReportChange>,
) -> Result<Response, Problem> {
    let id = id(&report)?;
    changes::change(&mut *app.database.acquire().await?, id, &actor.identity, &if_match, &change).await?;
    Ok(with_etag(queries::find(&app.database, id, &actor.identity).await?.report))
}

async fn transition(
    State(app): State<App>,
    actor: SignedIn,
    Path(report): Path<String>,
    if_match: IfMatch,
    Body(wanted): Body<Transition>,
) -> Result<Response, Problem> {
    let id = id(&report)?;
    changes::transition(&mut *app.database.acquire().await?, id, &actor.identity, &if_match, &wanted).await?;
    Ok(with_etag(queries::find(&app.database, id, &actor.identity).await?.report))
}

fn sees_internal(subject: Subject) -> bool {
    policy::verdict(subject, Action::CommentInternally) == Verdict::Allowed
}

async fn list_events(
    State(app): State<App>,
    actor: SignedIn,
    Path(report): Path<String>,
    Query(bounds): Query<Bounds>,
) -> Result<Json<Page<Event>>, Problem> {
    let Found { report, subject } = permitted(&app, &report, &actor, Action::ReadReport).await?;
    let rows = lists::events(&app.database, report.summary.id, sees_internal(subject), &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

async fn list_comments(
    State(app): State<App>,
    actor: SignedIn,
    Path(report): Path<String>,
    Query(bounds): Query<Bounds>,
) -> Result<Json<Page<Comment>>, Problem> {
    let Found { report, subject } = permitted(&app, &report, &actor, Action::ReadReport).await?;
    let rows = lists::comments(&app.database, report.summary.id, sees_internal(subject), &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

async fn comment(
    State(app): State<App>,
    actor: SignedIn,
    Path(report): Path<String>,
    Creation { new, key }: Creation<NewComment>,
) -> Result<Created, Problem> {
    let action = if new.internal { Action::CommentInternally } else { Action::Comment };
    let report = permitted(&app, &report, &actor, action).await?.report.summary.id;
    idempotency::once(&app.database, actor.identity.user, key, async |connection| {
        let made = changes::comment(connection, report, &actor.identity, &new).await?;
        Created::new(format!("/api/v1/reports/{report}/comments"), None, &made)
    })
    .await
}
