use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{Database, Server, agent, read, until};

#[test]
fn a_healthy_server_says_so_to_everybody() {
    let server = Server::start();
    let answer = server.get("/health");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.body["status"], "ok");
    assert_eq!(answer.body["commit"], backend::COMMIT);
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
fn a_database_that_is_gone_makes_it_unavailable_until_it_is_back() {
    let server = Server::start();
    assert_eq!(server.get("/health").status, 200);
    server.database.close(&server.runtime);
    // What was found holds for a second.
    until("it is noticed", || server.get("/health").status == 503);
    assert_eq!(server.get("/health").body["status"], "failing");
    let details = server.get("/api/v1/health").body;
    assert_eq!(details["checks"]["postgres"]["status"], "failing");
    assert_eq!(details["checks"]["redis"]["status"], "ok");
    assert_eq!(server.get("/health/live").status, 200, "the process answers all the same");
    server.database.open(&server.runtime);
    until("it is well again", || server.get("/health").status == 200);
}

#[test]
fn the_checks_keep_to_one_connection_of_their_own_and_one_question_a_second() {
    let server = Server::start_with(&[("DATABASE_MAX_CONNECTIONS", "1")]);
    // Nothing is left in the pool for as long as this is held.
    let held = server.runtime.block_on(server.app.database.acquire()).unwrap();
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(server.get("/health").status, 200);
                }
            });
        }
    });
    let allowed = begun.elapsed().as_secs() + 2;
    server.runtime.block_on(async { drop(held) });
    let (connections, questions): (i64, i64) = server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name LIKE 'thunder%'), \
             (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap()
    });
    assert_eq!(connections, 2, "one of the pool, one of the checks");
    assert!(questions < 20 + 3 * i64::try_from(allowed).unwrap(), "{questions} transactions for 200 questions");
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
    assert_eq!(server.get("/health/live").status, 200);
}

#[test]
fn without_redis_it_starts_serves_and_says_that_it_is_degraded() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start_with(&[("REDIS_URL", &format!("redis://{nobody}")), ("STARTUP_TIMEOUT", "1")]);
    let answer = server.get("/health");
    assert_eq!((answer.status, &answer.body["status"]), (200, &"degraded".into()));
    assert_eq!(server.get("/api/v1/health").body["checks"]["redis"]["status"], "failing");
    assert_eq!(server.get("/api/v1/reports").status, 200);
}

#[test]
fn a_connection_to_redis_that_broke_is_made_anew_before_anybody_is_told() {
    let server = Server::start();
    assert_eq!(server.get("/health").body["status"], "ok");
    let url = server.app.config.redis.url.reveal().to_owned();
    let number = url.rsplit_once('/').unwrap().1;
    let mut admin = redis::Client::open(crate::support::provided("TEST_REDIS_URL")).unwrap().get_connection().unwrap();
    let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut admin).unwrap();
    let ours = clients.lines().find(|line| line.contains(&format!(" db={number} "))).expect("the server's connection");
    let id = ours.strip_prefix("id=").unwrap().split(' ').next().unwrap();
    redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).exec(&mut admin).unwrap();
    // What was found holds for a second; whatever is found next was asked on the broken connection.
    let begun = std::time::Instant::now();
    until("it was asked again", || {
        let answer = server.get("/health");
        assert_eq!((answer.status, &answer.body["status"]), (200, &"ok".into()));
        begun.elapsed() > std::time::Duration::from_millis(1500)
    });
}
