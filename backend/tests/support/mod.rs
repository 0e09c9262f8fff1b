//! What both suites of tests share: a server of its own for each test, on a database of its own.

#![allow(dead_code, unused_imports, reason = "each of the two suites uses a part of it")]

pub mod client;
pub mod link;
pub mod mailbox;
pub mod process;
pub mod redis;
pub mod server;

use std::time::Duration;

use backend::config::Config;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Runtime;
use uuid::Uuid;

pub use self::client::{Client, User, admin_token};
pub use self::link::Link;
pub use self::mailbox::Mailbox;
pub use self::process::{Serving, run, serve, text, thunder};
pub use self::redis::Redis;
pub use self::server::Server;

/// What `cargo xtask test` provides.
pub fn provided(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `cargo xtask test`"))
}

/// A database that nobody else uses, gone when it is dropped.
pub struct Database {
    name: String,
    pub url: String,
}

impl Database {
    /// A copy of the migrated template.
    pub fn migrated(runtime: &Runtime) -> Self {
        Self::create(runtime, &provided("TEST_DATABASE_TEMPLATE"))
    }

    /// One without anything in it.
    pub fn empty(runtime: &Runtime) -> Self {
        Self::create(runtime, "template0")
    }

    fn create(runtime: &Runtime, template: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let server = provided("TEST_DATABASE_URL");
        runtime.block_on(execute(&server, format!("CREATE DATABASE {name} TEMPLATE {template}")));
        let url = format!("{}/{name}", server.rsplit_once('/').expect("a database URL has a path").0);
        Self { name, url }
    }

    /// Lets nobody in any more, and throws out who is.
    pub fn close(&self, runtime: &Runtime) {
        let close = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name);
        let server = provided("TEST_DATABASE_URL");
        runtime.block_on(execute(&server, close));
        let everybody =
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        runtime.block_on(execute(&server, everybody));
    }

    /// Lets everybody in again.
    pub fn open(&self, runtime: &Runtime) {
        let open = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name);
        runtime.block_on(execute(&provided("TEST_DATABASE_URL"), open));
    }

    /// A connection to it.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("the test's database takes connections")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let runtime = Runtime::new().expect("a runtime to clear up with");
        runtime.block_on(execute(&provided("TEST_DATABASE_URL"), statement));
    }
}

async fn execute(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.expect("the test's PostgreSQL takes connections");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a statement about databases");
}

/// A numbered Redis database that nobody else uses.
pub fn redis_url() -> String {
    let server = provided("TEST_REDIS_URL");
    let client = ::redis::Client::open(server.as_str()).expect("a Redis URL");
    let mut connection = client.get_connection().expect("the test's Redis takes connections");
    let number: u32 = ::redis::cmd("INCR").arg("databases").query(&mut connection).expect("a counter");
    format!("{server}/{}", number % 4095 + 1)
}

/// Settings for a server on that database, with these changes.
pub fn settings(database: &Database, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = [
        ("DATABASE_URL", database.url.as_str()),
        ("REDIS_URL", &redis_url()),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("JWT_REFRESH_SECRET", "fedcba9876543210fedcba9876543210"),
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("STARTUP_TIMEOUT", "5"),
        ("LOG_FORMAT", "pretty"),
        // A test is one client, and sends as much as it likes.
        ("RATE_LIMIT_MAX", "1000000000"),
        ("RATE_LIMIT_PASSWORDS", "1000000000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    for (name, value) in changes {
        all.retain(|(known, _)| known != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    all
}

/// What `settings` makes.
pub fn config(settings: &[(String, String)]) -> Config {
    Config::read(|name| settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
        .expect("the test's settings are fine")
}

/// An answer, read whole.
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a readable header"))
    }

    /// Where the violations of a problem document point.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors.filter_map(|error| error["pointer"].as_str().or_else(|| error["parameter"].as_str())).collect()
    }
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .new_agent()
}

pub fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut answer = answer.expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a body");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body }
}

/// Waits for a condition, and fails when it does not come true.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        // Between two looks; what is waited for is the condition.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Waits until a question to the database is answered with this count, and fails when it is not.
pub async fn wait_for(connection: &mut sqlx::PgConnection, question: &'static str, count: i64) {
    let begun = std::time::Instant::now();
    loop {
        let found: i64 = sqlx::query_scalar(question).fetch_one(&mut *connection).await.expect("an answer");
        if found == count {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{question}: {found} and not {count} within 20 s");
        // Between two looks; what is waited for is the condition.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
