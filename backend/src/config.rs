//! Settings: declared once, read from the environment, all checked at start.
//!
//! [`SETTINGS`] is the declaration that `thunder config --json` prints and that the environment template and the
//! reference page are checked against. [`Config::from_environment`] reports every wrong or missing setting in one
//! error, by name and never by value.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::EnvFilter;

/// The declaration of one setting.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// Whether the server refuses to start without it.
    pub required: bool,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// What is used where the variable is unset or empty.
    pub default: Option<&'static str>,
    /// One sentence for a person.
    pub description: &'static str,
}

const fn required(name: &'static str, description: &'static str) -> Setting {
    Setting { name, required: true, secret: true, default: None, description }
}

const fn optional(name: &'static str, default: &'static str, description: &'static str) -> Setting {
    Setting { name, required: false, secret: false, default: Some(default), description }
}

const DATABASE_URL: Setting = required(
    "DATABASE_URL",
    "PostgreSQL 15 or newer, as postgres://user:password@host:port/database; a direct connection or session pooling.",
);
const REDIS_URL: Setting =
    required("REDIS_URL", "Redis 7 or newer, as redis://:password@host:port or rediss:// for TLS.");
const JWT_SECRET: Setting =
    required("JWT_SECRET", "Signs access tokens: at least 32 characters, different in every environment.");
const JWT_REFRESH_SECRET: Setting =
    required("JWT_REFRESH_SECRET", "Signs refresh tokens: at least 32 characters, and not the same as JWT_SECRET.");
const HOST: Setting = optional(
    "HOST",
    "::",
    "The address to listen on; :: takes IPv6 and IPv4, and falls back to 0.0.0.0 where there is no IPv6.",
);
const PORT: Setting = optional("PORT", "3000", "The TCP port to listen on; 0 takes any free one.");
const APP_ENV: Setting = optional("APP_ENV", "development", "development or production.");
const LOG_LEVEL: Setting = optional(
    "LOG_LEVEL",
    "info",
    "What is logged: error, warn, info, debug, trace, or a filter such as info,backend=debug,sqlx=warn.",
);
const LOG_FORMAT: Setting = optional("LOG_FORMAT", "json", "json (one object a line) or pretty (for a person's eyes).");
const ALLOWED_ORIGINS: Setting = optional(
    "ALLOWED_ORIGINS",
    "",
    "Origins whose pages may call the API, separated by commas, such as https://app.example.com.",
);
const FRONTEND_URL: Setting =
    optional("FRONTEND_URL", "", "Where the web application lives; its origin may always call the API.");
const DATABASE_MAX_CONNECTIONS: Setting =
    optional("DATABASE_MAX_CONNECTIONS", "5", "The most connections to PostgreSQL that one process holds open.");
const RUN_MIGRATIONS: Setting =
    optional("RUN_MIGRATIONS", "false", "true applies pending migrations before the server starts to listen.");
const MIGRATION_LOCK_TIMEOUT: Setting = optional(
    "MIGRATION_LOCK_TIMEOUT",
    "30",
    "Seconds to wait for another process that is migrating the same database.",
);
const MIGRATION_DRAFTS: Setting = optional(
    "MIGRATION_DRAFTS",
    "",
    "Versions of migrations that are still being written, separated by commas: when one was altered, it is reverted and applied anew; development only.",
);
const STARTUP_TIMEOUT: Setting =
    optional("STARTUP_TIMEOUT", "30", "Seconds to wait at start for PostgreSQL and Redis to accept connections.");
const SHUTDOWN_TIMEOUT: Setting =
    optional("SHUTDOWN_TIMEOUT", "10", "Seconds that requests in flight are given to finish after SIGTERM.");
const HEALTH_TOKEN: Setting = Setting {
    name: "HEALTH_TOKEN",
    required: false,
    secret: true,
    default: None,
    description: "When set, /api/v1/health shows its details only to `Authorization: Bearer <token>`.",
};
const GIT_COMMIT: Setting = Setting {
    name: "GIT_COMMIT",
    required: false,
    secret: false,
    default: None,
    description: "The commit that /health reports when none was compiled in.",
};

