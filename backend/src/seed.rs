//! Demo data: programs as a company would publish them, with reports in every state.

mod bulk;
mod users;

use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::actor::Role;
use crate::migrations;
use crate::programs::{self, NewProgram, ProgramStatus};
use crate::reports::{self, NewReport, ReportState, Transition};
use crate::request::precondition::IfMatch;
use crate::request::{Input, Json, Members, list, object, read, text, whole, word};
use crate::session::Identity;
use crate::users::handle;

pub use self::bulk::{MOST as MOST_REPORTS, add as add_reports};
pub use self::users::{ADMIN, PASSWORD};
use self::users::{TRIAGER, Users};

const DATA: &str = include_str!("../seeds/demo.json");
/// Lets two seeds at once follow each other.
const LOCK: i64 = 0x7365_6564; // "seed"

/// The demo data.
struct Demo(Vec<Seed>);

impl Input for Demo {
    const MOST_BYTES: usize = DATA.len();

    fn read(members: &mut Members<'_>) -> Option<Self> {
        members.required("programs", list(100, object(Seed::read))).map(Self)
    }
}

/// A program with its reports. Their members are what a client would send, and how old they are.
struct Seed {
    program: NewProgram,
    days_old: i64,
    reports: Vec<SeedReport>,
}

impl Seed {
    fn read(members: &mut Members<'_>) -> Option<Self> {
        let program = NewProgram::read(members);
        let days_old = members.required("days_old", whole(0, 10_000));
        let reports = members.required("reports", list(1000, object(SeedReport::read)));
        Some(Self { program: program?, days_old: days_old?, reports: reports? })
    }
}

struct SeedReport {
    report: NewReport,
    reporter: String,
    state: ReportState,
    hours_old: i64,
}

impl SeedReport {
    fn read(members: &mut Members<'_>) -> Option<Self> {
        let report = NewReport::read(members);
        let reporter = members.required("reporter", text(handle));
        let state = members.required("state", word);
        let hours_old = members.required("hours_old", whole(0, 100_000));
        Some(Self { report: report?, reporter: reporter?, state: state?, hours_old: hours_old? })
    }
}

/// How much was added; nothing when it was all there.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seeded {
    /// Users that were not there before.
    pub users: usize,
    /// Programs that were not there before.
    pub programs: usize,
    /// Their reports.
    pub reports: usize,
}

/// Another process still adds demo data after so many seconds.
#[derive(Debug)]
pub struct Busy(u64);

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "another process still adds demo data after {} s", self.0)
    }
}

impl std::error::Error for Busy {}

/// Adds the demo programs that are missing, each with its reports: all of it or nothing. Waits so long for another
/// process that does the same.
pub async fn run(connection: &mut PgConnection, lock_timeout: Duration) -> Result<Seeded> {
    let Demo(seeds) = read(Json::parse(DATA.as_bytes()).context("seeds/demo.json")?)
        .map_err(|violations| anyhow::anyhow!("seeds/demo.json: {:?}", violations.listed()))?;
    let now = OffsetDateTime::now_utc();
    let mut transaction = connection.begin().await?;
    lock(&mut transaction, lock_timeout).await?;
    let mut seeded = Seeded::default();
    let users = Users::add(&mut transaction, &seeds, &mut seeded).await?;
    for seed in &seeds {
        let slug = &seed.program.slug;
        let exists = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM programs WHERE slug = $1) AS "exists!""#, slug)
            .fetch_one(&mut *transaction)
            .await?;
        if exists {
            continue;
        }
        seeded.reports += add(&mut transaction, &users, seed, now).await.with_context(|| format!("seeding {slug}"))?;
        seeded.programs += 1;
    }
    transaction.commit().await?;
    Ok(seeded)
}

/// Waits so long for another process that adds demo data. The lock is held until the transaction ends.
async fn lock(connection: &mut PgConnection, timeout: Duration) -> Result<()> {
    // PostgreSQL takes 0 for ever.
    let setting = format!("SET LOCAL lock_timeout = {}", timeout.as_millis().max(1));
    sqlx::raw_sql(AssertSqlSafe(setting)).execute(&mut *connection).await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(connection).await;
    match lock {
        Err(error) if migrations::is_lock_timeout(&error) => Err(Busy(timeout.as_secs()).into()),
        outcome => Ok(outcome.map(drop)?),
    }
}

async fn add(connection: &mut PgConnection, users: &Users, seed: &Seed, now: OffsetDateTime) -> Result<usize> {
    // Open until its reports are in, as it was when they came.
    let open = NewProgram { status: ProgramStatus::Open, ..seed.program.clone() };
    let made = now - time::Duration::days(seed.days_old);
    let triager = users.identity(TRIAGER, Role::Triager)?;
    let program = programs::create(connection, &open, Some(&triager), made).await?;
    let mut first = None;
    for entry in &seed.reports {
        let sent = now - time::Duration::hours(entry.hours_old);
        let sender = users.identity(&entry.reporter, Role::Researcher)?;
        let report = reports::create(&mut *connection, &entry.report, &sender, sent).await?;
        let id = report.summary.id;
        bring_to(connection, id, *first.get_or_insert(id), entry.state, &triager).await?;
    }
    let (id, status) = (program.summary.id, seed.program.status);
    sqlx::query!("UPDATE programs SET status = $2 WHERE id = $1", id, status as ProgramStatus)
        .execute(connection)
        .await?;
    Ok(seed.reports.len())
}

/// Takes a new report to a state as the triager would: by way of those before it. A duplicate is one of the first report.
async fn bring_to(
    connection: &mut PgConnection,
    id: Uuid,
    first: Uuid,
    state: ReportState,
    triager: &Identity,
) -> Result<()> {
    let way: &[ReportState] = match state {
        ReportState::New => &[],
        ReportState::Resolved => &[ReportState::Triaged, ReportState::Resolved],
        _ => &[state],
    };
    for to in way {
        let duplicate_of = (*to == ReportState::Duplicate).then_some(first);
        let wanted = Transition { to: *to, duplicate_of };
        reports::transition(connection, id, triager, &IfMatch::default(), &wanted).await?;
    }
    Ok(())
}
