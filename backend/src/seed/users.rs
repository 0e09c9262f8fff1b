//! The users of the demo data: one of each role, and the researchers who sent its reports.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Seed, Seeded};
use crate::actor::Role;
use crate::password::Passwords;
use crate::session::Identity;
use crate::users::queries::{NewUser, claim, create};

/// The password of every one of them. Demo data has no place in production, so that nothing is behind it.
pub const PASSWORD: &str = "thunder demo password";
/// The handle of the administrator.
pub const ADMIN: &str = "demo-admin";
/// The handle of the triager, who is a member of every demo program.
pub const TRIAGER: &str = "demo-triager";

/// Users by their handles.
pub struct Users(HashMap<String, Uuid>);

impl Users {
    /// Makes those that are missing, and gives an address and a password to those that have none.
    pub async fn add(connection: &mut PgConnection, seeds: &[Seed], seeded: &mut Seeded) -> Result<Self> {
        let senders: BTreeSet<&str> =
            seeds.iter().flat_map(|seed| &seed.reports).map(|report| report.reporter.as_str()).collect();
        let others = [(ADMIN, Role::Admin), (TRIAGER, Role::Triager)];
        let wanted = others.into_iter().chain(senders.into_iter().map(|handle| (handle, Role::Researcher)));
        let mut hash = None;
        let mut users = HashMap::new();
        for (handle, role) in wanted {
            let known = sqlx::query!("SELECT id, email FROM users WHERE handle = $1", handle)
                .fetch_optional(&mut *connection)
                .await?;
            if let Some(user) = known.as_ref().filter(|user| user.email.is_some()) {
                users.insert(handle.to_owned(), user.id);
                continue;
            }
            let password_hash = match &hash {
                Some(hash) => hash,
                None => hash.insert(hashed().await?),
            };
            let email = format!("{handle}@demo.example");
            let new = NewUser { handle, email: &email, password_hash, role, temporary: false };
            let id = match known {
                Some(user) => claim(&mut *connection, &new).await.map(|_| user.id),
                None => create(&mut *connection, &new).await,
            };
            users.insert(handle.to_owned(), id.with_context(|| format!("the user {handle}"))?);
            seeded.users += 1;
        }
        Ok(Self(users))
    }

    /// A user, as whoever does something.
    pub fn identity(&self, handle: &str, role: Role) -> Result<Identity> {
        let user = *self.0.get(handle).with_context(|| format!("no user {handle}"))?;
        Ok(Identity { user, session: Uuid::nil(), role, temporary: false })
    }
}

async fn hashed() -> Result<String> {
    let hash = Passwords::default().hash(PASSWORD.to_owned()).await;
    hash.map_err(|_| anyhow::anyhow!("the demo password cannot be hashed"))
}
