use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{Database, Server, agent, read};

#[test]
fn a_healthy_server_says_so_to_everybody() {
    let server = Server::start_with(&[("GIT_COMMIT", "abc123")]);
    let answer = server.get("/health");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.body["status"], "ok");
    assert_eq!(answer.body["commit"], "abc123");
    assert_eq!(answer.body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(answer.body["checks"], Value::Null, "the public answer has no details");
}

#[test]
fn the_details_name_each_check() {
    let server = Server::start();
    let body = server.get("/api/v1/health").body;
    for check in ["postgres", "redis", "migrations"] {
        assert_eq!(body["checks"][check]["status"], "ok", "{body}");
        assert!(body["checks"][check]["latency_ms"].is_number(), "{body}");
    }
    assert_eq!(body["checks"]["migrations"]["pending"], 0);
    assert!(body["checks"]["migrations"]["head"].is_number());
    assert!(body["uptime_seconds"].is_number());
}

#[test]
fn with_a_token_set_the_details_are_behind_it() {
    let server = Server::start_with(&[("HEALTH_TOKEN", "open-sesame")]);
    let ask = |token: &str| {
        let request = agent().get(format!("{}/api/v1/health", server.url));
        read(request.header("authorization", format!("Bearer {token}")).call()).body
    };
    assert_eq!(server.get("/api/v1/health").body["checks"], Value::Null);
    assert_eq!(ask("open-sesam")["checks"], Value::Null);
    assert_eq!(ask("open-sesame")["checks"]["postgres"]["status"], "ok");
}

#[test]
fn a_database_that_is_gone_makes_it_unavailable() {
    let server = Server::start();
    server.runtime.block_on(server.app.database.close());
    let answer = server.get("/health");
    assert_eq!((answer.status, &answer.body["status"]), (503, &"failing".into()));
    let details = server.get("/api/v1/health").body;
    assert_eq!(details["checks"]["postgres"]["status"], "failing");
    assert_eq!(details["checks"]["redis"]["status"], "ok");
}

#[test]
fn pending_migrations_make_it_unavailable() {
    let runtime = Runtime::new().unwrap();
    let database = Database::empty(&runtime);
    let server = Server::on(runtime, database, &[]);
    let answer = server.get("/api/v1/health");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body["checks"]["migrations"]["status"], "failing");
    assert!(answer.body["checks"]["migrations"]["pending"].as_u64().unwrap() > 0, "{}", answer.body);
}

#[test]
fn a_server_that_stops_says_so() {
    let server = Server::start();
    server.app.stop();
    let answer = server.get("/health");
    assert_eq!((answer.status, &answer.body["status"]), (503, &"stopping".into()));
}
