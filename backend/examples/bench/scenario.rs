//! What is asked, on which data.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

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
}

/// Ten thousand reports for twenty programs.
const ROWS: &str = "
    INSERT INTO programs (id, slug, name, summary, status)
    SELECT gen_random_uuid(), 'bench-' || n, 'A program', 'To be measured.', 'open' FROM generate_series(1, 20) n;
    INSERT INTO reports (id, program_id, title, severity, state, description, reporter, created_at)
    SELECT gen_random_uuid(), p.id, 'A report of the usual length, as people write them in a hurry',
           (ARRAY['none', 'low', 'medium', 'high', 'critical'])[1 + n / 20 % 5],
           (ARRAY['new', 'triaged', 'resolved', 'duplicate', 'informative', 'rejected'])[1 + n / 100 % 6],
           repeat('What was found, and how to see it. ', 30), 'night_owl', now() - n * interval '1 minute'
    FROM generate_series(1, 10000) n JOIN programs p ON p.slug = 'bench-' || (1 + n % 20);
    ANALYZE;
";

/// Migrates the database and fills it.
pub async fn prepare(thunder: &Path) -> Result<Rows> {
    servers::run(thunder, &["migrate", "run"])?;
    let mut connection = PgConnection::connect(&std::env::var("DATABASE_URL").context("DATABASE_URL")?).await?;
    connection.execute(ROWS).await?;
    let report: String = sqlx::query_scalar("SELECT id::text FROM reports LIMIT 1").fetch_one(&mut connection).await?;
    Ok(Rows { program: "bench-7".to_owned(), report })
}

impl Scenario {
    pub fn all(Rows { program, report }: &Rows) -> Vec<Self> {
        let new = json!({
            "program": program, "title": "A report of the usual length", "severity": "high",
            "description": "What was found, and how to see it. ".repeat(30), "reporter": "night_owl",
        });
        let get = |name, path: &str, promised| {
            let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
            Self { name, request, promised }
        };
        vec![
            get("live", "/health/live", None),
            get("health", "/health", Some(0.9)),
            get("list of 50", "/api/v1/reports?limit=50", Some(0.9)),
            get("list, filtered", &format!("/api/v1/reports?limit=50&program={program}&state=triaged"), Some(0.9)),
            get("read", &format!("/api/v1/reports/{report}"), None),
            Self { name: "create", request: post("/api/v1/reports", &new.to_string()), promised: None },
        ]
    }
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}
