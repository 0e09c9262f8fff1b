//! The same answers from axum alone: `axum::serve`, a pool with the library's settings, no layers and no logs.

use std::io::Write;
use std::net::Ipv4Addr;

use anyhow::Result;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use backend::page::{Bounds, Key, Page};
use backend::reports::{self, Filter, NewReport, Report, ReportSummary};
use backend::request::rules::Words;
use redis::aio::ConnectionManager;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use uuid::Uuid;

#[derive(Clone)]
struct Stores {
    database: PgPool,
    redis: ConnectionManager,
}

/// Serves on a free port, which it prints, until it is killed.
pub async fn serve() -> Result<()> {
    let database = PgPoolOptions::new().max_connections(5).connect(&std::env::var("DATABASE_URL")?).await?;
    let redis = ConnectionManager::new(redis::Client::open(std::env::var("REDIS_URL")?)?).await?;
    let router = Router::new()
        .route("/health/live", get(async || Json(json!({ "status": "ok" }))))
        .route("/health", get(health))
        .route("/api/v1/reports", get(list).post(create))
        .route("/api/v1/reports/{id}", get(read))
        .with_state(Stores { database, redis });
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
    let rows = reports::list(&stores.database, &filter, &bounds).await.expect("a list");
    Json(bounds.page(rows, |row| Key { created_at: row.created_at, id: row.id }))
}

async fn read(State(stores): State<Stores>, Path(id): Path<Uuid>) -> Json<Report> {
    Json(reports::find(&stores.database, id).await.expect("a report"))
}

#[derive(Deserialize)]
struct Sent {
    program: String,
    title: String,
    severity: String,
    description: String,
    reporter: String,
}

async fn create(State(stores): State<Stores>, Json(sent): Json<Sent>) -> (StatusCode, Json<Report>) {
    let Sent { program, title, severity, description, reporter } = sent;
    let severity = Words::from_word(&severity).expect("a severity");
    let new = NewReport { program, title, severity, weakness: None, asset: None, description, reporter };
    let report = reports::create(&stores.database, &new, OffsetDateTime::now_utc()).await.expect("a report");
    (StatusCode::CREATED, Json(report))
}
