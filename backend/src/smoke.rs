//! A walk through a running service as a client would take it, from health to a report that was sent and read.
//!
//! Safe to repeat against any environment: it keeps to one temporary program of its own, and removes it in the end with
//! its reports, whatever came of the checks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Response;
use uuid::Uuid;

/// One check and what came of it.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it held.
    pub ok: bool,
    /// How long it took.
    pub milliseconds: u64,
    /// What was seen, or what was wrong.
    pub detail: String,
}

type Walk = fn(&mut Client) -> Result<String>;

const WALK: &[(&str, Walk)] = &[
    ("health", health),
    ("health-checks", health_checks),
    ("request-id", request_id),
    ("problem-document", problem_document),
    ("program", program),
    ("validation", validation),
    ("report", report),
    ("pages", pages),
];

/// The last check, which is made even after one that failed.
const CLEANUP: (&str, Walk) = ("cleanup", cleanup);

/// Walks through the service at `url`, tells `each` of every check, and stops at the first that fails: those after it
/// build on it.
pub fn run(url: &str, timeout: Duration, mut each: impl FnMut(&Check)) -> Vec<Check> {
    let mut client = Client::new(url, timeout);
    let mut checks = Vec::new();
    let mut make = |(name, walk): (&'static str, Walk), client: &mut Client| {
        let started = Instant::now();
        let outcome = walk(client);
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (ok, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(error) => (false, format!("{error:#}")),
        };
        let check = Check { name, ok, milliseconds, detail };
        each(&check);
        checks.push(check);
        ok
    };
    let mut is_well = true;
    for step in WALK {
        is_well = is_well && make(*step, &mut client);
    }
    if client.has_program {
        make(CLEANUP, &mut client);
    }
    checks
}

/// Whether every check of the walk was made and held.
pub fn is_complete(checks: &[Check]) -> bool {
    checks.len() == WALK.len() + 1 && checks.iter().all(|check| check.ok)
}

/// What a client knows after an answer.
struct Answer {
    status: u16,
    headers: ureq::http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("status {} without JSON", self.status))
    }

    fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "status {} instead of {status}: {}", self.status, self.text.trim());
        Ok(self)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

struct Client {
    agent: Agent,
    base: String,
    /// The slug of the program that the walk keeps to.
    program: String,
    /// Whether it may be there by now.
    has_program: bool,
    /// Ids of the reports that this walk sent.
    sent: Vec<String>,
}

impl Client {
    fn new(url: &str, timeout: Duration) -> Self {
        // This machine is not reached through a proxy, whatever the environment says.
        let is_local = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|start| url.starts_with(start));
        let config = Agent::config_builder();
        let config = if is_local { config.proxy(None) } else { config };
        let agent = config
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .user_agent(concat!("thunder-smoke/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let program = format!("smoke-{}", Uuid::new_v4().simple());
        Self { agent, base: url.trim_end_matches('/').to_owned(), program, has_program: false, sent: Vec::new() }
    }

    fn get(&self, path: &str) -> Result<Answer> {
        self.get_as(path, None)
    }

    fn get_as(&self, path: &str, id: Option<&str>) -> Result<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        read(request.call()).with_context(|| format!("GET {path}"))
    }

    fn delete(&self, path: &str) -> Result<Answer> {
        read(self.agent.delete(format!("{}{path}", self.base)).call()).with_context(|| format!("DELETE {path}"))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        read(self.agent.post(format!("{}{path}", self.base)).send_json(body)).with_context(|| format!("POST {path}"))
    }
}

fn read(answer: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut answer = answer?;
    let text = answer.body_mut().read_to_string()?;
    Ok(Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), text })
}

fn health(client: &mut Client) -> Result<String> {
    let health = client.get("/health")?.expect(200)?.json()?;
    ensure!(health["status"] == "ok", "status is {}", health["status"]);
    Ok(format!("version {}, commit {}", text(&health["version"]), text(&health["commit"])))
}

fn health_checks(client: &mut Client) -> Result<String> {
    let health = client.get("/api/v1/health")?.expect(200)?.json()?;
    let Some(checks) = health["checks"].as_object() else {
        return Ok("details are behind a token here".to_owned());
    };
    let mut seen = Vec::new();
    for (name, check) in checks {
        ensure!(check["status"] == "ok", "{name}: {}", text(&check["error"]));
        seen.push(format!("{name} {} ms", check["latency_ms"]));
    }
    Ok(seen.join(", "))
}

