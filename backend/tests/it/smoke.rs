use std::time::Duration;

use backend::smoke;

use crate::support::Server;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn the_walk_is_complete_on_a_healthy_server_again_and_again() {
    let server = Server::start();
    for _ in 0..2 {
        let checks = smoke::run(&server.url, LIMIT, |_| ());
        assert!(smoke::is_complete(&checks), "{checks:#?}");
    }
}

#[test]
fn the_walk_stops_at_the_first_check_that_fails_and_says_why() {
    let server = Server::start();
    server.runtime.block_on(server.app.database.close());
    let checks = smoke::run(&server.url, LIMIT, |_| ());
    assert!(!smoke::is_complete(&checks));
    assert_eq!(checks.len(), 1);
    assert!(checks[0].detail.contains("status 503 instead of 200"), "{}", checks[0].detail);
}
