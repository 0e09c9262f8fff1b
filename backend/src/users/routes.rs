//! `/api/v1/me`, `/api/v1/users` and `/api/v1/temporary-users`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use serde::Serialize;
use uuid::Uuid;

use super::error::UserError;
use super::queries::{self, Filter, NewUser};
use super::types::{NewTemporaryUser, ProfileChange, User, UserChange};
use crate::actor::{Operator, SignedIn};
use crate::app::App;
use crate::page::{Bounds, Key, Page};
use crate::policy::{self, Action, Subject};
use crate::problem::{Kind, Problem};
use crate::request::{Body, Given, Parameters, Query, parameters};
use crate::session::{EndedBy, Token, queries as sessions};

/// Oneself, everybody, and what automatic checks make.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/me", get(me).patch(change_me))
        .route("/api/v1/users", get(list))
        .route("/api/v1/users/{id}", patch(change))
        .route("/api/v1/temporary-users", post(create_temporary))
        .route("/api/v1/temporary-users/{id}", delete(remove_temporary))
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => Self::not_found("user"),
            UserError::NotAllowed => Kind::Forbidden.into(),
            UserError::HandleTaken(handle) => {
                Self::from(Kind::HandleTaken).detail(format!("There already is an account with the handle `{handle}`."))
            }
            // No route tells of an address that is taken: whoever asks could find out who has an account.
            UserError::EmailTaken => Self::internal(&error),
            UserError::Database(error) => Self::of_database(&error),
        }
    }
}

async fn me(State(app): State<App>, actor: SignedIn) -> Result<Json<User>, Problem> {
    Ok(Json(queries::find(&app.database, actor.identity.user).await?))
}

async fn change_me(
    State(app): State<App>,
    actor: SignedIn,
    Body(change): Body<ProfileChange>,
) -> Result<Json<User>, Problem> {
    Ok(Json(queries::rename(&app.database, actor.identity.user, change.name.as_deref()).await?))
}

struct Wanted {
    filter: Filter,
    bounds: Bounds,
}

impl Parameters for Wanted {
    fn read(given: &mut Given<'_>) -> Option<Self> {
        let role = given.optional("role", parameters::word);
        let status = given.optional("status", parameters::word);
        let search = given.optional("q", parameters::search);
        let bounds = Bounds::read(given);
        let filter = Filter { role: role?, status: status?, search: search? };
        Some(Self { filter, bounds: bounds? })
    }
}

async fn list(
    State(app): State<App>,
    actor: SignedIn,
    Query(Wanted { filter, bounds }): Query<Wanted>,
) -> Result<Json<Page<User>>, Problem> {
    policy::require(Subject::of(Some(actor.identity.role), false, false), Action::ListUsers, "user")?;
    let rows = queries::list(&app.database, &filter, &bounds).await?;
    Ok(Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id })))
}

async fn change(
    State(app): State<App>,
    actor: SignedIn,
    Path(id): Path<String>,
    Body(change): Body<UserChange>,
) -> Result<Json<User>, Problem> {
    policy::require(Subject::of(Some(actor.identity.role), false, false), Action::ChangeUser, "user")?;
    let id = Uuid::parse_str(&id).map_err(|_| UserError::NotFound)?;
    if id == actor.identity.user {
        let problem = Problem::from(Kind::Forbidden);
        return Err(problem.detail("Administrators cannot change their own role or status; another one can."));
    }
    let (user, ended) = queries::change(&app.database, id, actor.identity.user, &change).await?;
    app.sessions.ended(&ended).await;
    Ok(Json(user))
}

/// A user that an automatic check signs in as.
#[derive(Serialize)]
struct TemporaryUser {
    id: Uuid,
    handle: String,
    email: String,
    password: String,
}

async fn create_temporary(
    State(app): State<App>,
    Operator(is_operator): Operator,
    Body(new): Body<NewTemporaryUser>,
) -> Result<(StatusCode, Json<TemporaryUser>), Problem> {
    operators_only(is_operator)?;
    let password = Token::random().text();
    // Before a connection is taken: others need it while this waits for a core.
    let password_hash = app.passwords.hash(password.clone()).await?;
    let mut connection = app.database.acquire().await?;
    queries::remove_abandoned(&mut connection).await?;
    let handle = format!("temporary-{}", &Uuid::new_v4().simple().to_string()[..20]);
    // A domain that no mail can be sent to (RFC 2606 §2).
    let email = format!("{handle}@temporary.invalid");
    let new =
        NewUser { handle: &handle, email: &email, password_hash: &password_hash, role: new.role, temporary: true };
    let id = queries::create(&mut *connection, &new).await?;
    Ok((StatusCode::CREATED, Json(TemporaryUser { id, handle, email, password })))
}

async fn remove_temporary(
    State(app): State<App>,
    Operator(is_operator): Operator,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    operators_only(is_operator)?;
    let id = Uuid::parse_str(&id).map_err(|_| UserError::NotFound)?;
    let mut transaction = app.database.begin().await?;
    let ended = sessions::end_all(&mut *transaction, id, None, EndedBy::Admin).await?;
    queries::remove_temporary(&mut transaction, id).await?;
    transaction.commit().await?;
    app.sessions.ended(&ended).await;
    Ok(StatusCode::NO_CONTENT)
}

fn operators_only(is_operator: bool) -> Result<(), Problem> {
    if is_operator {
        return Ok(());
    }
    Err(Problem::sign_in_required().detail("Show the health token as `Authorization: Bearer <token>`."))
}
