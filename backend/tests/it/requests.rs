//! What holds for every request, whatever it is about.

use serde_json::json;

use crate::support::{Server, agent, read};

#[test]
fn every_error_is_a_problem_document_with_the_requests_id() {
    let server = Server::start();
    let big = json!({ "slug": "x".repeat(2 * 1024 * 1024) });
    let text = agent().post(format!("{}/api/v1/reports", server.url)).content_type("text/plain").send("{}");
    let broken = agent().post(format!("{}/api/v1/reports", server.url)).content_type("application/json").send("{");
    let answers = [
        (404, server.get("/nowhere")),
        (405, read(agent().delete(format!("{}/api/v1/reports", server.url)).call())),
        (413, server.post("/api/v1/programs", &big)),
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
}

#[test]
fn a_database_that_is_away_is_told_from_a_fault_of_ours() {
    let server = Server::start();
    server.runtime.block_on(server.app.database.close());
    let answer = server.get("/api/v1/reports");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(answer.header("content-type"), "application/problem+json");
}
