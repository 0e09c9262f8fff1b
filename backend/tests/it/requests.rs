//! What holds for every request, whatever it is about.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use backend::problem::Kind;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{Database, Server, agent, read, until};

#[test]
fn every_error_is_a_problem_document_with_the_requests_id() {
    let server = Server::start();
    let sign_in = || agent().post(format!("{}/api/v1/auth/sign-in", server.url));
    let text = sign_in().content_type("text/plain").send("{}");
    let broken = sign_in().content_type("application/json").send("{");
    let answers = [
        (401, server.nobody().get("/api/v1/reports")),
        (404, server.get("/nowhere")),
        (405, read(agent().delete(format!("{}/api/v1/reports", server.url)).call())),
        (415, read(text)),
        (400, read(broken)),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{status}");
        assert_eq!(answer.body["status"], status);
        assert!(answer.body["title"].is_string(), "{status}");
        assert_eq!(answer.body["request_id"], answer.header("x-request-id"), "{status}");
    }
}

/// Only the head is sent: whoever reads the length need not wait for the body to refuse it.
#[test]
fn a_body_that_is_too_large_is_refused_by_its_length() {
    let server = Server::start();
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = "POST /api/v1/auth/sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let length = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("application/problem+json"), "{answer}");
}

#[test]
fn a_method_that_is_not_allowed_says_which_are() {
    let server = Server::start();
    let answer = read(agent().delete(format!("{}/api/v1/reports", server.url)).call());
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
}

#[test]
fn an_id_that_is_fit_for_a_log_comes_back_and_any_other_is_replaced() {
    let server = Server::start();
    let ask = |id: &str| {
        let answer = read(agent().get(format!("{}/health", server.url)).header("x-request-id", id).call());
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(ask("trace-7.a:b"), "trace-7.a:b");
    assert_ne!(ask("two words"), "two words");
    assert_ne!(ask(&"x".repeat(200)), "x".repeat(200));
    assert_ne!(server.get("/health").header("x-request-id"), server.get("/health").header("x-request-id"));
}

#[test]
fn only_known_origins_may_call_from_a_page() {
    let server = Server::start_with(&[
        ("ALLOWED_ORIGINS", "https://one.example"),
        ("FRONTEND_URL", "https://app.example/start"),
    ]);
    let preflight = |origin: &str| {
        let request = ureq::http::Request::options(format!("{}/api/v1/reports", server.url))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .body(())
            .unwrap();
        read(agent().run(request)).header("access-control-allow-origin").to_owned()
    };
    assert_eq!(preflight("https://one.example"), "https://one.example");
    assert_eq!(preflight("https://app.example"), "https://app.example");
    assert_eq!(preflight("https://evil.example"), "");
    let request = agent().get(format!("{}/health/live", server.url)).header("origin", "https://one.example");
    let exposed = read(request.call()).header("access-control-expose-headers").to_owned();
    let expected = "x-request-id,location,etag,idempotency-replayed,retry-after,ratelimit,ratelimit-policy";
    assert_eq!(exposed, expected, "what a page may read of an answer");
}

#[test]
fn a_database_that_is_away_is_told_from_a_fault_of_ours() {
    let server = Server::start();
    server.database.close(&server.runtime);
    unavailable_soon(&server);
    server.database.open(&server.runtime);
    until("it is back", || server.nobody().get("/api/v1/programs").status == 200);
}

#[test]
fn a_database_that_accepts_and_never_answers_is_given_up_on_within_two_seconds() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:p@{}/d", deaf.local_addr().unwrap());
    unavailable_soon(&Server::start_with(&[("DATABASE_URL", &url)]));
}

#[test]
fn a_password_that_is_no_longer_right_is_not_taken_for_a_fault_of_ours() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let (before, after) = database.url.split_once('@').unwrap();
    let url = format!("{}:other@{after}", before.rsplit_once(':').unwrap().0);
    unavailable_soon(&Server::on(runtime, database, &[("DATABASE_URL", &url)]));
}

fn unavailable_soon(server: &Server) {
    let begun = Instant::now();
    let answer = server.nobody().get("/api/v1/programs");
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}", answer.body);
    assert_eq!(
        (answer.header("content-type"), &answer.body["type"]),
        ("application/problem+json", &"/problems/unavailable".into())
    );
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn what_is_answered_503_is_not_stored() {
    let server = Server::start_with(&[("DATABASE_MAX_CONNECTIONS", "1")]);
    server.program("acme");
    let stored: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let report = json!({ "program": "acme", "title": "x", "severity": "low", "description": "x" });
                    (0..10).filter(|_| server.post("/api/v1/reports", &report).status == 201).count()
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    let counted: i64 = server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        sqlx::query_scalar("SELECT count(*) FROM reports").fetch_one(&mut connection).await.unwrap()
    });
    assert_eq!(usize::try_from(counted).unwrap(), stored);
}

/// Sends a head as it is, and gives back the status.
fn status_of(server: &Server, head: &str) -> u16 {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[9..]).parse().unwrap()
}

#[test]
fn a_request_has_exactly_one_host() {
    let server = Server::start();
    for (hosts, version, status) in [
        ("", "1.1", 400),
        ("host: a\r\nhost: b\r\n", "1.1", 400),
        ("host: a\r\nHost: a\r\n", "1.1", 400),
        ("host: a\r\n", "1.1", 200),
        ("", "1.0", 200),
    ] {
        assert_eq!(status_of(&server, &format!("GET /health/live HTTP/{version}\r\n{hosts}\r\n")), status, "{hosts}");
    }
}

#[test]
fn a_media_type_is_taken_in_any_case() {
    let server = Server::start();
    let post = |kind: &str| {
        let request = agent().post(format!("{}/api/v1/auth/sign-in", server.url)).content_type(kind);
        read(request.send("{}")).status
    };
    assert_eq!(post("Application/JSON; Charset=UTF-8"), 422);
    assert_eq!(post("text/json"), 415);
}

#[test]
fn the_type_of_every_problem_leads_to_a_page() {
    let server = Server::start();
    for kind in Kind::ALL {
        let page = server.get(&format!("/problems/{}", kind.name()));
        assert_eq!((page.status, page.header("content-type")), (200, "text/markdown; charset=utf-8"), "{kind:?}");
    }
    assert!(server.get("/problems").body.as_str().unwrap().contains("/problems/invalid-input"));
    let answer = server.get("/nowhere");
    assert_eq!(answer.body["type"], "/problems/not-found");
    assert_eq!(server.get("/problems/no-such-kind").status, 404);
}

#[test]
fn missing_mistyped_and_unknown_members_are_named_at_once() {
    let server = Server::start();
    let answer =
        server.post("/api/v1/programs", &json!({ "name": 7, "summary": "two\nlines", "assets": {}, "colour": "x" }));
    assert_eq!(
        (answer.status, answer.pointers()),
        (422, vec!["#/slug", "#/name", "#/summary", "#/assets", "#/colour"])
    );
    assert!(!answer.body.to_string().contains("struct"), "{}", answer.body);
    let twice = agent().post(format!("{}/api/v1/auth/refresh", server.url)).content_type("application/json");
    let twice = read(twice.send(r#"{"refresh_token":"one","refresh_token":"other"}"#));
    assert_eq!((twice.status, twice.pointers()), (422, vec!["#/refresh_token"]));
}
