//! Programs in the database.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, QueryBuilder};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::error::ProgramError;
use super::types::RewardSeverity;
use super::types::{Asset, AssetKind, NewProgram, Program, ProgramKey, ProgramStatus, ProgramSummary, Reward};
use crate::actor::Actor;
use crate::page::Bounds;
use crate::policy::Action;

/// How long a temporary program stays where nobody removes it.
const TEMPORARY: Duration = Duration::hours(1);

/// One row more than the page holds, newest first.
///
/// Only the conditions that are asked for stand in the query, so that each combination has a plan of its own.
pub async fn list(
    database: impl PgExecutor<'_>,
    status: Option<ProgramStatus>,
    bounds: &Bounds,
) -> Result<Vec<ProgramSummary>, ProgramError> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT id, slug, name, summary, status, currency, temporary, created_at, updated_at FROM programs WHERE true",
    );
    if let Some(status) = status {
        query.push(" AND status = ").push_bind(status);
    }
    bounds.push(&mut query, "");
    Ok(query.build_query_as().fetch_all(database).await?)
}

/// The program with that id or slug, in one round trip.
pub async fn find(database: impl PgExecutor<'_>, key: ProgramKey<'_>) -> Result<Program, ProgramError> {
    let (id, slug) = key.parts();
    let row = sqlx::query!(
        r#"SELECT id, slug, name, summary, policy, status AS "status: ProgramStatus", currency, temporary,
                  created_at, updated_at,
                  (SELECT coalesce(jsonb_agg(to_jsonb(a) - 'program_id'), '[]')
                   FROM program_assets a WHERE a.program_id = p.id) AS "assets!: Json<Vec<Asset>>",
                  (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'program_id'), '[]')
                   FROM program_rewards r WHERE r.program_id = p.id) AS "rewards!: Json<Vec<Reward>>"
           FROM programs p
           WHERE p.id = coalesce($1, (SELECT s.id FROM programs s WHERE s.slug = $2))"#,
        id,
        slug,
    )
    .fetch_optional(database)
    .await?
    .ok_or(ProgramError::NotFound)?;
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
    Ok(Program { summary, policy: row.policy, assets: row.assets.0, rewards: row.rewards.0 }.sorted())
}

/// Stores a program whose rules were checked, made at `created_at`: all of it in one statement, or nothing.
pub async fn create(
    connection: &mut PgConnection,
    new: &NewProgram,
    created_at: OffsetDateTime,
) -> Result<Program, ProgramError> {
    if new.temporary {
        remove_abandoned(connection, created_at - TEMPORARY).await?;
    }
    let id = Uuid::now_v7();
    let kinds: Vec<AssetKind> = new.assets.iter().map(|asset| asset.kind).collect();
    let severities: Vec<RewardSeverity> = new.rewards.iter().map(|reward| reward.severity).collect();
    let identifiers: Vec<&str> = new.assets.iter().map(|asset| asset.identifier.as_str()).collect();
    let in_scope: Vec<bool> = new.assets.iter().map(|asset| asset.in_scope).collect();
    let instructions: Vec<&str> = new.assets.iter().map(|asset| asset.instructions.as_str()).collect();
    let minima: Vec<i64> = new.rewards.iter().map(|reward| reward.minimum).collect();
    let maxima: Vec<i64> = new.rewards.iter().map(|reward| reward.maximum).collect();
    let stored = sqlx::query!(
        "WITH program AS (
             INSERT INTO programs (id, slug, name, summary, policy, status, currency, temporary, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
             RETURNING id, created_at, updated_at
         ), assets AS (
             INSERT INTO program_assets (program_id, identifier, kind, in_scope, instructions)
             SELECT $1, * FROM unnest($10::text[], $11::text[], $12::boolean[], $13::text[])
         ), rewards AS (
             INSERT INTO program_rewards (program_id, severity, minimum, maximum)
             SELECT $1, * FROM unnest($14::text[], $15::bigint[], $16::bigint[])
         )
         SELECT created_at, updated_at FROM program",
        id,
        new.slug,
        new.name,
        new.summary,
        new.policy,
        new.status as ProgramStatus,
        new.currency,
        new.temporary,
        created_at,
        &identifiers as &[&str],
        &kinds as &[AssetKind],
        &in_scope,
        &instructions as &[&str],
        &severities as &[RewardSeverity],
        &minima,
        &maxima,
    )
    .fetch_one(connection)
    .await
    .map_err(|error| match error.as_database_error().and_then(|error| error.constraint()) {
        Some("programs_slug_key") => ProgramError::SlugTaken(new.slug.clone()),
        _ => error.into(),
    })?;
    let summary = ProgramSummary {
        id,
        slug: new.slug.clone(),
        name: new.name.clone(),
        summary: new.summary.clone(),
        status: new.status,
        currency: new.currency.clone(),
        temporary: new.temporary,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
    };
    let (policy, assets, rewards) = (new.policy.clone(), new.assets.clone(), new.rewards.clone());
    Ok(Program { summary, policy, assets, rewards }.sorted())
}

/// Removes a program with its reports, if that is the actor's to do.
pub async fn remove(database: &PgPool, key: ProgramKey<'_>, actor: &Actor) -> Result<(), ProgramError> {
    let (id, slug) = key.parts();
    let mut transaction = database.begin().await?;
    // Locked, so that no report comes in between.
    let found = sqlx::query!(
        "SELECT id, temporary FROM programs WHERE id = coalesce($1, (SELECT s.id FROM programs s WHERE s.slug = $2))
         FOR UPDATE",
        id,
        slug,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(ProgramError::NotFound)?;
    if !actor.may(Action::RemoveProgram { temporary: found.temporary }) {
        return Err(ProgramError::NotTemporary);
    }
    remove_all(&mut transaction, &[found.id]).await?;
    transaction.commit().await?;
    Ok(())
}

/// Removes the temporary programs that were made before then: whoever made them did not live to do it.
async fn remove_abandoned(connection: &mut PgConnection, before: OffsetDateTime) -> Result<(), sqlx::Error> {
    use sqlx::Connection as _;
    let mut transaction = connection.begin().await?;
    let abandoned = sqlx::query_scalar!(
        "SELECT id FROM programs WHERE temporary AND created_at < $1 FOR UPDATE SKIP LOCKED",
        before,
    )
    .fetch_all(&mut *transaction)
    .await?;
    if !abandoned.is_empty() {
        remove_all(&mut transaction, &abandoned).await?;
    }
    transaction.commit().await
}

async fn remove_all(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM reports WHERE program_id = ANY ($1)", ids).execute(&mut *connection).await?;
    sqlx::query!("DELETE FROM programs WHERE id = ANY ($1)", ids).execute(connection).await?;
    Ok(())
}
