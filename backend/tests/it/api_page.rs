//! `docs/api.md`: its examples run as they stand there, and no route and no kind of problem is missing.

use std::collections::HashMap;
use std::path::Path;

use backend::problem::Kind;
use backend::rate_limit::PASSWORD_ROUTES;
use serde_json::Value;

use crate::support::{Answer, Server, agent, read};

const PAGE: &str = include_str!("../../../docs/api.md");
const OPERATOR: &str = "an-operators-token-of-32-characters";

/// A request, and what has to come back.
struct Example {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    status: u16,
    answer: Option<Value>,
}

impl Example {
    fn parse(text: &str) -> Self {
        let (request, answer) = text.split_once("→ ").expect("what comes back");
        let mut lines = request.lines();
        let (method, path) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a path");
        let rest: Vec<&str> = lines.collect();
        let is_header = |line: &&&str| !line.starts_with(['{', ' ']) && line.contains(": ");
        let headers: Vec<(String, String)> = rest
            .iter()
            .take_while(is_header)
            .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
            .collect();
        let body = rest[headers.len()..].join("\n");
        let (status, answer) = answer.split_once('\n').unwrap_or((answer, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: Some(body).filter(|body| !body.trim().is_empty()),
            status: status.trim().parse().expect("a status"),
            answer: Some(answer)
                .filter(|text| !text.trim().is_empty())
                .map(|text| serde_json::from_str(text).expect(text)),
        }
    }
}

fn examples() -> Vec<Example> {
    PAGE.split("```http\n").skip(1).map(|rest| Example::parse(rest.split("```").next().unwrap())).collect()
}

/// With what earlier answers said in the place of `<name>`.
fn filled(text: &str, known: &HashMap<String, String>) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("<{name}>"), value))
}

fn send(server: &Server, example: &Example, known: &HashMap<String, String>) -> Answer {
    let method = ureq::http::Method::from_bytes(example.method.as_bytes()).unwrap();
    let mut request =
        ureq::http::Request::builder().method(method).uri(format!("{}{}", server.url, filled(&example.path, known)));
    for (name, value) in &example.headers {
        request = request.header(name, filled(value, known));
    }
    match &example.body {
        Some(body) => {
            let request = request.header("content-type", "application/json");
            read(agent().run(request.body(filled(body, known)).unwrap()))
        }
        None => read(agent().run(request.body(()).unwrap())),
    }
}

/// Whether an answer holds what the page says.
fn holds(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(any), Value::String(_)) if any == "…" => true,
        (Value::Object(expected), Value::Object(found)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| holds(value, found)))
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(expected, found)| holds(expected, found))
        }
        _ => expected == found,
    }
}

#[test]
fn every_example_answers_as_the_page_says() {
    let server = Server::start_with(&[("HEALTH_TOKEN", OPERATOR)]);
    let (admin, triager) = (server.user("root", "admin"), server.user("owl", "researcher"));
    let mut known = HashMap::from([
        ("admin".to_owned(), admin.access_token),
        ("triager_id".to_owned(), triager.id.to_string()),
        ("operator".to_owned(), OPERATOR.to_owned()),
    ]);
    let examples = examples();
    assert!(examples.len() > 30, "{}", examples.len());
    for example in examples {
        let needs = |name: &str| {
            let has = |text: &str| text.contains(&format!("<{name}>"));
            has(&example.path)
                || example.body.as_deref().is_some_and(has)
                || example.headers.iter().any(|(_, value)| has(value))
        };
        if needs("mailed") {
            known.insert("mailed".to_owned(), server.mail_token("nightjar@example.com"));
        }
        // What ended a session is followed by somebody who signed in again.
        if needs("researcher") {
            server.execute("DELETE FROM sessions WHERE user_agent = 'a test' AND user_id = (SELECT id FROM users WHERE handle = 'nightjar')");
            known.insert("researcher".to_owned(), server.sign_in("nightjar").access_token);
        }
        if needs("triager") {
            known.insert("triager".to_owned(), server.sign_in("owl").access_token);
        }
        let answer = send(&server, &example, &known);
        let what = format!("{} {}", example.method, example.path);
        assert_eq!(answer.status, example.status, "{what}: {}", answer.body);
        if let Some(expected) = &example.answer {
            assert!(holds(expected, &answer.body), "{what}: {expected:#}\n{:#}", answer.body);
        }
        for name in ["access_token", "refresh_token"] {
            if let Some(token) = answer.body[name].as_str() {
                known.insert(name.to_owned(), token.to_owned());
            }
        }
        for (path, name) in [("/api/v1/reports", "report_id"), ("/api/v1/temporary-users", "temporary_id")] {
            if let (true, 201, Some(id)) = (example.path == path, answer.status, answer.body["id"].as_str()) {
                known.insert(name.to_owned(), id.to_owned());
            }
        }
    }
}

/// Method and pattern of every route below a folder.
fn routes(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            routes(&path, found);
        } else if path.file_name().is_some_and(|name| name == "routes.rs" || name == "mod.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split(".route(\"").skip(1) {
                let (pattern, handlers) = rest.split_once('"').unwrap();
                let handlers = handlers.lines().next().unwrap();
                for method in ["get", "post", "put", "patch", "delete"] {
                    if handlers.contains(&format!("{method}(")) {
                        found.push((method.to_uppercase(), pattern.to_owned()));
                    }
                }
            }
        }
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len() && pattern.iter().zip(&path).all(|(part, found)| part.starts_with('{') || part == found)
}

#[test]
fn no_route_and_no_kind_of_problem_is_missing_on_the_page() {
    let mut all = Vec::new();
    routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    assert!(all.len() > 30, "{all:?}");
    let shown = examples();
    let is_shown = |(method, pattern): &&(String, String)| {
        shown.iter().any(|one| one.method == *method && fits(pattern, one.path.split('?').next().unwrap()))
    };
    let elsewhere = ["/health", "/problems", "/api/v1/health"];
    let is_elsewhere = |(_, pattern): &&(String, String)| elsewhere.iter().any(|start| pattern.starts_with(start));
    let missing: Vec<_> = all.iter().filter(|route| !is_elsewhere(route) && !is_shown(route)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for route in PASSWORD_ROUTES {
        assert!(all.iter().any(|(_, pattern)| pattern == route), "{route}");
    }
    let errors = PAGE.split_once("## Errors").unwrap().1;
    for kind in Kind::ALL {
        let row = errors.lines().find(|line| line.starts_with("| ") && line.contains(&format!("`{}`", kind.name())));
        let statuses = row.unwrap_or_else(|| panic!("{kind:?}")).split('|').nth(1).unwrap();
        assert!(statuses.contains(kind.status().as_str()), "{kind:?}: {statuses}");
    }
}