/// Every setting the server knows, in the order a person would want to read them.
pub const SETTINGS: &[Setting] = &[
    DATABASE_URL,
    REDIS_URL,
    JWT_SECRET,
    JWT_REFRESH_SECRET,
    HOST,
    PORT,
    APP_ENV,
    LOG_LEVEL,
    LOG_FORMAT,
    ALLOWED_ORIGINS,
    FRONTEND_URL,
    DATABASE_MAX_CONNECTIONS,
    RUN_MIGRATIONS,
    MIGRATION_LOCK_TIMEOUT,
    MIGRATION_DRAFTS,
    STARTUP_TIMEOUT,
    SHUTDOWN_TIMEOUT,
    HEALTH_TOKEN,
    GIT_COMMIT,
];

/// A value that must not appear in a log, an error or a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine or CI.
    Development,
    /// In front of customers.
    Production,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One readable line an event.
    Pretty,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// See `DATABASE_URL`.
    pub database_url: Secret,
    /// See `REDIS_URL`.
    pub redis_url: Secret,
    /// See `JWT_SECRET`.
    pub jwt_secret: Secret,
    /// See `JWT_REFRESH_SECRET`.
    pub jwt_refresh_secret: Secret,
    /// See `HOST`.
    pub host: IpAddr,
    /// See `PORT`.
    pub port: u16,
    /// See `APP_ENV`.
    pub environment: Environment,
    /// See `LOG_LEVEL`.
    pub log_level: String,
    /// See `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `ALLOWED_ORIGINS` and the origin of `FRONTEND_URL`, each once.
    pub allowed_origins: Vec<HeaderValue>,
    /// See `DATABASE_MAX_CONNECTIONS`.
    pub database_max_connections: u32,
    /// See `RUN_MIGRATIONS`.
    pub run_migrations: bool,
    /// See `MIGRATION_LOCK_TIMEOUT`.
    pub migration_lock_timeout: Duration,
    /// See `MIGRATION_DRAFTS`.
    pub migration_drafts: Vec<i64>,
    /// See `STARTUP_TIMEOUT`.
    pub startup_timeout: Duration,
    /// See `SHUTDOWN_TIMEOUT`.
    pub shutdown_timeout: Duration,
    /// See `HEALTH_TOKEN`.
    pub health_token: Option<Secret>,
    /// The commit the binary was built from, if anybody said.
    pub commit: Option<String>,
}

impl Config {
    /// The settings of this process.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// The settings that `lookup` knows; an empty value counts as unset, as platforms store it that way.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader { lookup: &lookup, problems: Vec::new() };
        let database_url = reader.take(DATABASE_URL, database_url);
        let redis_url = reader.take(REDIS_URL, redis_url);
        let jwt_secret = reader.take(JWT_SECRET, signing_secret);
        let jwt_refresh_secret = reader.take(JWT_REFRESH_SECRET, signing_secret);
        if jwt_secret.is_some() && jwt_secret == jwt_refresh_secret {
            reader.problem(JWT_REFRESH_SECRET, "must not be the same as JWT_SECRET");
        }
        let host = reader.take(HOST, parsed("must be an IP address"));
        let port = reader.take(PORT, parsed("must be a whole number from 0 to 65535"));
        let environment = reader.take(APP_ENV, environment);
        let log_level = reader.take(LOG_LEVEL, log_level);
        let log_format = reader.take(LOG_FORMAT, log_format);
        let origins = reader.take(ALLOWED_ORIGINS, origins);
        let frontend = reader.take(FRONTEND_URL, frontend_origin);
        let database_max_connections = reader.take(DATABASE_MAX_CONNECTIONS, connections);
        let run_migrations = reader.take(RUN_MIGRATIONS, parsed("must be true or false"));
        let migration_lock_timeout = reader.take(MIGRATION_LOCK_TIMEOUT, seconds);
        let migration_drafts = reader.take(MIGRATION_DRAFTS, versions);
        if environment == Some(Environment::Production) && migration_drafts.as_ref().is_some_and(|all| !all.is_empty())
        {
            reader.problem(MIGRATION_DRAFTS, "must not be set in production");
        }
        let startup_timeout = reader.take(STARTUP_TIMEOUT, seconds);
        let shutdown_timeout = reader.take(SHUTDOWN_TIMEOUT, seconds);
        let health_token = reader.find(HEALTH_TOKEN);
        let commit = option_env!("THUNDER_COMMIT").map(str::to_owned).or_else(|| reader.find(GIT_COMMIT));

