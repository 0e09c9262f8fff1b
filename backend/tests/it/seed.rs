use std::time::Duration;

use backend::seed::{self, Seeded};
use serde_json::json;

use crate::support::{Server, wait_for};

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

#[test]
fn only_another_seed_is_told_as_one_and_a_timeout_of_0_does_not_wait() {
    let server = Server::start();
    server.runtime.block_on(async {
        let (mut holder, mut one) = (server.database.connect().await, server.database.connect().await);
        let lock = "SELECT pg_advisory_lock(x'73656564'::bigint)";
        sqlx::query(lock).execute(&mut holder).await.unwrap();
        let error = seed::run(&mut one, Duration::ZERO).await.unwrap_err();
        assert!(error.is::<seed::Busy>(), "{error}");
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut one).await.unwrap();
        let cut = async {
            let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND \
                           database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            wait_for(&mut holder, waiting, 1).await;
            sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut holder).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(seed::run(&mut one, LIMIT), cut);
        let error = outcome.unwrap_err();
        assert!(!error.is::<seed::Busy>(), "{error}");
    });
}

/// How many of the reports were made for work on performance.
const MADE: &str = "SELECT count(*) FROM reports WHERE reporter LIKE 'load-%' AND reporter_id = (SELECT id FROM users WHERE handle = reporter)";

#[test]
fn reports_for_work_on_performance_are_brought_to_a_number_and_no_further() {
    let server = Server::start();
    server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        seed::run(&mut connection, LIMIT).await.unwrap();
        let told = std::cell::Cell::new(0);
        let tell = |done, _| told.set(done);
        for (count, added, there) in [(0, 0, 0), (60_000, 60_000, 60_000), (60_000, 0, 60_000), (10, 0, 60_000)] {
            assert_eq!(seed::add_reports(&mut connection, count, LIMIT, tell).await.unwrap(), added);
            let found: i64 = sqlx::query_scalar(MADE).fetch_one(&mut connection).await.unwrap();
            assert_eq!(found, there);
        }
        assert_eq!(told.get(), 50_000, "progress is told");
        // What somebody has removed is made again, under another id.
        let remove = "DELETE FROM reports WHERE id IN (SELECT id FROM reports ORDER BY id LIMIT 100)";
        sqlx::query(remove).execute(&mut connection).await.unwrap();
        assert_eq!(seed::add_reports(&mut connection, 60_000, LIMIT, tell).await.unwrap(), 100);
        let error = seed::add_reports(&mut connection, seed::MOST_REPORTS + 1, LIMIT, tell).await.unwrap_err();
        assert!(error.to_string().contains("at most"), "{error}");
    });
    let page = server.get("/api/v1/reports?severity=high&limit=50").body;
    assert_eq!(page["items"].as_array().unwrap().len(), 50, "they are reports as all others are");
}

#[test]
fn a_seed_of_many_reports_that_breaks_off_leaves_none_of_them() {
    let server = Server::start();
    server.runtime.block_on(async {
        let (mut one, mut other) = (server.database.connect().await, server.database.connect().await);
        seed::run(&mut one, LIMIT).await.unwrap();
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut one).await.unwrap();
        let (begun, hears) = tokio::sync::oneshot::channel();
        let begun = std::cell::Cell::new(Some(begun));
        let tell = |_, _| {
            if let Some(begun) = begun.take() {
                begun.send(()).unwrap();
            }
        };
        let cut = async {
            hears.await.unwrap();
            sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut other).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(seed::add_reports(&mut one, 2_000_000, LIMIT, tell), cut);
        assert!(outcome.is_err());
        let found: i64 = sqlx::query_scalar(MADE).fetch_one(&mut other).await.unwrap();
        assert_eq!(found, 0);
    });
}
