//! Demo data: programs as a company would publish them, with reports in every state.

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use sqlx::{Connection, PgConnection};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::problem::Problem;
use crate::programs::{self, NewProgram, ProgramStatus};
use crate::reports::{self, NewReport, ReportState};
use crate::request::Validate;

const DATA: &str = include_str!("../seeds/demo.json");
/// Lets two seeds at once follow each other.
const LOCK: i64 = 0x7365_6564; // "seed"

#[derive(Deserialize)]
struct Seed {
    #[serde(flatten)]
    program: NewProgram,
    days_old: i64,
    reports: Vec<SeedReport>,
}

#[derive(Deserialize)]
struct SeedReport {
    #[serde(flatten)]
    report: serde_json::Map<String, serde_json::Value>,
    state: ReportState,
    hours_old: i64,
}

/// How much was added; nothing when it was all there.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seeded {
    /// Programs that were not there before.
    pub programs: usize,
    /// Their reports.
    pub reports: usize,
}

/// Adds the demo programs that are missing, each with its reports: all of it or nothing.
pub async fn run(connection: &mut PgConnection) -> Result<Seeded> {
    let seeds: Vec<Seed> = serde_json::from_str(DATA).context("seeds/demo.json")?;
    let now = OffsetDateTime::now_utc();
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    let mut seeded = Seeded::default();
    for seed in &seeds {
        let slug = &seed.program.slug;
        let exists = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM programs WHERE slug = $1) AS "exists!""#, slug)
            .fetch_one(&mut *transaction)
            .await?;
        if exists {
            continue;
        }
        seeded.reports += add(&mut transaction, seed, now).await.with_context(|| format!("seeding {slug}"))?;
        seeded.programs += 1;
    }
    transaction.commit().await?;
    Ok(seeded)
}

async fn add(connection: &mut PgConnection, seed: &Seed, now: OffsetDateTime) -> Result<usize> {
    // Open until its reports are in, as it was when they came.
    let open = NewProgram { status: ProgramStatus::Open, ..seed.program.clone() };
    accepted(&open)?;
    let id = programs::create(connection, &open, now - Duration::days(seed.days_old)).await.map_err(fault)?;
    for entry in &seed.reports {
        let mut report = entry.report.clone();
        report.insert("program".to_owned(), seed.program.slug.clone().into());
        let report: NewReport = serde_json::from_value(report.into())?;
        accepted(&report)?;
        let sent = now - Duration::hours(entry.hours_old);
        let id = reports::create(connection, &report, sent).await.map_err(fault)?;
        set_state(connection, id, entry.state).await?;
    }
    sqlx::query!("UPDATE programs SET status = $2 WHERE id = $1", id, seed.program.status as ProgramStatus)
        .execute(connection)
        .await?;
    Ok(seed.reports.len())
}

async fn set_state(connection: &mut PgConnection, id: Uuid, state: ReportState) -> Result<()> {
    sqlx::query!("UPDATE reports SET state = $2 WHERE id = $1", id, state as ReportState).execute(connection).await?;
    Ok(())
}

fn accepted(input: &impl Validate) -> Result<()> {
    let violations = input.violations();
    anyhow::ensure!(violations.is_empty(), "{}", serde_json::to_string(&violations)?);
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "used as the argument of map_err")]
fn fault(problem: Problem) -> anyhow::Error {
    anyhow!("{}", serde_json::to_string(&problem).unwrap_or_default())
}
