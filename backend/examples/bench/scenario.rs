//! What is asked, on which data.

use std::path::Path;

use anyhow::{Context, Result};
use backend::actor::Role;
use backend::config::Config;
use backend::connect;
use backend::password::Passwords;
use backend::session::{Sessions, queries};
use backend::users::queries::{NewUser, create};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::servers;

/// One kind of request.
pub struct Scenario {
    pub name: &'static str,
    /// The whole request, byte by byte.
    pub request: String,
    /// The least share of the bare handler's rate that is promised.
    pub promised: Option<f64>,
}

/// What the data are known by.
pub struct Rows {
    /// A program with reports.
    program: String,
    /// A report.
    report: String,
    /// Who asks.
    pub asker: Asker,
}

/// An administrator, who sees everything: what is asked for is what the bare handlers ask for.
#[derive(Debug, Clone)]
pub struct Asker {
    pub user: Uuid,
    /// An access token.
    pub token: String,
    pub email: &'static str,
    pub password: &'static str,
}

/// Twenty programs.
const PROGRAMS: &str = "
    INSERT INTO programs (id, slug, name, summary, status)
    SELECT gen_random_uuid(), 'bench-' || n, 'A program', 'To be measured.', 'open' FROM generate_series(1, 20) n;
    INSERT INTO users (id, handle) VALUES (gen_random_uuid(), 'night_owl')";
/// Reports for these programs, from one number to another.
const REPORTS: &str = "
    INSERT INTO reports (id, program_id, title, severity, state, description, reporter_id, reporter, created_at)
    SELECT gen_random_uuid(), p.id, 'A report of the usual length, as people write them in a hurry',
           (ARRAY['none', 'low', 'medium', 'high', 'critical'])[1 + n / 20 % 5],
           (ARRAY['new', 'triaged', 'resolved', 'duplicate', 'informative', 'rejected'])[1 + n / 100 % 6],
           repeat('What was found, and how to see it. ', 30),
           (SELECT id FROM users WHERE handle = 'night_owl'), 'night_owl', now() - n * interval '1 minute'
    FROM generate_series($1::bigint, $2) n JOIN programs p ON p.slug = 'bench-' || (1 + n % 20)";
/// How many reports there are at first, and after [`grow`].
pub const FEW: i64 = 10_000;
pub const MANY: i64 = 1_000_000;

/// Migrates the database and fills it.
pub async fn prepare(thunder: &Path) -> Result<Rows> {
    servers::run(thunder, &["migrate", "run"])?;
    let mut connection = PgConnection::connect(&std::env::var("DATABASE_URL").context("DATABASE_URL")?).await?;
    connection.execute(PROGRAMS).await?;
    add_reports(&mut connection, 1, FEW).await?;
    let report: String = sqlx::query_scalar("SELECT id::text FROM reports LIMIT 1").fetch_one(&mut connection).await?;
    let asker = asker(&mut connection).await?;
    Ok(Rows { program: "bench-7".to_owned(), report, asker })
}

async fn add_reports(connection: &mut PgConnection, first: i64, last: i64) -> Result<()> {
    sqlx::query(REPORTS).bind(first).bind(last).execute(&mut *connection).await?;
    connection.execute("VACUUM ANALYZE").await?;
    Ok(())
}

/// Brings the reports to [`MANY`].
pub async fn grow() -> Result<()> {
    let mut connection = PgConnection::connect(&std::env::var("DATABASE_URL").context("DATABASE_URL")?).await?;
    add_reports(&mut connection, FEW + 1, MANY).await
}

/// The settings under which both sides sign tokens.
pub fn config() -> Result<Config> {
    Config::read(|name| match name {
        "JWT_SECRET" => Some(servers::JWT_SECRET.to_owned()),
        "JWT_REFRESH_SECRET" => Some(servers::JWT_REFRESH_SECRET.to_owned()),
        name => std::env::var(name).ok(),
    })
    .map_err(Into::into)
}

async fn asker(connection: &mut PgConnection) -> Result<Asker> {
    let (email, password) = ("bench@example.com", "a password of the benchmark");
    let hash = Passwords::default().hash(password.to_owned()).await;
    let password_hash = &hash.map_err(|_| anyhow::anyhow!("the password cannot be hashed"))?;
    let new = NewUser { handle: "bench", email, password_hash, role: Role::Admin, temporary: false };
    let user = create(&mut *connection, &new).await?;
    let config = config()?;
    let sessions = Sessions::new(&config.signing, connect::pool(&config)?, connect::redis(&config).await?);
    let begun = queries::begin(connection, sessions.hasher(), user, None, "bench", "127.0.0.1").await?;
    let (session, refresh) = begun.context("no session")?;
    let grant = sessions.grant(user, session, &refresh).map_err(|_| anyhow::anyhow!("no tokens"))?;
    Ok(Asker { user, token: grant.access_token, email, password })
}

impl Scenario {
    /// Whether it costs the same however many reports there are.
    pub fn is_steady(&self) -> bool {
        self.name.starts_with("list")
    }

    pub fn all(Rows { program, report, asker }: &Rows) -> Vec<Self> {
        let new = json!({
            "program": program, "title": "A report of the usual length", "severity": "high",
            "description": "What was found, and how to see it. ".repeat(30),
        });
        let head = format!("host: bench\r\nauthorization: Bearer {}\r\n", asker.token);
        let get = |name, path: &str, promised| {
            let head = if path.starts_with("/health") { "host: bench\r\n" } else { head.as_str() };
            Self { name, request: format!("GET {path} HTTP/1.1\r\n{head}\r\n"), promised }
        };
        let credentials = json!({ "email": asker.email, "password": asker.password }).to_string();
        vec![
            get("live", "/health/live", None),
            get("health", "/health", Some(0.9)),
            get("list of 50", "/api/v1/reports?limit=50", Some(0.8)),
            get("list, filtered", &format!("/api/v1/reports?limit=50&program={program}&state=triaged"), Some(0.8)),
            get("read", &format!("/api/v1/reports/{report}"), Some(0.8)),
            get("me", "/api/v1/me", None),
            Self { name: "create", request: post("/api/v1/reports", &head, &new.to_string()), promised: Some(0.8) },
            Self { name: "sign-in", request: post("/api/v1/auth/sign-in", &head, &credentials), promised: None },
        ]
    }
}

fn post(path: &str, head: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\n{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}
