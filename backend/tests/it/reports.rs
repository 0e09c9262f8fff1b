use serde_json::{Value, json};

use crate::support::Server;

fn report(program: &str) -> Value {
    json!({
        "program": program, "title": "A hole", "severity": "high", "weakness": 79, "asset": "in.example",
        "description": "## Steps\n\n1. Look.",
    })
}

fn with(mut report: Value, key: &str, value: impl Into<Value>) -> Value {
    report[key] = value.into();
    report
}

#[test]
fn a_report_is_read_as_it_was_sent() {
    let server = Server::start();
    let program = server.program("acme");
    let made = server.post("/api/v1/reports", &report("acme"));
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["state"], "new");
    assert!(made.body["number"].as_i64().unwrap() > 1000);
    for key in ["title", "severity", "weakness", "asset", "description", "program"] {
        assert_eq!(made.body[key], report("acme")[key], "{key}");
    }
    assert_eq!(server.get(made.header("location")).body, made.body);
    let by_id = server.post("/api/v1/reports", &report(program["id"].as_str().unwrap()));
    assert_eq!((by_id.status, &by_id.body["program"]), (201, &"acme".into()));
}

#[test]
fn only_an_open_program_takes_reports() {
    let server = Server::start();
    server.post("/api/v1/programs", &json!({ "slug": "drafted", "name": "x", "summary": "x" }));
    let answer = server.post("/api/v1/reports", &with(report("drafted"), "asset", Value::Null));
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!(server.get("/api/v1/reports").body["items"], json!([]));
}

#[test]
fn what_is_out_of_scope_or_unknown_is_refused() {
    let server = Server::start();
    server.program("acme");
    for asset in ["out.example", "other.example"] {
        let answer = server.post("/api/v1/reports", &with(report("acme"), "asset", asset));
        assert_eq!((answer.status, answer.pointers()), (422, vec!["#/asset"]), "{asset}");
    }
    let answer = server.post("/api/v1/reports", &report("nobody"));
    assert_eq!((answer.status, answer.pointers()), (422, vec!["#/program"]));
}

#[test]
fn every_wrong_part_is_named_at_once() {
    let server = Server::start();
    server.program("acme");
    let bad = with(with(report("acme"), "title", " "), "weakness", 0);
    let answer = server.post("/api/v1/reports", &bad);
    assert_eq!((answer.status, answer.pointers()), (422, vec!["#/title", "#/weakness"]));
    let answer = server.post("/api/v1/reports", &with(report("acme"), "severity", "terrible"));
    assert_eq!((answer.status, answer.pointers()), (422, vec!["#/severity"]));
    let answer = server.post("/api/v1/reports", &with(report("acme"), "bounty", 1));
    assert_eq!((answer.status, answer.pointers()), (422, vec!["#/bounty"]), "an unknown member");
}

#[test]
fn the_list_is_newest_first_and_can_be_narrowed() {
    let server = Server::start();
    server.program("one");
    server.program("two");
    server.post("/api/v1/reports", &report("one"));
    server.post("/api/v1/reports", &with(report("two"), "severity", "low"));
    server.post("/api/v1/reports", &with(report("one"), "severity", "low"));
    let found = |query: &str| {
        let body = server.get(&format!("/api/v1/reports?{query}")).body;
        let items = body["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| format!("{} {}", item["program"], item["severity"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(""), ["one low", "two low", "one high"]);
    assert_eq!(found("program=one"), ["one low", "one high"]);
    assert_eq!(found("severity=low&program=two"), ["two low"]);
    assert_eq!(found("state=resolved"), Vec::<String>::new());
    assert_eq!(found("limit=1"), ["one low"]);
}

#[test]
fn there_is_no_report_by_a_name_that_nobody_has() {
    let server = Server::start();
    for id in ["0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e", "1001", "x"] {
        assert_eq!(server.get(&format!("/api/v1/reports/{id}")).status, 404, "{id}");
    }
}
