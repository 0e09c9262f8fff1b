use std::time::Duration;

use backend::smoke;
use sqlx::Executor;

use crate::support::Server;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn the_walk_is_complete_on_a_healthy_server_again_and_again() {
    let server = Server::start();
    for _ in 0..2 {
        let checks = smoke::run(&server.url, LIMIT, |_| ());
        assert!(smoke::is_complete(&checks), "{checks:#?}");
        assert_eq!(left(&server), (0, 0));
    }
}

/// How many programs and reports there are.
fn left(server: &Server) -> (i64, i64) {
    let counts = "SELECT (SELECT count(*) FROM programs), (SELECT count(*) FROM reports)";
    server
        .runtime
        .block_on(async { sqlx::query_as(counts).fetch_one(&mut server.database.connect().await).await.unwrap() })
}

#[test]
fn a_walk_that_fails_half_way_removes_what_it_had_made() {
    let server = Server::start();
    // Reports cannot be stored from here on, so that the walk ends after it has made its program.
    server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        connection.execute("ALTER TABLE reports ADD CONSTRAINT none CHECK (title = '')").await.unwrap();
    });
    let checks = smoke::run(&server.url, LIMIT, |_| ());
    assert!(!smoke::is_complete(&checks));
    let names: Vec<_> = checks.iter().map(|check| (check.name, check.ok)).collect();
    assert_eq!(names[names.len() - 2..], [("report", false), ("cleanup", true)], "{checks:#?}");
    assert_eq!(left(&server), (0, 0));
}

#[test]
fn the_walk_stops_at_the_first_check_that_fails_and_says_why() {
    let server = Server::start();
    server.database.close(&server.runtime);
    let checks = smoke::run(&server.url, LIMIT, |_| ());
    assert!(!smoke::is_complete(&checks));
    assert_eq!(checks.len(), 1);
    assert!(checks[0].detail.contains("status 503 instead of 200"), "{}", checks[0].detail);
}
