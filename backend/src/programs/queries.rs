//! Programs in the database.

use sqlx::{Connection, PgConnection, PgPool};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::types::{Asset, AssetKind, NewProgram, Program, ProgramStatus, ProgramSummary, Reward, RewardSeverity};
use crate::page::Bounds;
use crate::problem::Problem;

/// How long a temporary program stays where nobody removes it.
const TEMPORARY: Duration = Duration::hours(1);

/// One row more than the page holds, newest first.
pub async fn list(
    database: &PgPool,
    status: Option<ProgramStatus>,
    bounds: &Bounds,
) -> Result<Vec<ProgramSummary>, sqlx::Error> {
    sqlx::query_as!(
        ProgramSummary,
        r#"SELECT id, slug, name, summary, status AS "status: ProgramStatus", currency, temporary, created_at,
                  updated_at
           FROM programs
           WHERE ($1::text IS NULL OR status = $1)
             AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
           ORDER BY created_at DESC, id DESC
           LIMIT $4"#,
        status as Option<ProgramStatus>,
        bounds.after_created_at(),
        bounds.after_id(),
        bounds.rows(),
    )
    .fetch_all(database)
    .await
}

/// The program with that id or slug.
pub async fn find(database: &PgPool, id_or_slug: &str) -> Result<Option<Program>, sqlx::Error> {
    let id = Uuid::parse_str(id_or_slug).ok();
    let found = sqlx::query!(
        r#"SELECT id, slug, name, summary, policy, status AS "status: ProgramStatus", currency, temporary,
                  created_at, updated_at
           FROM programs WHERE id = $1 OR slug = $2"#,
        id,
        id_or_slug,
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let assets = sqlx::query_as!(
        Asset,
        r#"SELECT identifier, kind AS "kind: AssetKind", in_scope, instructions
           FROM program_assets WHERE program_id = $1 ORDER BY in_scope DESC, identifier"#,
        row.id,
    )
    .fetch_all(database)
    .await?;
    let mut rewards = sqlx::query_as!(
        Reward,
        r#"SELECT severity AS "severity: RewardSeverity", minimum, maximum FROM program_rewards WHERE program_id = $1"#,
        row.id,
    )
    .fetch_all(database)
    .await?;
    rewards.sort_by_key(|reward| reward.severity);
    let summary = ProgramSummary {
        id: row.id,
        slug: row.slug,
        name: row.name,
        summary: row.summary,
        status: row.status,
        currency: row.currency,
        temporary: row.temporary,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    Ok(Some(Program { summary, policy: row.policy, assets, rewards }))
}

/// Stores a program whose rules were checked, made at `created_at`, and gives back its id.
pub async fn create(
    connection: &mut PgConnection,
    new: &NewProgram,
    created_at: OffsetDateTime,
) -> Result<Uuid, Problem> {
    let id = Uuid::now_v7();
    let mut transaction = connection.begin().await?;
    if new.temporary {
        remove_abandoned(&mut transaction, created_at - TEMPORARY).await?;
    }
    sqlx::query!(
        "INSERT INTO programs (id, slug, name, summary, policy, status, currency, temporary, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        id,
        new.slug,
        new.name,
        new.summary,
        new.policy,
        new.status as ProgramStatus,
        new.currency,
        new.temporary,
        created_at,
    )
    .execute(&mut *transaction)
    .await
    .map_err(|error| match error.as_database_error().and_then(|error| error.constraint()) {
        Some("programs_slug_key") => Problem::conflict(format!("There already is a program `{}`.", new.slug)),
        _ => error.into(),
    })?;
    for asset in &new.assets {
        sqlx::query!(
            "INSERT INTO program_assets (program_id, identifier, kind, in_scope, instructions)
             VALUES ($1, $2, $3, $4, $5)",
            id,
            asset.identifier,
            asset.kind as AssetKind,
            asset.in_scope,
            asset.instructions,
        )
        .execute(&mut *transaction)
        .await?;
    }
    for reward in &new.rewards {
        sqlx::query!(
            "INSERT INTO program_rewards (program_id, severity, minimum, maximum) VALUES ($1, $2, $3, $4)",
            id,
            reward.severity as RewardSeverity,
            reward.minimum,
            reward.maximum,
        )
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(id)
}

/// What came of the wish to remove a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, with its reports.
    Removed,
    /// There is none.
    NotFound,
    /// It is there to stay.
    NotTemporary,
}

/// Removes a temporary program with its reports.
pub async fn remove(database: &PgPool, id_or_slug: &str) -> Result<Removal, sqlx::Error> {
    let mut transaction = database.begin().await?;
    // Locked, so that no report comes in between.
    let found = sqlx::query!(
        "SELECT id, temporary FROM programs WHERE id = $1 OR slug = $2 FOR UPDATE",
        Uuid::parse_str(id_or_slug).ok(),
        id_or_slug,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    match found {
        None => return Ok(Removal::NotFound),
        Some(program) if !program.temporary => return Ok(Removal::NotTemporary),
        Some(program) => remove_all(&mut transaction, &[program.id]).await?,
    }
    transaction.commit().await?;
    Ok(Removal::Removed)
}

/// Removes the temporary programs that were made before then: whoever made them did not live to do it.
async fn remove_abandoned(connection: &mut PgConnection, before: OffsetDateTime) -> Result<(), sqlx::Error> {
    let abandoned = sqlx::query_scalar!(
        "SELECT id FROM programs WHERE temporary AND created_at < $1 FOR UPDATE SKIP LOCKED",
        before,
    )
    .fetch_all(&mut *connection)
    .await?;
    if abandoned.is_empty() { Ok(()) } else { remove_all(connection, &abandoned).await }
}

async fn remove_all(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM reports WHERE program_id = ANY ($1)", ids).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM programs WHERE id = ANY ($1)", ids).execute(connection).await?;
    Ok(())
}