fn request_id(client: &mut Client) -> Result<String> {
    let mine = "smoke-0001";
    let answer = client.get_as("/health", Some(mine))?;
    ensure!(answer.header("x-request-id") == mine, "the id that was sent did not come back");
    let given = client.get("/health")?.header("x-request-id").to_owned();
    ensure!(!given.is_empty(), "an answer without an id");
    Ok("comes back, and is given where there is none".to_owned())
}

fn problem_document(client: &mut Client) -> Result<String> {
    let answer = client.get("/api/v1/no-such-thing")?.expect(404)?;
    let kind = answer.header("content-type");
    ensure!(kind == "application/problem+json", "content type is {kind}");
    let problem = answer.json()?;
    ensure!(problem["status"] == 404 && problem["title"].is_string(), "members are missing: {problem}");
    Ok("404 explains itself".to_owned())
}

fn program(client: &mut Client) -> Result<String> {
    let new = json!({
        "slug": client.program, "name": "Smoke test", "status": "open", "temporary": true,
        "summary": "Made by the automatic walk through the service, which removes it in the end.",
        "assets": [{ "identifier": "smoke.example", "kind": "api" }],
    });
    // Before it is asked for: an answer that is lost does not say that nothing was made.
    client.has_program = true;
    client.post("/api/v1/programs", &new)?.expect(201)?;
    client.get(&format!("/api/v1/programs/{}", client.program))?.expect(200)?;
    Ok("made".to_owned())
}

fn cleanup(client: &mut Client) -> Result<String> {
    let path = format!("/api/v1/programs/{}", client.program);
    let answer = client.delete(&path)?;
    ensure!(matches!(answer.status, 204 | 404), "status {} instead of 204: {}", answer.status, answer.text.trim());
    client.get(&path)?.expect(404)?;
    for id in &client.sent {
        client.get(&format!("/api/v1/reports/{id}"))?.expect(404)?;
    }
    Ok("what was made is removed".to_owned())
}

fn validation(client: &mut Client) -> Result<String> {
    let bad = json!({
        "program": client.program, "title": "", "severity": "low", "description": "x", "reporter": "Not A Handle",
    });
    let problem = client.post("/api/v1/reports", &bad)?.expect(422)?.json()?;
    let pointers: Vec<&str> =
        problem["errors"].as_array().into_iter().flatten().filter_map(|error| error["pointer"].as_str()).collect();
    ensure!(pointers == ["#/title", "#/reporter"], "the wrong parts are not named: {problem}");
    Ok("names every wrong part".to_owned())
}

fn report(client: &mut Client) -> Result<String> {
    let mut numbers = Vec::new();
    for title in ["First of two smoke reports", "Second of two smoke reports"] {
        let new = json!({
            "program": client.program, "title": title, "severity": "low", "weakness": 79, "asset": "smoke.example",
            "description": "Sent by the automatic walk through the service.", "reporter": "smoke-test",
        });
        let answer = client.post("/api/v1/reports", &new)?.expect(201)?;
        let made = answer.json()?;
        let location = answer.header("location").to_owned();
        let read = client.get(&location)?.expect(200)?.json()?;
        ensure!(read == made, "what was read at {location} is not what was made");
        ensure!(read["title"] == title && read["state"] == "new", "the report changed on its way: {read}");
        client.sent.push(text(&read["id"]).to_owned());
        numbers.push(read["number"].to_string());
    }
    Ok(format!("sent and read {}", numbers.join(" and ")))
}

fn pages(client: &mut Client) -> Result<String> {
    let mut cursor = String::new();
    let mut missing = client.sent.clone();
    let mut seen = Vec::new();
    // Others may be sending to the same program meanwhile; ours are near the top all the same.
    while !missing.is_empty() && seen.len() < 50 {
        let page =
            client.get(&format!("/api/v1/reports?program={}&limit=1{cursor}", client.program))?.expect(200)?.json()?;
        let id = text(&page["items"][0]["id"]).to_owned();
        ensure!(!seen.contains(&id), "report {id} came twice");
        missing.retain(|sent| *sent != id);
        seen.push(id);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(missing.is_empty(), "{} of the reports that were sent are not in the list", missing.len());
    Ok(format!("{} of one report each", seen.len()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
