//! PostgreSQL, its migrations, and Redis.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::setting::{Secret, parsed, seconds, settings};

settings! {
    /// PostgreSQL.
    pub struct DatabaseSettings {
        /// PostgreSQL 15 or newer, as postgres://user:password@host:port/database; a direct connection or session pooling.
        pub url: Secret = required("DATABASE_URL", database_url);
        /// The most connections to PostgreSQL that one process holds open for requests; health checks have one more.
        pub max_connections: u32 = plain("DATABASE_MAX_CONNECTIONS", "5", connections);
    }
}

settings! {
    /// How migrations are applied.
    pub struct MigrationSettings {
        /// true applies pending migrations before the server starts to listen.
        pub at_start: bool = plain("RUN_MIGRATIONS", "false", parsed("must be true or false"));
        /// Seconds to wait for another process that is migrating the same database.
        pub lock_timeout: Duration = plain("MIGRATION_LOCK_TIMEOUT", "30", seconds);
        /// Versions of migrations that are still being written, separated by commas: when one was altered, it is reverted and applied anew; development only.
        pub drafts: Vec<i64> = plain("MIGRATION_DRAFTS", "", versions);
    }
}

settings! {
    /// Redis.
    pub struct RedisSettings {
        /// Redis 7 or newer, as redis://:password@host:port or rediss:// for TLS.
        pub url: Secret = required("REDIS_URL", redis_url);
    }
}

fn database_url(value: &str) -> Result<Secret, String> {
    if !value.starts_with("postgres://") && !value.starts_with("postgresql://") {
        return Err("must start with postgres:// or postgresql://".to_owned());
    }
    // The parser's own message repeats the part that it could not read, which may be the password.
    PgConnectOptions::from_str(value).map_err(|_| "is not a PostgreSQL URL".to_owned())?;
    if value.contains("pgbouncer=true") {
        return Err(
            "says pgbouncer=true: behind a pooler in transaction mode prepared statements and migration locks \
                    break; use the direct connection or session pooling"
                .to_owned(),
        );
    }
    Ok(Secret::from(value))
}

fn connections(value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(count @ 1..=1000) => Ok(count),
        _ => Err("must be a whole number from 1 to 1000".to_owned()),
    }
}

fn versions(value: &str) -> Result<Vec<i64>, String> {
    let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(str::parse).collect::<Result<_, _>>().map_err(|_| "must be versions such as 20261121090000".to_owned())
}

fn redis_url(value: &str) -> Result<Secret, String> {
    let is_redis = value.starts_with("redis://") || value.starts_with("rediss://");
    if !is_redis || redis::Client::open(value).is_err() {
        return Err("must be a URL such as redis://:password@host:port".to_owned());
    }
    Ok(Secret::from(value))
}
