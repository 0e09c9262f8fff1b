//! Redis and PostgreSQL stopped, frozen and back again, while others go on asking.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{Database, Link, Redis, Server, until};

/// The longest that anybody may wait for an answer, whatever is away.
const SOON: Duration = Duration::from_secs(2);

/// What the clients have seen.
#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    /// When each answer came, with its status, and how long it took.
    answers: Mutex<Vec<(Instant, u16, Duration)>>,
    /// Ids of the reports that were acknowledged.
    stored: Mutex<Vec<String>>,
}

impl Seen {
    fn count(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    fn note(&self, begun: Instant, status: u16) {
        self.answers.lock().unwrap().push((Instant::now(), status, begun.elapsed()));
    }

    /// Waits until so many more answers have come.
    fn wait_for(&self, more: usize) {
        let before = self.count();
        until("others go on asking", || self.count() >= before + more);
    }
}

#[test]
fn a_redis_that_hangs_dies_and_comes_back_ends_nothing_and_delays_nobody_for_long() {
    let redis = Redis::start();
    let server = Server::start_with(&[("REDIS_URL", &redis.url()), ("RATE_LIMIT_MAX", "1000000")]);
    let user = server.user("nightjar", "researcher");
    let seen = Seen::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !seen.is_over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    seen.note(begun, server.as_user(&user.access_token).get("/api/v1/me").status);
                }
            });
        }
        seen.wait_for(20);
        redis.signal("STOP");
        seen.wait_for(200);
        redis.signal("CONT");
        seen.wait_for(50);
        let port = redis.port;
        drop(redis);
        seen.wait_for(200);
        let again = Redis::on(port);
        seen.wait_for(200);
        seen.is_over.store(true, Ordering::Relaxed);
        drop(again);
    });
    for (_, status, took) in seen.answers.lock().unwrap().iter() {
        assert_eq!(*status, 200);
        assert!(*took < SOON, "{took:?}");
    }
}

/// Reports sent by four clients while PostgreSQL goes away and comes back: none waits for long, and what was acknowledged is
/// there.
fn loses_nothing(server: &Server, go_away: impl FnOnce(), come_back: impl FnOnce()) {
    server.program("acme");
    let user = server.user("nightjar", "researcher");
    let seen = Seen::default();
    let new = json!({ "program": "acme", "title": "x", "severity": "low", "description": "x" });
    let back = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !seen.is_over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let answer = server.as_user(&user.access_token).post("/api/v1/reports", &new);
                    seen.note(begun, answer.status);
                    if answer.status == 201 {
                        seen.stored.lock().unwrap().push(answer.body["id"].as_str().unwrap().to_owned());
                    }
                }
            });
        }
        seen.wait_for(50);
        go_away();
        let is_refused = || seen.answers.lock().unwrap().last().is_some_and(|(_, status, _)| *status == 503);
        until("it is away", is_refused);
        seen.wait_for(8);
        come_back();
        let back = Instant::now();
        until("it is back", || seen.answers.lock().unwrap().last().is_some_and(|(_, status, _)| *status == 201));
        seen.wait_for(20);
        seen.is_over.store(true, Ordering::Relaxed);
        back
    });
    let answers = seen.answers.lock().unwrap();
    for (_, status, took) in answers.iter() {
        assert!(matches!(status, 201 | 503), "{status}");
        assert!(*took < SOON, "{took:?}");
    }
    let first = answers.iter().find(|(when, status, _)| *when > back && *status == 201).unwrap().0;
    assert!(first - back < SOON, "it took {:?} to come back", first - back);
    let stored = seen.stored.lock().unwrap();
    let found: i64 = server.runtime.block_on(async {
        sqlx::query_scalar("SELECT count(*) FROM reports WHERE id::text = ANY ($1)")
            .bind(&*stored)
            .fetch_one(&mut server.database.connect().await)
            .await
            .unwrap()
    });
    assert_eq!(usize::try_from(found).unwrap(), stored.len(), "every report that was acknowledged is there");
    assert!(stored.len() > 20);
}

#[test]
fn a_postgresql_that_refuses_and_comes_back_loses_nothing_that_was_acknowledged() {
    let server = Server::start_with(&[("RATE_LIMIT_MAX", "1000000")]);
    loses_nothing(&server, || server.database.close(&server.runtime), || server.database.open(&server.runtime));
}

#[test]
fn a_postgresql_that_hangs_and_comes_back_loses_nothing_that_was_acknowledged() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let (link, url) = Link::to(&database.url);
    let server = Server::on(runtime, database, &[("DATABASE_URL", &url), ("RATE_LIMIT_MAX", "1000000")]);
    loses_nothing(&server, || link.freeze(), || link.thaw());
}
