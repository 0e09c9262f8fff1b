//! The same answers from axum alone: `axum::serve`, a pool with the library's settings, no layers and no logs; and nobody
//! is asked who they are.

use std::io::Write;
use std::net::Ipv4Addr;

use anyhow::Result;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use backend::actor::Role;
use backend::page::{Bounds, Key, Page};
use backend::password::{Passwords, Verdict};
use backend::reports::{self, Filter, NewReport, Report, ReportSummary, Scope};
use backend::request::rules::Words;
use backend::session::{Grant, Identity, Sessions, queries};
use backend::users::{self, User};
use redis::aio::ConnectionManager;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::scenario;

#[derive(Clone)]
struct Stores {
    database: PgPool,
    redis: ConnectionManager,
    asker: Identity,
    passwords: Passwords,
    sessions: Sessions,
}

/// Serves on a free port, which it prints, until it is killed.
pub async fn serve(user: Uuid) -> Result<()> {
    let database = PgPoolOptions::new().max_connections(5).connect(&std::env::var("DATABASE_URL")?).await?;
    let redis = ConnectionManager::new(redis::Client::open(std::env::var("REDIS_URL")?)?).await?;
    let sessions = Sessions::new(&scenario::config()?.signing, database.clone(), redis.clone());
    let asker = Identity { user, session: Uuid::nil(), role: Role::Admin, temporary: false };
    let router = Router::new()
        .route("/health/live", get(async || Json(json!({ "status": "ok" }))))
        .route("/health", get(health))
        .route("/api/v1/reports", get(list).post(create))
        .route("/api/v1/reports/{id}", get(read))
        .route("/api/v1/me", get(me))
        .route("/api/v1/auth/sign-in", post(sign_in))
        .with_state(Stores { database, redis, asker, passwords: Passwords::default(), sessions });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    Ok(axum::serve(listener, router).await?)
}

async fn health(State(stores): State<Stores>) -> Json<Value> {
    sqlx::query("SELECT 1").execute(&stores.database).await.expect("PostgreSQL answers");
    redis::cmd("PING").exec_async(&mut stores.redis.clone()).await.expect("Redis answers");
    Json(json!({ "status": "ok", "commit": backend::COMMIT, "version": env!("CARGO_PKG_VERSION") }))
}

async fn list(State(stores): State<Stores>, RawQuery(query): RawQuery) -> Json<Page<ReportSummary>> {
    let (mut filter, mut limit) = (Filter::default(), 20);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "program" => filter.program = Some(value.into_owned()),
            "state" => filter.state = Words::from_word(&value),
            _ => limit = value.parse().expect("a limit"),
        }
    }
    let bounds = Bounds::first(limit);
    let rows = reports::list(&stores.database, Scope::All, &filter, &bounds).await.expect("a list");
    Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id }))
}

async fn read(State(stores): State<Stores>, Path(id): Path<Uuid>) -> Json<Report> {
    Json(reports::find(&stores.database, id, &stores.asker).await.expect("a report").report)
}

#[derive(Deserialize)]
struct Sent {
    program: String,
    title: String,
    severity: String,
    description: String,
}

async fn create(State(stores): State<Stores>, Json(sent): Json<Sent>) -> (StatusCode, Json<Report>) {
    let Sent { program, title, severity, description } = sent;
    let severity = Words::from_word(&severity).expect("a severity");
    let new = NewReport { program, title, severity, weakness: None, asset: None, description };
    let report =
        reports::create(&stores.database, &new, &stores.asker, OffsetDateTime::now_utc()).await.expect("a report");
    (StatusCode::CREATED, Json(report))
}

async fn me(State(stores): State<Stores>) -> Json<User> {
    Json(users::queries::find(&stores.database, stores.asker.user).await.expect("a user"))
}

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

async fn sign_in(State(stores): State<Stores>, Json(given): Json<Credentials>) -> Json<Grant> {
    let (user, hash): (Uuid, String) = sqlx::query_as("SELECT id, password_hash FROM users WHERE email = $1")
        .bind(given.email)
        .fetch_one(&stores.database)
        .await
        .expect("a user");
    let verdict = stores.passwords.verify(given.password, Some(hash)).await;
    assert!(verdict.is_ok_and(|verdict| verdict == Verdict::Right), "the password is right");
    let mut connection = stores.database.acquire().await.expect("a connection");
    let begun = queries::begin(&mut connection, stores.sessions.hasher(), user, None, "bench", "127.0.0.1").await;
    let (session, token) = begun.expect("a session").expect("a user");
    Json(stores.sessions.grant(user, session, &token).expect("tokens"))
}
