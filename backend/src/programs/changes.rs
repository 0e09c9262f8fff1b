//! Changing programs.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::error::ProgramError;
use super::key::ProgramKey;
use super::queries::reading;
use super::types::{Asset, AssetKind, ProgramChange, ProgramStatus, Reward, RewardSeverity};
use crate::policy::{Action, Subject, Verdict, verdict};
use crate::request::precondition::IfMatch;
use crate::session::Identity;

/// A program that nobody else changes until the transaction ends.
pub(super) struct Locked {
    pub id: Uuid,
    pub temporary: bool,
    status: ProgramStatus,
    version: i64,
    subject: Subject,
}

impl Locked {
    /// Lets pass whoever may do that; for others there is no draft.
    pub fn require(&self, action: Action) -> Result<(), ProgramError> {
        if verdict(self.subject, reading(self.status)) != Verdict::Allowed {
            return Err(ProgramError::NotFound);
        }
        match verdict(self.subject, action) {
            Verdict::Allowed => Ok(()),
            Verdict::Forbidden | Verdict::Unauthenticated => Err(ProgramError::NotAllowed),
            Verdict::NotFound => Err(ProgramError::NotFound),
        }
    }
}

/// The program with that id or slug.
pub(super) async fn lock(
    connection: &mut PgConnection,
    key: ProgramKey<'_>,
    actor: &Identity,
) -> Result<Locked, ProgramError> {
    let (id, slug) = key.parts();
    let row = sqlx::query!(
        r#"SELECT p.id, p.temporary, p.status AS "status: ProgramStatus", p.version,
                  EXISTS (SELECT FROM program_members m WHERE m.user_id = $3 AND m.program_id = p.id) AS "is_member!"
           FROM programs p WHERE p.id = coalesce($1, (SELECT s.id FROM programs s WHERE s.slug = $2)) FOR UPDATE"#,
        id,
        slug,
        actor.user,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(ProgramError::NotFound)?;
    Ok(Locked {
        id: row.id,
        temporary: row.temporary,
        status: row.status,
        version: row.version,
        subject: Subject::of(Some(actor.role), row.is_member, false),
    })
}

/// Changes a program as a whole, or not at all.
pub async fn change(
    database: &PgPool,
    key: ProgramKey<'_>,
    actor: &Identity,
    if_match: &IfMatch,
    change: &ProgramChange,
) -> Result<(), ProgramError> {
    let mut transaction = database.begin().await?;
    let found = lock(&mut transaction, key, actor).await?;
    found.require(Action::ChangeProgram)?;
    if_match.check(found.version).map_err(ProgramError::Precondition)?;
    if change.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE programs
         SET name = coalesce($2, name), summary = coalesce($3, summary), policy = coalesce($4, policy),
             status = coalesce($5, status), version = version + 1, updated_at = now()
         WHERE id = $1",
        found.id,
        change.name,
        change.summary,
        change.policy,
        change.status as Option<ProgramStatus>,
    )
    .execute(&mut *transaction)
    .await?;
    if let Some(assets) = &change.assets {
        replace_assets(&mut transaction, found.id, assets).await?;
    }
    if let Some(rewards) = &change.rewards {
        replace_rewards(&mut transaction, found.id, rewards).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Assets that stay are changed in place: reports refer to them.
async fn replace_assets(connection: &mut PgConnection, program: Uuid, assets: &[Asset]) -> Result<(), ProgramError> {
    let identifiers: Vec<&str> = assets.iter().map(|asset| asset.identifier.as_str()).collect();
    let kinds: Vec<AssetKind> = assets.iter().map(|asset| asset.kind).collect();
    let in_scope: Vec<bool> = assets.iter().map(|asset| asset.in_scope).collect();
    let instructions: Vec<&str> = assets.iter().map(|asset| asset.instructions.as_str()).collect();
    let is_in_use = |error: sqlx::Error| match error.as_database_error().and_then(|error| error.constraint()) {
        Some("reports_asset_fkey") => ProgramError::AssetInUse,
        _ => error.into(),
    };
    sqlx::query!(
        "DELETE FROM program_assets WHERE program_id = $1 AND identifier <> ALL ($2)",
        program,
        &identifiers as &[&str],
    )
    .execute(&mut *connection)
    .await
    .map_err(is_in_use)?;
    sqlx::query!(
        "INSERT INTO program_assets (program_id, identifier, kind, in_scope, instructions)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::boolean[], $5::text[])
         ON CONFLICT (program_id, identifier)
         DO UPDATE SET kind = excluded.kind, in_scope = excluded.in_scope, instructions = excluded.instructions",
        program,
        &identifiers as &[&str],
        &kinds as &[AssetKind],
        &in_scope,
        &instructions as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn replace_rewards(connection: &mut PgConnection, program: Uuid, rewards: &[Reward]) -> Result<(), ProgramError> {
    let severities: Vec<RewardSeverity> = rewards.iter().map(|reward| reward.severity).collect();
    let minima: Vec<i64> = rewards.iter().map(|reward| reward.minimum).collect();
    let maxima: Vec<i64> = rewards.iter().map(|reward| reward.maximum).collect();
    sqlx::query!("DELETE FROM program_rewards WHERE program_id = $1", program).execute(&mut *connection).await?;
    sqlx::query!(
        "INSERT INTO program_rewards (program_id, severity, minimum, maximum)
         SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[])",
        program,
        &severities as &[RewardSeverity],
        &minima,
        &maxima,
    )
    .execute(connection)
    .await?;
    Ok(())
}
