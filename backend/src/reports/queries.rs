//! Reports in the database.

use sqlx::{PgExecutor, Postgres, QueryBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::ReportError;
use super::types::{NewReport, Report, ReportState, ReportSummary, Severity};
use crate::page::Bounds;
use crate::programs::{ProgramKey, ProgramStatus};

/// Which reports a list shows.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Those of the program with this slug.
    pub program: Option<String>,
    /// Those in this state.
    pub state: Option<ReportState>,
    /// Those of this severity.
    pub severity: Option<Severity>,
}

/// One row more than the page holds, newest first.
///
/// Only the conditions that are asked for stand in the query, so that each combination has a plan of its own, and the
/// program's slug is looked up first, so that an index gives the order.
pub async fn list(
    database: impl PgExecutor<'_>,
    filter: &Filter,
    bounds: &Bounds,
) -> Result<Vec<ReportSummary>, ReportError> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT r.id, r.number, p.slug AS program, r.title, r.severity, r.state, r.weakness, r.asset, r.reporter, \
         r.created_at, r.updated_at FROM reports r JOIN programs p ON p.id = r.program_id WHERE true",
    );
    if let Some(slug) = &filter.program {
        query.push(" AND r.program_id = (SELECT id FROM programs WHERE slug = ").push_bind(slug).push(")");
    }
    if let Some(state) = filter.state {
        query.push(" AND r.state = ").push_bind(state);
    }
    if let Some(severity) = filter.severity {
        query.push(" AND r.severity = ").push_bind(severity);
    }
    bounds.push(&mut query, "r.");
    Ok(query.build_query_as().fetch_all(database).await?)
}

/// The report with that id.
pub async fn find(database: impl PgExecutor<'_>, id: Uuid) -> Result<Report, ReportError> {
    let row = sqlx::query!(
        r#"SELECT r.id, r.number, p.slug AS program, r.title, r.severity AS "severity: Severity",
                  r.state AS "state: ReportState", r.weakness, r.asset, r.reporter, r.description,
                  r.created_at, r.updated_at
           FROM reports r JOIN programs p ON p.id = r.program_id
           WHERE r.id = $1"#,
        id,
    )
    .fetch_optional(database)
    .await?
    .ok_or(ReportError::NotFound)?;
    Ok(Report {
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
    })
}

/// Stores a report whose rules were checked, sent at `created_at`, in one statement.
///
/// The program is locked against changes for the moment, so that a report cannot slip into one that is just closing.
pub async fn create(
    database: impl PgExecutor<'_>,
    new: &NewReport,
    created_at: OffsetDateTime,
) -> Result<Report, ReportError> {
    let id = Uuid::now_v7();
    let key = ProgramKey::from(new.program.as_str());
    let (program_id, slug) = key.parts();
    let row = sqlx::query!(
        r#"WITH program AS MATERIALIZED (
               SELECT p.id, p.slug, p.status, a.in_scope
               FROM programs p LEFT JOIN program_assets a ON a.program_id = p.id AND a.identifier = $7
               WHERE p.id = coalesce($2, (SELECT s.id FROM programs s WHERE s.slug = $3))
               FOR SHARE OF p
           ), made AS (
               INSERT INTO reports (id, program_id, title, severity, weakness, asset, description, reporter, created_at,
                                    updated_at)
               SELECT $1, program.id, $4, $5, $6, $7, $8, $9, $10, $10
               FROM program WHERE program.status = 'open' AND ($7::text IS NULL OR program.in_scope)
               RETURNING number, created_at, updated_at
           )
           SELECT program.slug, program.status AS "status: ProgramStatus", made.number AS "number?",
                  made.created_at AS "created_at?", made.updated_at AS "updated_at?"
           FROM program LEFT JOIN made ON true"#,
        id,
        program_id,
        slug,
        new.title,
        new.severity as Severity,
        new.weakness,
        new.asset,
        new.description,
        new.reporter,
        created_at,
    )
    .fetch_optional(database)
    .await?
    .ok_or(ReportError::NoSuchProgram)?;
    let (Some(number), Some(created_at), Some(updated_at)) = (row.number, row.created_at, row.updated_at) else {
        let is_open = row.status == ProgramStatus::Open;
        return Err(if is_open { ReportError::NotInScope } else { ReportError::ProgramNotOpen(row.slug) });
    };
    let summary = ReportSummary {
        id,
        number,
        program: row.slug,
        title: new.title.clone(),
        severity: new.severity,
        state: ReportState::New,
        weakness: new.weakness,
        asset: new.asset.clone(),
        reporter: new.reporter.clone(),
        created_at,
        updated_at,
    };
    Ok(Report { summary, description: new.description.clone() })
}
