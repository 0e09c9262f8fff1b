//! What holds for every request, whatever it is about.

use crate::support::{Server, agent, read};

#[test]
fn every_error_is_a_problem_document_with_the_requests_id() {
    let server = Server::start();
    let text = agent().post(format!("{}/api/v1/reports", server.url)).content_type("text/plain").send("{}");
    let broken = agent().post(format!("{}/api/v1/reports", server.url)).content_type("application/json").send("{");
    let answers = [
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
    use std::io::{Read, Write};
    let server = Server::start();
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = "POST /api/v1/programs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2000000\r\n\r\n";
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
