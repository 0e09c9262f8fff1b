//! Users in the database.

use sqlx::{Connection as _, PgConnection, PgExecutor, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::error::UserError;
use super::types::{User, UserChange, UserStatus};
use crate::actor::Role;
use crate::page::Bounds;
use crate::session::{EndedBy, queries as sessions};

/// How long a temporary user stays where nobody removes it.
const TEMPORARY_HOURS: i32 = 1;

/// Which users a list shows.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Those in this role.
    pub role: Option<Role>,
    /// Those in this status.
    pub status: Option<UserStatus>,
    /// Those whose handle or address begins with this.
    pub search: Option<String>,
}

/// One row more than the page holds, newest first.
pub async fn list(database: impl PgExecutor<'_>, filter: &Filter, bounds: &Bounds) -> Result<Vec<User>, UserError> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT id, handle, name, email, role, status, temporary, \
         created_at, updated_at FROM users WHERE NOT temporary",
    );
    if let Some(role) = filter.role {
        query.push(" AND role = ").push_bind(role);
    }
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status);
    }
    if let Some(search) = &filter.search {
        let start = search.to_lowercase();
        query.push(" AND (starts_with(handle, ").push_bind(start.clone()).push(") OR starts_with(email, ");
        query.push_bind(start).push("))");
    }
    bounds.push(&mut query, "");
    Ok(query.build_query_as().fetch_all(database).await?)
}

/// The user with that id.
pub async fn find(database: impl PgExecutor<'_>, id: Uuid) -> Result<User, UserError> {
    let user = sqlx::query_as!(
        User,
        r#"SELECT id, handle, name, email, role AS "role: Role",
                  status AS "status: UserStatus", temporary, created_at, updated_at
           FROM users WHERE id = $1"#,
        id,
    );
    user.fetch_optional(database).await?.ok_or(UserError::NotFound)
}

/// Gives a user another name.
pub async fn rename(database: &PgPool, id: Uuid, name: Option<&str>) -> Result<User, UserError> {
    sqlx::query!("UPDATE users SET name = coalesce($2, name), updated_at = now() WHERE id = $1", id, name)
        .execute(database)
        .await?;
    find(database, id).await
}

/// Changes what a user may do, and gives back the sessions that ended by it: with other rights somebody has to sign in
/// again.
pub async fn change(
    database: &PgPool,
    id: Uuid,
    actor: Uuid,
    change: &UserChange,
) -> Result<(User, Vec<Uuid>), UserError> {
    let mut transaction = database.begin().await?;
    // Both in the order of their ids: of two administrators who take each other's role away at once, one is too late.
    let admins = sqlx::query!(
        "SELECT id, role = 'admin' AND status = 'active' AS \"is_admin!\" FROM users WHERE id IN ($1, $2) ORDER BY id FOR UPDATE",
        id,
        actor,
    )
    .fetch_all(&mut *transaction)
    .await?;
    if !admins.iter().any(|row| row.id == actor && row.is_admin) {
        return Err(UserError::NotAllowed);
    }
    let before = sqlx::query!(
        r#"SELECT role AS "role: Role", status AS "status: UserStatus" FROM users WHERE id = $1 AND NOT temporary"#,
        id
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(UserError::NotFound)?;
    let (role, status) = (change.role.unwrap_or(before.role), change.status.unwrap_or(before.status));
    let mut ended = Vec::new();
    if (role, status) != (before.role, before.status) {
        sqlx::query!(
            "UPDATE users SET role = $2, status = $3, updated_at = now() WHERE id = $1",
            id,
            role as Role,
            status as UserStatus,
        )
        .execute(&mut *transaction)
        .await?;
        ended = sessions::end_all(&mut *transaction, id, None, EndedBy::Admin).await?;
    }
    let user = find(&mut *transaction, id).await?;
    transaction.commit().await?;
    Ok((user, ended))
}

/// What is needed to make a user.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// Its handle.
    pub handle: &'a str,
    /// Its address, in lower case.
    pub email: &'a str,
    /// The hash of its password.
    pub password_hash: &'a str,
    /// Its role.
    pub role: Role,
    /// Whether an automatic check makes it.
    pub temporary: bool,
}

/// Makes a user.
pub async fn create(database: impl PgExecutor<'_>, new: &NewUser<'_>) -> Result<Uuid, UserError> {
    let id = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO users (id, handle, email, password_hash, role, temporary) VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        new.handle,
        new.email,
        new.password_hash,
        new.role as Role,
        new.temporary,
    )
    .execute(database)
    .await
    .map_err(|error| UserError::of(error, new.handle))?;
    Ok(id)
}

/// Gives an account that has no address yet to its person, or changes nothing; `false` then.
pub async fn claim(database: impl PgExecutor<'_>, new: &NewUser<'_>) -> Result<bool, UserError> {
    let claimed = sqlx::query!(
        "UPDATE users
         SET email = $2, password_hash = $3, role = $4, updated_at = now()
         WHERE handle = $1 AND email IS NULL",
        new.handle,
        new.email,
        new.password_hash,
        new.role as Role,
    )
    .execute(database)
    .await
    .map_err(|error| UserError::of(error, new.handle))?;
    Ok(claimed.rows_affected() > 0)
}

/// Removes a temporary user with everything that it made.
pub async fn remove_temporary(connection: &mut PgConnection, id: Uuid) -> Result<(), UserError> {
    sqlx::query!("DELETE FROM reports WHERE reporter_id = (SELECT id FROM users WHERE id = $1 AND temporary)", id)
        .execute(&mut *connection)
        .await?;
    let removed = sqlx::query!("DELETE FROM users WHERE id = $1 AND temporary", id).execute(connection).await?;
    if removed.rows_affected() == 0 { Err(UserError::NotFound) } else { Ok(()) }
}

/// Removes the temporary users whose makers did not live to do it, with their reports.
pub async fn remove_abandoned(connection: &mut PgConnection) -> Result<(), UserError> {
    let mut transaction = connection.begin().await?;
    let abandoned = sqlx::query_scalar!(
        "SELECT id FROM users WHERE temporary AND created_at < now() - make_interval(hours => $1)
         FOR UPDATE SKIP LOCKED",
        TEMPORARY_HOURS
    )
    .fetch_all(&mut *transaction)
    .await?;
    sqlx::query!("DELETE FROM reports WHERE reporter_id = ANY ($1)", &abandoned).execute(&mut *transaction).await?;
    sqlx::query!("DELETE FROM users WHERE id = ANY ($1)", &abandoned).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
