use std::time::Duration;

use backend::smoke;
use sqlx::Executor;

use crate::support::Server;

const TOKEN: &str = "an-operators-token-of-32-characters";
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn the_walk_is_complete_on_a_healthy_server_again_and_again() {
    let server = Server::start_with(&[("HEALTH_TOKEN", TOKEN)]);
    for _ in 0..2 {
        let outcome = walk(&server);
        assert!(outcome.is_complete && outcome.signed_in, "{outcome:#?}");
        assert_eq!(left(&server), (0, 0, 0));
    }
}

#[test]
fn what_a_walk_left_that_was_killed_is_removed_by_the_next_one() {
    let server = Server::start_with(&[("HEALTH_TOKEN", TOKEN)]);
    let (sender, triager) = (server.temporary_user("researcher"), server.temporary_user("triager"));
    let program =
        serde_json::json!({ "slug": "smoke-old", "name": "x", "summary": "x", "status": "open", "temporary": true });
    assert_eq!(server.as_user(&triager.access_token).post("/api/v1/programs", &program).status, 201);
    let report = serde_json::json!({ "program": "smoke-old", "title": "x", "severity": "low", "description": "x" });
    assert_eq!(server.as_user(&sender.access_token).post("/api/v1/reports", &report).status, 201);
    for table in ["users", "programs"] {
        server.execute(format!("UPDATE {table} SET created_at = now() - interval '2 hours'"));
    }
    let outcome = walk(&server);
    assert!(outcome.is_complete, "{outcome:#?}");
    assert_eq!(left(&server), (0, 0, 0));
}

#[test]
fn without_a_token_the_walk_keeps_to_what_everybody_sees_and_says_so() {
    let server = Server::start_with(&[("HEALTH_TOKEN", TOKEN)]);
    let outcome = smoke::run(&server.url, None, LIMIT, |_| ());
    assert!(outcome.is_complete && !outcome.signed_in, "{outcome:#?}");
    let last = outcome.checks.last().unwrap();
    assert!(last.name == "sign-in-required" && last.detail.contains("set HEALTH_TOKEN"), "{last:?}");
    assert_eq!(left(&server), (0, 0, 0));
    let wrong = smoke::run(&server.url, Some(&"another token of 32 characters...".into()), LIMIT, |_| ());
    assert!(!wrong.is_complete, "{wrong:#?}");
    assert!(wrong.checks.last().unwrap().detail.contains("not the service's HEALTH_TOKEN"), "{wrong:#?}");
}

fn walk(server: &Server) -> smoke::Outcome {
    smoke::run(&server.url, Some(&TOKEN.into()), LIMIT, |_| ())
}

/// How many programs, reports and users there are.
fn left(server: &Server) -> (i64, i64, i64) {
    let counts = "SELECT (SELECT count(*) FROM programs), (SELECT count(*) FROM reports), (SELECT count(*) FROM users)";
    server
        .runtime
        .block_on(async { sqlx::query_as(counts).fetch_one(&mut server.database.connect().await).await.unwrap() })
}

#[test]
fn a_walk_that_fails_half_way_removes_what_it_had_made() {
    let server = Server::start_with(&[("HEALTH_TOKEN", TOKEN)]);
    // Reports cannot be stored from here on, so that the walk ends after it has made its program.
    server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        connection.execute("ALTER TABLE reports ADD CONSTRAINT none CHECK (title = '')").await.unwrap();
    });
    let outcome = walk(&server);
    assert!(!outcome.is_complete);
    let checks = outcome.checks;
    let names: Vec<_> = checks.iter().map(|check| (check.name, check.ok)).collect();
    assert_eq!(names[names.len() - 2..], [("report", false), ("cleanup", true)], "{checks:#?}");
    assert_eq!(left(&server), (0, 0, 0));
}

#[test]
fn the_walk_stops_at_the_first_check_that_fails_and_says_why() {
    let server = Server::start();
    server.database.close(&server.runtime);
    let outcome = walk(&server);
    assert!(!outcome.is_complete);
    let checks = outcome.checks;
    assert_eq!(checks.len(), 1);
    assert!(checks[0].detail.contains("status 503 instead of 200"), "{}", checks[0].detail);
}
