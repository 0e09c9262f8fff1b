//! Programs in the database.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, QueryBuilder};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::changes::lock;
use super::error::ProgramError;
use super::key::ProgramKey;
use super::types::RewardSeverity;
use super::types::{Asset, AssetKind, NewProgram, Program, ProgramStatus, ProgramSummary, Reward};
use crate::actor::Role;
use crate::page::Bounds;
use crate::policy::{Action, Subject, Verdict, verdict};
use crate::session::Identity;

/// How long a temporary program stays where nobody removes it.
const TEMPORARY: Duration = Duration::hours(1);

/// Which programs a list shows.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Those in this status.
    pub status: Option<ProgramStatus>,
    /// Those whose name or summary holds all of these words.
    pub search: Option<String>,
}

/// One row more than the page holds, newest first; drafts are their members' only.
///
/// Only the conditions that are asked for stand in the query, so that each combination has a plan of its own.
pub async fn list(
    database: impl PgExecutor<'_>,
    asker: Option<&Identity>,
    filter: &Filter,
    bounds: &Bounds,
) -> Result<Vec<ProgramSummary>, ProgramError> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT id, slug, name, summary, status, currency, temporary, version, created_at, updated_at \
         FROM programs WHERE true",
    );
    let role = asker.map(|asker| asker.role);
    if role != Some(Role::Admin) {
        query.push(" AND temporary = ").push_bind(asker.is_some_and(|asker| asker.temporary));
        query.push(" AND (status <> 'draft'");
        if let Some(asker) = asker.filter(|asker| asker.role == Role::Triager) {
            query.push(" OR id IN (SELECT program_id FROM program_members WHERE user_id = ");
            query.push_bind(asker.user).push(")");
        }
        query.push(")");
    }
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status);
    }
    if let Some(search) = &filter.search {
        query.push(" AND to_tsvector('simple', name || ' ' || summary) @@ websearch_to_tsquery('simple', ");
        query.push_bind(search.clone()).push(")");
    }
    bounds.push(&mut query, "");
    Ok(query.build_query_as().fetch_all(database).await?)
}

/// A program, with the relation of the user who asks for it.
pub struct Found {
    /// The program.
    pub program: Program,
    /// The relation of the user who asks.
    pub subject: Subject,
}

/// The program with that id or slug, in one round trip, if the asker may know of it.
pub async fn find(
    database: impl PgExecutor<'_>,
    key: ProgramKey<'_>,
    asker: Option<&Identity>,
) -> Result<Found, ProgramError> {
    let (id, slug) = key.parts();
    let row = sqlx::query!(
        r#"SELECT id, slug, name, summary, policy, status AS "status: ProgramStatus", currency, temporary, version,
                  created_at, updated_at,
                  EXISTS (SELECT FROM program_members m WHERE m.user_id = $3 AND m.program_id = p.id) AS "is_member!",
                  (SELECT coalesce(jsonb_agg(to_jsonb(a) - 'program_id'), '[]')
                   FROM program_assets a WHERE a.program_id = p.id) AS "assets!: Json<Vec<Asset>>",
                  (SELECT coalesce(jsonb_agg(to_jsonb(r) - 'program_id'), '[]')
                   FROM program_rewards r WHERE r.program_id = p.id) AS "rewards!: Json<Vec<Reward>>"
           FROM programs p
           WHERE p.id = coalesce($1, (SELECT s.id FROM programs s WHERE s.slug = $2))"#,
        id,
        slug,
        asker.map(|asker| asker.user),
    )
    .fetch_optional(database)
    .await?
    .ok_or(ProgramError::NotFound)?;
    let subject = Subject::of(asker.map(|asker| asker.role), row.is_member, false);
    if verdict(subject, reading(row.status)) != Verdict::Allowed {
        return Err(ProgramError::NotFound);
    }
    let summary = ProgramSummary {
        id: row.id,
        slug: row.slug,
        name: row.name,
        summary: row.summary,
        status: row.status,
        currency: row.currency,
        temporary: row.temporary,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    };
    let program = Program { summary, policy: row.policy, assets: row.assets.0, rewards: row.rewards.0 }.sorted();
    Ok(Found { program, subject })
}

/// What reading a program in this status is.
pub(super) fn reading(status: ProgramStatus) -> Action {
    if status == ProgramStatus::Draft { Action::ReadDraft } else { Action::ReadProgram }
}

/// Stores a program whose rules were checked, made at `created_at`: all of it in one statement, or nothing. A triager who
/// makes it is its first member.
pub async fn create(
    connection: &mut PgConnection,
    new: &NewProgram,
    maker: Option<&Identity>,
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
             RETURNING id, version, created_at, updated_at
         ), member AS (
             INSERT INTO program_members (program_id, user_id) SELECT $1, $17 WHERE $17::uuid IS NOT NULL
         ), assets AS (
             INSERT INTO program_assets (program_id, identifier, kind, in_scope, instructions)
             SELECT $1, * FROM unnest($10::text[], $11::text[], $12::boolean[], $13::text[])
         ), rewards AS (
             INSERT INTO program_rewards (program_id, severity, minimum, maximum)
             SELECT $1, * FROM unnest($14::text[], $15::bigint[], $16::bigint[])
         )
         SELECT version, created_at, updated_at FROM program",
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
        maker.filter(|maker| maker.role == Role::Triager).map(|maker| maker.user),
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
        version: stored.version,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
    };
    let (policy, assets, rewards) = (new.policy.clone(), new.assets.clone(), new.rewards.clone());
    Ok(Program { summary, policy, assets, rewards }.sorted())
}

/// Removes a temporary program with its reports.
pub async fn remove(database: &PgPool, key: ProgramKey<'_>, actor: &Identity) -> Result<(), ProgramError> {
    let mut transaction = database.begin().await?;
    // Locked, so that no report comes in between.
    let found = lock(&mut transaction, key, actor).await?;
    found.require(Action::ChangeProgram)?;
    if !found.temporary {
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
