//! Reports in the database: sending and reading them.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::ReportError;
use super::types::{NewReport, Report, ReportState, ReportSummary, Severity};
use crate::policy::Subject;
use crate::programs::{ProgramKey, ProgramStatus};
use crate::session::Identity;

/// A report, with the relation of the user who asks for it.
pub struct Found {
    /// The report.
    pub report: Report,
    /// The relation of the user who asks.
    pub subject: Subject,
}

/// The report with that id, for whoever is signed in.
pub async fn find(database: impl PgExecutor<'_>, id: Uuid, asker: &Identity) -> Result<Found, ReportError> {
    let row = sqlx::query!(
        r#"SELECT r.id, r.number, p.slug AS program, r.title, r.severity AS "severity: Severity",
                  r.state AS "state: ReportState", r.weakness, r.asset, u.handle AS reporter, r.description,
                  r.duplicate_of, r.version, r.created_at, r.updated_at,
                  u.id = $2 AS "is_reporter!",
                  EXISTS (SELECT FROM program_members m WHERE m.user_id = $2 AND m.program_id = p.id) AS "is_member!"
           FROM reports r JOIN programs p ON p.id = r.program_id JOIN users u ON u.id = r.reporter_id
           WHERE r.id = $1"#,
        id,
        asker.user,
    )
    .fetch_optional(database)
    .await?
    .ok_or(ReportError::NotFound)?;
    let report = Report {
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
            duplicate_of: row.duplicate_of,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        },
        description: row.description,
    };
    Ok(Found { report, subject: Subject::of(Some(asker.role), row.is_member, row.is_reporter) })
}

/// Stores a report whose rules were checked, sent at `created_at`, in one statement together with its first event.
///
/// The program is locked against changes for the moment, so that a report cannot slip into one that is just closing. Temporary users
/// send reports to temporary programs only, and others never do.
pub async fn create(
    database: impl PgExecutor<'_>,
    new: &NewReport,
    sender: &Identity,
    created_at: OffsetDateTime,
) -> Result<Report, ReportError> {
    let id = Uuid::now_v7();
    let key = ProgramKey::from(new.program.as_str());
    let (program_id, slug) = key.parts();
    let row = sqlx::query!(
        r#"WITH program AS MATERIALIZED (
               SELECT p.id, p.slug, p.status, a.in_scope
               FROM programs p LEFT JOIN program_assets a ON a.program_id = p.id AND a.identifier = $7
               WHERE p.id = coalesce($2, (SELECT s.id FROM programs s WHERE s.slug = $3)) AND p.temporary = $11
               FOR SHARE OF p
           ), sender AS MATERIALIZED (
               SELECT u.id, u.handle FROM users u WHERE u.id = $9
           ), made AS (
               INSERT INTO reports (id, program_id, title, severity, weakness, asset, description, reporter_id, reporter,
                                    created_at, updated_at)
               SELECT $1, program.id, $4, $5, $6, $7, $8, sender.id, sender.handle, $10, $10
               FROM program, sender WHERE program.status = 'open' AND ($7::text IS NULL OR program.in_scope)
               RETURNING id, number, version, created_at, updated_at
           ), event AS (
               INSERT INTO report_events (id, report_id, actor_id, kind, created_at)
               SELECT $12, made.id, $9, 'created', made.created_at FROM made
           )
           SELECT program.slug, program.status AS "status: ProgramStatus", sender.handle,
                  EXISTS (SELECT FROM program_members m WHERE m.user_id = $9 AND m.program_id = program.id) AS "is_member!",
                  made.number AS "number?", made.version AS "version?", made.created_at AS "created_at?",
                  made.updated_at AS "updated_at?"
           FROM program CROSS JOIN sender LEFT JOIN made ON true"#,
        id,
        program_id,
        slug,
        new.title,
        new.severity as Severity,
        new.weakness,
        new.asset,
        new.description,
        sender.user,
        created_at,
        sender.temporary,
        Uuid::now_v7(),
    )
    .fetch_optional(database)
    .await?
    .ok_or(ReportError::NoSuchProgram)?;
    let (Some(number), Some(version), Some(created_at), Some(updated_at)) =
        (row.number, row.version, row.created_at, row.updated_at)
    else {
        return Err(match row.status {
            ProgramStatus::Open => ReportError::NotInScope,
            ProgramStatus::Draft if !may_read_drafts(sender, row.is_member) => ReportError::NoSuchProgram,
            _ => ReportError::ProgramNotOpen(row.slug),
        });
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
        reporter: row.handle,
        duplicate_of: None,
        version,
        created_at,
        updated_at,
    };
    Ok(Report { summary, description: new.description.clone() })
}

fn may_read_drafts(sender: &Identity, is_member: bool) -> bool {
    use crate::policy::{Action, Verdict, verdict};
    verdict(Subject::of(Some(sender.role), is_member, false), Action::ReadDraft) == Verdict::Allowed
}