        // Everything is `Some` exactly when nothing was reported, so that no setting can be wrong unseen.
        let config = (|| {
            let mut allowed_origins: Vec<HeaderValue> = origins?;
            allowed_origins.extend(frontend?);
            allowed_origins.sort();
            allowed_origins.dedup();
            Some(Self {
                database_url: database_url?,
                redis_url: redis_url?,
                jwt_secret: jwt_secret?,
                jwt_refresh_secret: jwt_refresh_secret?,
                host: host?,
                port: port?,
                environment: environment?,
                log_level: log_level?,
                log_format: log_format?,
                allowed_origins,
                database_max_connections: database_max_connections?,
                run_migrations: run_migrations?,
                migration_lock_timeout: migration_lock_timeout?,
                migration_drafts: migration_drafts?,
                startup_timeout: startup_timeout?,
                shutdown_timeout: shutdown_timeout?,
                health_token: health_token.as_deref().map(Secret::from),
                commit,
            })
        })();
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems: reader.problems }),
        }
    }
}

/// A setting that is wrong or missing.
#[derive(Debug, Serialize)]
pub struct SettingProblem {
    /// Which one.
    pub name: &'static str,
    /// What is wrong with it, to be read after its name; never its value.
    pub problem: String,
}

/// Every setting that is wrong or missing, by name.
#[derive(Debug)]
pub struct ConfigError {
    /// In the order of the declaration.
    pub problems: Vec<SettingProblem>,
}

impl ConfigError {
    /// The names of the settings that need attention.
    pub fn names(&self) -> Vec<&'static str> {
        self.problems.iter().map(|problem| problem.name).collect()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{count} {} wrong or missing:", if count == 1 { "setting is" } else { "settings are" })?;
        for SettingProblem { name, problem } in &self.problems {
            write!(f, "\n  {name} {problem}")?;
        }
        write!(f, "\n`thunder config` describes every setting.")
    }
}

impl std::error::Error for ConfigError {}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<SettingProblem>,
}

impl Reader<'_> {
    fn find(&self, setting: Setting) -> Option<String> {
        (self.lookup)(setting.name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn take<T>(&mut self, setting: Setting, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let Some(value) = self.find(setting).or_else(|| setting.default.map(str::to_owned)) else {
            self.problem(setting, "is not set");
            return None;
        };
        parse(&value).map_err(|problem| self.problem(setting, problem)).ok()
    }

    fn problem(&mut self, setting: Setting, problem: impl Into<String>) {
        self.problems.push(SettingProblem { name: setting.name, problem: problem.into() });
    }
}

fn parsed<T: FromStr>(problem: &'static str) -> impl Fn(&str) -> Result<T, String> {
    move |value| value.parse().map_err(|_| problem.to_owned())
}

fn database_url(value: &str) -> Result<Secret, String> {
    if !value.starts_with("postgres://") && !value.starts_with("postgresql://") {
        return Err("must start with postgres:// or postgresql://".to_owned());
    }
    // The parser's own message repeats the part that it could not read, which may be the password.
    let options = PgConnectOptions::from_str(value).map_err(|_| "is not a PostgreSQL URL".to_owned())?;
    if options.get_port() == 6543 || value.contains("pgbouncer=true") {
        return Err("points at a transaction pooler (port 6543 or pgbouncer=true), where prepared statements and \
                    migration locks break; use the direct connection or session pooling"
            .to_owned());
    }
    Ok(Secret::from(value))
}

fn redis_url(value: &str) -> Result<Secret, String> {
    let is_redis = value.starts_with("redis://") || value.starts_with("rediss://");
    if !is_redis || redis::Client::open(value).is_err() {
        return Err("must be a URL such as redis://:password@host:port".to_owned());
    }
    Ok(Secret::from(value))
}

/// HS256 keys shorter than the hash are refused: RFC 7518 §3.2 asks for at least 256 bits.
fn signing_secret(value: &str) -> Result<Secret, String> {
    if value.len() < 32 {
        return Err("must be at least 32 characters long".to_owned());
    }
    Ok(Secret::from(value))
}

fn environment(value: &str) -> Result<Environment, String> {
    match value {
        "development" => Ok(Environment::Development),
        "production" => Ok(Environment::Production),
        _ => Err("must be development or production".to_owned()),
    }
}

fn log_format(value: &str) -> Result<LogFormat, String> {
    match value {
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        _ => Err("must be json or pretty".to_owned()),
    }
}

fn log_level(value: &str) -> Result<String, String> {
    EnvFilter::try_new(value).map_err(|_| "must be a level or a list of target=level".to_owned())?;
    Ok(value.to_owned())
}

fn origins(value: &str) -> Result<Vec<HeaderValue>, String> {
    value.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(origin).collect()
}

/// An origin as a browser sends it: scheme, host and port, no path (RFC 6454 §7).
fn origin(value: &str) -> Result<HeaderValue, String> {
    let problem = || "must be origins such as https://app.example.com, without a path".to_owned();
    let uri: axum::http::Uri = value.parse().map_err(|_| problem())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_web || uri.authority().is_none() || uri.path() != "/" || value.ends_with('/') || uri.query().is_some() {
        return Err(problem());
    }
    HeaderValue::from_str(value).map_err(|_| problem())
}

fn frontend_origin(value: &str) -> Result<Option<HeaderValue>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let problem = || "must be a URL such as https://app.example.com".to_owned();
    let uri: axum::http::Uri = value.parse().map_err(|_| problem())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            HeaderValue::from_str(&format!("{scheme}://{authority}")).map(Some).map_err(|_| problem())
        }
        _ => Err(problem()),
    }
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

