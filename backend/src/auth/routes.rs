//! `/api/v1/auth`, and what concerns one's own password and sessions.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Serialize;
use uuid::Uuid;

use super::passwords;
use super::sign_in::{self, Device};
use super::sign_up;
use super::types::{ChangePassword, ConfirmEmail, ConfirmReset, Refresh, ResetPassword, SignIn, SignUp};
use crate::actor::{ClientAddress, SignedIn};
use crate::app::App;
use crate::problem::Problem;
use crate::request::Body;
use crate::session::{EndedBy, Grant, SessionSummary, queries as sessions};

/// Every route.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/auth/sign-up", post(sign_up))
        .route("/api/v1/auth/confirm-email", post(confirm_email))
        .route("/api/v1/auth/sign-in", post(sign_in))
        .route("/api/v1/auth/refresh", post(refresh))
        .route("/api/v1/auth/sign-out", post(sign_out))
        .route("/api/v1/auth/sign-out-everywhere", post(sign_out_everywhere))
        .route("/api/v1/auth/password-reset", post(ask_for_reset))
        .route("/api/v1/auth/password-reset/confirm", post(reset))
        .route("/api/v1/me/password", put(change_password))
        .route("/api/v1/me/sessions", get(list_sessions))
        .route("/api/v1/me/sessions/{id}", delete(end_session))
}

async fn sign_up(State(app): State<App>, Body(new): Body<SignUp>) -> Result<StatusCode, Problem> {
    sign_up::sign_up(&app, new).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn confirm_email(State(app): State<App>, Body(given): Body<ConfirmEmail>) -> Result<StatusCode, Problem> {
    sign_up::confirm_email(&app, given).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sign_in(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Body(given): Body<SignIn>,
) -> Result<Json<Grant>, Problem> {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let user_agent = user_agent.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let device = Device { user_agent, address: address.to_string() };
    Ok(Json(sign_in::sign_in(&app, given, &device).await?))
}

async fn refresh(State(app): State<App>, Body(Refresh(token)): Body<Refresh>) -> Result<Json<Grant>, Problem> {
    Ok(Json(sign_in::refresh(&app, &token).await?))
}

async fn sign_out(State(app): State<App>, actor: SignedIn) -> Result<StatusCode, Problem> {
    end(&app, &actor, actor.identity.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sign_out_everywhere(State(app): State<App>, actor: SignedIn) -> Result<StatusCode, Problem> {
    let ended = sessions::end_all(&app.database, actor.identity.user, None, EndedBy::SignOut).await?;
    app.sessions.ended(&ended).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn ask_for_reset(
    State(app): State<App>,
    Body(ResetPassword(email)): Body<ResetPassword>,
) -> Result<StatusCode, Problem> {
    passwords::ask_for_reset(&app, &email).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn reset(State(app): State<App>, Body(given): Body<ConfirmReset>) -> Result<StatusCode, Problem> {
    passwords::reset(&app, given).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change_password(
    State(app): State<App>,
    actor: SignedIn,
    Body(given): Body<ChangePassword>,
) -> Result<StatusCode, Problem> {
    passwords::change(&app, &actor.identity, given).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The sessions of a user: too few for pages.
#[derive(Serialize)]
struct SessionList {
    items: Vec<SessionSummary>,
}

async fn list_sessions(State(app): State<App>, actor: SignedIn) -> Result<Json<SessionList>, Problem> {
    let items = sessions::list(&app.database, &actor.identity).await?;
    Ok(Json(SessionList { items }))
}

async fn end_session(State(app): State<App>, actor: SignedIn, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id = Uuid::parse_str(&id).map_err(|_| Problem::not_found("session"))?;
    end(&app, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn end(app: &App, actor: &SignedIn, session: Uuid) -> Result<(), Problem> {
    if !sessions::end_one(&app.database, actor.identity.user, session, EndedBy::SignOut).await? {
        return Err(Problem::not_found("session"));
    }
    app.sessions.ended(&[session]).await;
    Ok(())
}
