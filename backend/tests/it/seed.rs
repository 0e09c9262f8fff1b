use std::time::Duration;

use backend::seed::{self, Seeded};
use serde_json::json;

use crate::support::Server;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn demo_data_is_added_once_and_looks_like_a_real_programmes() {
    let server = Server::start();
    let (first, second) = server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        (seed::run(&mut connection, LIMIT).await.unwrap(), seed::run(&mut connection, LIMIT).await.unwrap())
    });
    assert!(first.programs >= 5 && first.reports >= 12, "{first:?}");
    assert_eq!(second, Seeded::default());
    let states = ["new", "triaged", "resolved", "duplicate", "informative", "rejected"];
    for state in states {
        let found = server.get(&format!("/api/v1/reports?state={state}")).body;
        assert_ne!(found["items"], json!([]), "a report that is {state}");
    }
    assert_eq!(server.get("/api/v1/programs/lumen-grid").body["status"], "paused");
}

#[test]
fn two_seeds_at_once_add_it_once() {
    let server = Server::start();
    let (one, other) = server.runtime.block_on(async {
        let (mut one, mut other) = (server.database.connect().await, server.database.connect().await);
        tokio::join!(seed::run(&mut one, LIMIT), seed::run(&mut other, LIMIT))
    });
    let added = [one.unwrap().programs, other.unwrap().programs];
    assert!(added.contains(&0) && added.iter().sum::<usize>() >= 5, "{added:?}");
}
