//! Reports in the database.

use sqlx::{Connection, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::types::{NewReport, Report, ReportState, ReportSummary, Severity};
use crate::page::Bounds;
use crate::problem::{Problem, Violation};
use crate::programs::ProgramStatus;

/// Which reports a list shows.
#[derive(Debug, Default)]
pub struct Filter {
    /// Those of the program with this slug.
    pub program: Option<String>,
    /// Those in this state.
    pub state: Option<ReportState>,
    /// Those of this severity.
    pub severity: Option<Severity>,
}

/// One row more than the page holds, newest first.
pub async fn list(database: &PgPool, filter: &Filter, bounds: &Bounds) -> Result<Vec<ReportSummary>, sqlx::Error> {
    sqlx::query_as!(
        ReportSummary,
        r#"SELECT r.id, r.number, p.slug AS program, r.title, r.severity AS "severity: Severity",
                  r.state AS "state: ReportState", r.weakness, r.asset, r.reporter, r.created_at, r.updated_at
           FROM reports r JOIN programs p ON p.id = r.program_id
           WHERE ($1::text IS NULL OR p.slug = $1)
             AND ($2::text IS NULL OR r.state = $2)
             AND ($3::text IS NULL OR r.severity = $3)
             AND ($4::timestamptz IS NULL OR (r.created_at, r.id) < ($4, $5::uuid))
           ORDER BY r.created_at DESC, r.id DESC
           LIMIT $6"#,
        filter.program,
        filter.state as Option<ReportState>,
        filter.severity as Option<Severity>,
        bounds.after_created_at(),
        bounds.after_id(),
        bounds.rows(),
    )
    .fetch_all(database)
    .await
}

/// The report with that id.
pub async fn find(database: &PgPool, id: Uuid) -> Result<Option<Report>, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT r.id, r.number, p.slug AS program, r.title, r.severity AS "severity: Severity",
                  r.state AS "state: ReportState", r.weakness, r.asset, r.reporter, r.description,
                  r.created_at, r.updated_at
           FROM reports r JOIN programs p ON p.id = r.program_id
           WHERE r.id = $1"#,
        id,
    )
    .fetch_optional(database)
    .await?;
    Ok(found.map(|row| Report {
        summary: ReportSummary {
            id: row.id,
            number: row.number,
            program: row.program,
            title: row.title,
            severity: row.severity,
            state: row.state,
            weakness: row.weakness,
            asset: row.asset,
            reporter: row.reporter,
            created_at: row.created_at,
            updated_at: row.updated_at,
        },
        description: row.description,
    }))
}

/// Stores a report whose rules were checked, sent at `created_at`, and gives back its id.
///
/// The program is locked against changes for the moment, so that a report cannot slip into one that is just closing.
pub async fn create(
    connection: &mut PgConnection,
    new: &NewReport,
    created_at: OffsetDateTime,
) -> Result<Uuid, Problem> {
    let mut transaction = connection.begin().await?;
    let program = sqlx::query!(
        r#"SELECT p.id, p.slug, p.status AS "status: ProgramStatus", a.in_scope AS "in_scope?"
           FROM programs p LEFT JOIN program_assets a ON a.program_id = p.id AND a.identifier = $3
           WHERE p.id = $1 OR p.slug = $2
           FOR SHARE OF p"#,
        Uuid::parse_str(&new.program).ok(),
        new.program,
        new.asset,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(|| Problem::invalid(vec![Violation::at("#/program", "is not one that takes reports")]))?;
    if program.status != ProgramStatus::Open {
        return Err(Problem::conflict(format!("The program `{}` does not take reports at the moment.", program.slug)));
    }
    if new.asset.is_some() && program.in_scope != Some(true) {
        let detail = "is not among the program's assets that are in scope";
        return Err(Problem::invalid(vec![Violation::at("#/asset", detail)]));
    }
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO reports (id, program_id, title, severity, weakness, asset, description, reporter, created_at,
                              updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        id,
        program.id,
        new.title,
        new.severity as Severity,
        new.weakness,
        new.asset,
        new.description,
        new.reporter,
        created_at,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(id)
}
