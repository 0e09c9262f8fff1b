//! Queries that take too long, and migrators that are killed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use backend::migrations::{EMBEDDED, LOCK, Migrate};
use sqlx::migrate::Migrator;
use sqlx::{Executor, PgConnection};
use tokio::runtime::Runtime;

use crate::support::{Database, Server, Serving, settings, thunder, until};

#[test]
fn slow_queries_end_by_themselves_and_leave_health_alone() {
    let server = Server::start_with(&[("DATABASE_MAX_CONNECTIONS", "5")]);
    let mut holder = server.runtime.block_on(server.database.connect());
    server.runtime.block_on(holder.execute("BEGIN; LOCK TABLE reports IN ACCESS EXCLUSIVE MODE")).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let slow: Vec<_> = (0..8).map(|_| scope.spawn(|| server.get("/api/v1/reports"))).collect();
        while begun.elapsed() < Duration::from_secs(3) {
            assert_eq!(server.get("/health").status, 200, "the service is busy, and not ill");
        }
        for request in slow {
            let answer = request.join().unwrap();
            assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}", answer.body);
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(8), "PostgreSQL went on for {:?}", begun.elapsed());
    // Although the table is still locked, the connections are free for others.
    assert_eq!(server.get("/api/v1/programs").status, 200);
    server.runtime.block_on(holder.execute("ROLLBACK")).unwrap();
    assert_eq!(server.get("/api/v1/reports").status, 200);
}

/// A migrator in the middle of a statement, which a lock on a table keeps from ending; and the session that has it.
fn stuck_migrator(runtime: &Runtime, database: &Database) -> (Serving, PgConnection) {
    let first: Vec<_> = EMBEDDED.iter().filter(|one| one.version <= 20_261_121_090_100).cloned().collect();
    let holder = runtime.block_on(async {
        let mut connection = database.connect().await;
        let known = Migrator::with_migrations(first);
        let migrate = Migrate { known: &known, lock_timeout: Duration::from_secs(30), drafts: &[] };
        migrate.run(&mut connection).await.unwrap();
        connection.execute("BEGIN; LOCK TABLE programs IN ACCESS EXCLUSIVE MODE").await.unwrap();
        connection
    });
    let child = thunder(&["migrate", "run"], &settings(database, &[])).stderr(Stdio::null()).spawn().unwrap();
    let serving = Serving { child, port: 0, lines: std::sync::mpsc::channel().1 };
    until("the migrator waits for the table", || is_waiting(runtime, database));
    (serving, holder)
}

fn is_waiting(runtime: &Runtime, database: &Database) -> bool {
    runtime.block_on(async {
        let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock' AND application_name LIKE 'thunder%')";
        sqlx::query_scalar(waiting).fetch_one(&mut database.connect().await).await.unwrap()
    })
}

fn lock_is_free(runtime: &Runtime, database: &Database) -> bool {
    runtime.block_on(async {
        let mut connection = database.connect().await;
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await.unwrap()
    })
}

#[test]
fn a_killed_migrator_lets_go_of_its_lock() {
    for (signal, code) in [("KILL", None), ("TERM", Some(143)), ("INT", Some(130))] {
        let runtime = Runtime::new().unwrap();
        let database = Database::empty(&runtime);
        let (migrator, holder) = stuck_migrator(&runtime, &database);
        assert!(!lock_is_free(&runtime, &database), "it has the lock");
        let begun = Instant::now();
        migrator.signal(signal);
        assert_eq!(migrator.end().0, code, "{signal}");
        until("the lock is free", || lock_is_free(&runtime, &database));
        assert!(begun.elapsed() < Duration::from_secs(5), "{signal}: the lock was held for {:?}", begun.elapsed());
        drop(holder);
    }
}

#[test]
fn a_connection_that_broke_while_nobody_used_it_costs_no_request() {
    let server = Server::start();
    assert_eq!(server.get("/api/v1/reports").status, 200);
    server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid()";
        connection.execute(end).await.unwrap();
        // Longer than a connection is trusted.
        connection.execute("SELECT pg_sleep(0.6)").await.unwrap();
    });
    assert_eq!(server.get("/api/v1/reports").status, 200);
}
