//! Who triages which program.

use sqlx::PgPool;
use uuid::Uuid;

use super::changes::lock;
use super::error::ProgramError;
use super::key::ProgramKey;
use crate::actor::Role;
use crate::policy::Action;
use crate::session::Identity;

/// Makes a triager a member; nothing changes where they are one.
pub async fn add(database: &PgPool, key: ProgramKey<'_>, user: Uuid, actor: &Identity) -> Result<(), ProgramError> {
    let mut transaction = database.begin().await?;
    let program = lock(&mut transaction, key, actor).await?;
    program.require(Action::ChangeMembers)?;
    // Temporary users are members of temporary programs only.
    let role = sqlx::query_scalar!(
        r#"SELECT role AS "role: Role" FROM users WHERE id = $1 AND temporary = $2 FOR SHARE"#,
        user,
        program.temporary,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    match role {
        Some(Role::Triager) => {}
        Some(_) => return Err(ProgramError::NotTriager),
        None => return Err(ProgramError::NoSuchUser),
    }
    sqlx::query!(
        "INSERT INTO program_members (program_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        program.id,
        user,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Takes a member away; nothing changes where they are none.
pub async fn remove(database: &PgPool, key: ProgramKey<'_>, user: Uuid, actor: &Identity) -> Result<(), ProgramError> {
    let mut transaction = database.begin().await?;
    let program = lock(&mut transaction, key, actor).await?;
    program.require(Action::ChangeMembers)?;
    sqlx::query!("DELETE FROM program_members WHERE program_id = $1 AND user_id = $2", program.id, user)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}
