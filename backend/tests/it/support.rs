//! A server of its own for each test, on a database of its own.

use std::net::SocketAddr;
use std::time::Duration;

use backend::app::App;
use backend::config::Config;
use backend::router;
use backend::{connect, server};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use uuid::Uuid;

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
        runtime.block_on(run(&server, format!("CREATE DATABASE {name} TEMPLATE {template}")));
        let url = format!("{}/{name}", server.rsplit_once('/').expect("a database URL has a path").0);
        Self { name, url }
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
        runtime.block_on(run(&provided("TEST_DATABASE_URL"), statement));
    }
}

async fn run(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.expect("the test's PostgreSQL takes connections");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a statement about databases");
}

/// A numbered Redis database that nobody else uses.
pub fn redis_url() -> String {
    let server = provided("TEST_REDIS_URL");
    let client = redis::Client::open(server.as_str()).expect("a Redis URL");
    let mut connection = client.get_connection().expect("the test's Redis takes connections");
    let number: u32 = redis::cmd("INCR").arg("databases").query(&mut connection).expect("a counter");
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

/// A running server.
pub struct Server {
    pub url: String,
    pub app: App,
    pub database: Database,
    pub runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
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

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(changes: &[(&str, &str)]) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let database = Database::migrated(&runtime);
        Self::on(runtime, database, changes)
    }

    pub fn on(runtime: Runtime, database: Database, changes: &[(&str, &str)]) -> Self {
        let config = config(&settings(&database, changes));
        let (app, address, stop) = runtime.block_on(async {
            let database = connect::postgres(&config).await.expect("PostgreSQL");
            let redis = connect::redis(&config).await.expect("Redis");
            let app = App::new(config, database, redis);
            let listener = server::listen(app.config.host, 0).expect("a free port");
            let address: SocketAddr = listener.local_addr().expect("an address");
            let (stop, stopped) = oneshot::channel();
            let stopped = async { drop(stopped.await) };
            let router = router::of(app.clone());
            tokio::spawn(server::serve(listener, router, server::Limits::default(), stopped, Duration::from_secs(1)));
            (app, address, stop)
        });
        Self { url: format!("http://{address}"), app, database, runtime, stop: Some(stop) }
    }

    pub fn get(&self, path: &str) -> Answer {
        read(agent().get(format!("{}{path}", self.url)).call())
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        read(agent().post(format!("{}{path}", self.url)).send_json(body))
    }

    /// A program that takes reports.
    pub fn program(&self, slug: &str) -> Value {
        let body = serde_json::json!({
            "slug": slug, "name": slug, "summary": "A program of a test.", "status": "open",
            "assets": [
                { "identifier": "in.example", "kind": "web" },
                { "identifier": "out.example", "kind": "web", "in_scope": false },
            ],
        });
        let answer = self.post("/api/v1/programs", &body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.runtime.block_on(self.app.database.close());
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
