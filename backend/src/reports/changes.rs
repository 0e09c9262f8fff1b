//! Changing, transitioning and commenting on reports. Each change is one transaction, and leaves an event.

use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::error::ReportError;
use super::transitions;
use super::types::{Comment, NewComment, ReportChange, ReportState, Severity, Transition};
use crate::policy::{Action, Subject, Verdict, verdict};
use crate::request::precondition::IfMatch;
use crate::session::Identity;

/// A report that nobody else changes until the transaction ends.
struct Locked {
    program: Uuid,
    title: String,
    severity: Severity,
    state: ReportState,
    weakness: Option<i32>,
    asset: Option<String>,
    description: String,
    duplicate_of: Option<Uuid>,
    version: i64,
    subject: Subject,
}

async fn lock(connection: &mut PgConnection, id: Uuid, actor: &Identity) -> Result<Locked, ReportError> {
    let row = sqlx::query!(
        r#"SELECT r.program_id, r.title, r.severity AS "severity: Severity", r.state AS "state: ReportState", r.weakness,
                  r.asset, r.description, r.duplicate_of, r.version, r.reporter_id = $2 AS "is_reporter!",
                  EXISTS (SELECT FROM program_members m WHERE m.user_id = $2 AND m.program_id = r.program_id)
                      AS "is_member!"
           FROM reports r WHERE r.id = $1 FOR UPDATE"#,
        id,
        actor.user,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(ReportError::NotFound)?;
    Ok(Locked {
        program: row.program_id,
        title: row.title,
        severity: row.severity,
        state: row.state,
        weakness: row.weakness,
        asset: row.asset,
        description: row.description,
        duplicate_of: row.duplicate_of,
        version: row.version,
        subject: Subject::of(Some(actor.role), row.is_member, row.is_reporter),
    })
}

impl Locked {
    fn require(&self, action: Action) -> Result<(), ReportError> {
        match verdict(self.subject, action) {
            Verdict::Allowed => Ok(()),
            Verdict::Forbidden => Err(ReportError::NotAllowed),
            Verdict::Unauthenticated | Verdict::NotFound => Err(ReportError::NotFound),
        }
    }
}

async fn record(
    connection: &mut PgConnection,
    report: Uuid,
    actor: &Identity,
    kind: &str,
    changes: Value,
) -> Result<(), ReportError> {
    sqlx::query!(
        "INSERT INTO report_events (id, report_id, actor_id, kind, changes) VALUES ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        report,
        actor.user,
        kind,
        changes,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes what a report says. Its sender may do that until somebody has triaged it.
pub async fn change(
    connection: &mut PgConnection,
    id: Uuid,
    actor: &Identity,
    if_match: &IfMatch,
    change: &ReportChange,
) -> Result<(), ReportError> {
    let mut transaction = connection.begin().await?;
    let before = lock(&mut transaction, id, actor).await?;
    before.require(Action::ChangeReport)?;
    if before.subject == Subject::Reporter && before.state != ReportState::New {
        return Err(ReportError::AlreadyTriaged);
    }
    if_match.check(before.version).map_err(ReportError::Precondition)?;
    if let Some(asset) = &change.asset {
        require_in_scope(&mut transaction, before.program, asset).await?;
    }
    let changes = differences(&before, change);
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE reports
         SET title = coalesce($2, title), severity = coalesce($3, severity), weakness = coalesce($4, weakness),
             asset = coalesce($5, asset), description = coalesce($6, description), version = version + 1,
             updated_at = now()
         WHERE id = $1",
        id,
        change.title,
        change.severity as Option<Severity>,
        change.weakness,
        change.asset,
        change.description,
    )
    .execute(&mut *transaction)
    .await?;
    record(&mut transaction, id, actor, "changed", Value::Object(changes)).await?;
    transaction.commit().await?;
    Ok(())
}

async fn require_in_scope(connection: &mut PgConnection, program: Uuid, asset: &str) -> Result<(), ReportError> {
    let is_in_scope = sqlx::query_scalar!(
        "SELECT in_scope FROM program_assets WHERE program_id = $1 AND identifier = $2",
        program,
        asset,
    )
    .fetch_optional(connection)
    .await?;
    if is_in_scope == Some(true) { Ok(()) } else { Err(ReportError::NotInScope) }
}

/// What differs, with both values; of the description, which may be long, only that it does.
fn differences(before: &Locked, change: &ReportChange) -> Map<String, Value> {
    let mut changes = Map::new();
    let mut note = |name: &str, from: Value, to: Option<Value>| {
        if let Some(to) = to.filter(|to| *to != from) {
            changes.insert(name.to_owned(), json!({ "from": from, "to": to }));
        }
    };
    note("title", json!(before.title), change.title.as_ref().map(|title| json!(title)));
    note("severity", json!(before.severity), change.severity.map(|severity| json!(severity)));
    note("weakness", json!(before.weakness), change.weakness.map(|weakness| json!(weakness)));
    note("asset", json!(before.asset), change.asset.as_ref().map(|asset| json!(asset)));
    if change.description.as_ref().is_some_and(|description| *description != before.description) {
        changes.insert("description".to_owned(), json!({ "changed": true }));
    }
    changes
}

/// Moves a report to another state.
pub async fn transition(
    connection: &mut PgConnection,
    id: Uuid,
    actor: &Identity,
    if_match: &IfMatch,
    wanted: &Transition,
) -> Result<(), ReportError> {
    let mut transaction = connection.begin().await?;
    if let Some(original) = wanted.duplicate_of {
        // Both in the order of their ids, or two reports that become duplicates of each other wait for each other.
        sqlx::query!("SELECT FROM reports WHERE id IN ($1, $2) ORDER BY id FOR UPDATE", id, original)
            .execute(&mut *transaction)
            .await?;
    }
    let before = lock(&mut transaction, id, actor).await?;
    before.require(Action::TransitionReport)?;
    if_match.check(before.version).map_err(ReportError::Precondition)?;
    if !transitions::leads(before.state, wanted.to) {
        return Err(ReportError::TransitionNotAllowed { from: before.state, to: wanted.to });
    }
    if let Some(original) = wanted.duplicate_of {
        require_original(&mut transaction, id, before.program, original).await?;
    }
    sqlx::query!(
        "UPDATE reports SET state = $2, duplicate_of = $3, version = version + 1, updated_at = now() WHERE id = $1",
        id,
        wanted.to as ReportState,
        wanted.duplicate_of,
    )
    .execute(&mut *transaction)
    .await?;
    let mut changes = json!({ "state": { "from": before.state, "to": wanted.to } });
    if before.duplicate_of != wanted.duplicate_of {
        changes["duplicate_of"] = json!({ "from": before.duplicate_of, "to": wanted.duplicate_of });
    }
    record(&mut transaction, id, actor, "transitioned", changes).await?;
    transaction.commit().await?;
    Ok(())
}

/// A duplicate is one of another report of the same program, which is no duplicate itself: whoever follows the reference
/// is there.
async fn require_original(
    connection: &mut PgConnection,
    report: Uuid,
    program: Uuid,
    original: Uuid,
) -> Result<(), ReportError> {
    let state = sqlx::query_scalar!(
        r#"SELECT state AS "state: ReportState" FROM reports
           WHERE id = $1 AND program_id = $2 AND id <> $3 FOR SHARE"#,
        original,
        program,
        report,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let is_one_to_others =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM reports WHERE duplicate_of = $1) AS "exists!""#, report)
            .fetch_one(connection)
            .await?;
    match state {
        None => Err(ReportError::NoSuchOriginal),
        Some(ReportState::Duplicate) => Err(ReportError::OriginalIsDuplicate),
        Some(_) if is_one_to_others => Err(ReportError::HasDuplicates),
        Some(_) => Ok(()),
    }
}

/// Adds a comment.
pub async fn comment(
    connection: &mut PgConnection,
    report: Uuid,
    author: &Identity,
    new: &NewComment,
) -> Result<Comment, ReportError> {
    let id = Uuid::now_v7();
    let row = sqlx::query!(
        r#"INSERT INTO report_comments (id, report_id, author_id, body, internal)
           VALUES ($1, $2, $3, $4, $5)
           RETURNING created_at, (SELECT handle FROM users WHERE id = $3) AS "author!""#,
        id,
        report,
        author.user,
        new.body,
        new.internal,
    )
    .fetch_one(&mut *connection)
    .await?;
    let changes = if new.internal { json!({ "comment": id, "internal": true }) } else { json!({ "comment": id }) };
    record(connection, report, author, "commented", changes).await?;
    Ok(Comment { id, author: row.author, body: new.body.clone(), internal: new.internal, created_at: row.created_at })
}