fn seconds(value: &str) -> Result<Duration, String> {
    match value.parse() {
        Ok(count @ 1..=3600) => Ok(Duration::from_secs(count)),
        _ => Err("must be a whole number of seconds from 1 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("DATABASE_URL", "postgres://thunder:hunter2hunter2@127.0.0.1:5432/thunder"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:6379"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("JWT_REFRESH_SECRET", "fedcba9876543210fedcba9876543210"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|name| {
            changes.iter().chain(GOOD).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_required_settings_are_enough() {
        let config = read(&[]).unwrap();
        assert_eq!(config.port, 3000);
        assert_eq!(config.host, "::".parse::<IpAddr>().unwrap());
        assert_eq!(config.shutdown_timeout, Duration::from_secs(10));
        assert_eq!(config.database_max_connections, 5);
        assert!(config.allowed_origins.is_empty());
    }

    #[test]
    fn everything_wrong_is_reported_at_once_and_by_name() {
        let error = read(&[
            ("DATABASE_URL", "mysql://root:hunter2@db/thunder"),
            ("REDIS_URL", ""),
            ("JWT_SECRET", "hunter2"),
            ("PORT", "70000"),
            ("SHUTDOWN_TIMEOUT", "soon"),
        ])
        .unwrap_err();
        assert_eq!(error.names(), ["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "PORT", "SHUTDOWN_TIMEOUT"]);
    }

    #[test]
    fn no_value_appears_in_the_error_or_in_a_debug_print() {
        let error = read(&[
            ("DATABASE_URL", "postgres://thunder:hunter2@[/thunder"),
            ("REDIS_URL", "redis://:hunter2@["),
            ("JWT_SECRET", "hunter2"),
            ("LOG_FORMAT", "hunter2"),
        ])
        .unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{:?}", read(&[]).unwrap()).contains("hunter2"));
    }

    #[test]
    fn the_two_signing_secrets_must_differ() {
        let error = read(&[("JWT_REFRESH_SECRET", GOOD[2].1)]).unwrap_err();
        assert_eq!(error.names(), ["JWT_REFRESH_SECRET"]);
    }

    #[test]
    fn a_transaction_pooler_is_refused() {
        for url in ["postgres://u:p@h:6543/d", "postgres://u:p@h:5432/d?pgbouncer=true"] {
            assert_eq!(read(&[("DATABASE_URL", url)]).unwrap_err().names(), ["DATABASE_URL"], "{url}");
        }
    }

    #[test]
    fn origins_are_origins_and_not_urls() {
        let config = read(&[
            ("ALLOWED_ORIGINS", "https://a.example.com, http://localhost:5173"),
            ("FRONTEND_URL", "https://a.example.com/sign-in"),
        ])
        .unwrap();
        assert_eq!(config.allowed_origins, ["http://localhost:5173", "https://a.example.com"]);
        for wrong in ["https://a.example.com/", "https://a.example.com/x", "a.example.com", "*"] {
            assert_eq!(read(&[("ALLOWED_ORIGINS", wrong)]).unwrap_err().names(), ["ALLOWED_ORIGINS"], "{wrong}");
        }
    }

    #[test]
    fn every_declared_setting_is_read() {
        let asked = std::cell::RefCell::new(Vec::new());
        let _ = Config::read(|name| {
            asked.borrow_mut().push(name.to_owned());
            None
        })
        .unwrap_err();
        let declared: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(asked.into_inner(), declared);
    }

    #[test]
    fn every_default_is_one_that_the_setting_accepts() {
        let defaults: Vec<(&str, &str)> =
            SETTINGS.iter().filter_map(|setting| Some((setting.name, setting.default?))).collect();
        read(&defaults).unwrap();
    }
}
