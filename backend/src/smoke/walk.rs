//! The checks, in their order.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::client::{As, Client, User};

pub type Step = (&'static str, fn(&mut Client) -> Result<String>);

/// What everybody may see.
pub const PUBLIC: &[Step] = &[
    ("health", health),
    ("health-checks", health_checks),
    ("request-id", request_id),
    ("problem-document", problem_document),
    ("programs", programs),
    ("sign-in-required", sign_in_required),
];

/// What somebody does who is signed in.
pub const SIGNED_IN: &[Step] = &[
    ("sign-in", sign_in),
    ("program", program),
    ("validation", validation),
    ("report", report),
    ("pages", pages),
    ("triage", triage),
    ("refresh", refresh),
    ("sign-out", sign_out),
];

/// The last check.
pub const CLEANUP: Step = ("cleanup", cleanup);

fn health(client: &mut Client) -> Result<String> {
    let health = client.get(As::Nobody, "/health")?.expect(200)?.json()?;
    ensure!(health["status"] == "ok", "status is {}", health["status"]);
    Ok(format!("version {}, commit {}", text(&health["version"]), text(&health["commit"])))
}

fn health_checks(client: &mut Client) -> Result<String> {
    let health = client.get(As::Operator, "/api/v1/health")?.expect(200)?.json()?;
    let Some(checks) = health["checks"].as_object() else {
        ensure!(!client.can_sign_in(), "the token that was given is not the service's HEALTH_TOKEN");
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
    let answer = client.get_with(As::Nobody, "/health", Some(mine))?;
    ensure!(answer.header("x-request-id") == mine, "the id that was sent did not come back");
    let given = client.get(As::Nobody, "/health")?.header("x-request-id").to_owned();
    ensure!(!given.is_empty(), "an answer without an id");
    Ok("comes back, and is given where there is none".to_owned())
}

fn problem_document(client: &mut Client) -> Result<String> {
    let answer = client.get(As::Nobody, "/api/v1/no-such-thing")?.expect(404)?;
    let kind = answer.header("content-type");
    ensure!(kind == "application/problem+json", "content type is {kind}");
    let problem = answer.json()?;
    ensure!(problem["status"] == 404 && problem["title"].is_string(), "members are missing: {problem}");
    Ok("404 explains itself".to_owned())
}

fn programs(client: &mut Client) -> Result<String> {
    let page = client.get(As::Nobody, "/api/v1/programs?limit=100")?.expect(200)?.json()?;
    let items = page["items"].as_array().context("no list of programs")?;
    ensure!(items.iter().all(|item| item["status"] != "draft"), "a draft is shown to everybody");
    ensure!(items.iter().all(|item| item["temporary"] == false), "a temporary program is shown to everybody");
    Ok("are listed, and none of them is a draft".to_owned())
}

fn sign_in_required(client: &mut Client) -> Result<String> {
    let answer = client.get(As::Nobody, "/api/v1/reports")?.expect(401)?;
    let challenge = answer.header("www-authenticate");
    ensure!(challenge == "Bearer", "the challenge is `{challenge}`");
    let how =
        if client.can_sign_in() { "" } else { "; what is behind a sign-in was not walked through: set HEALTH_TOKEN" };
    Ok(format!("reports are for those who are signed in{how}"))
}

fn sign_in(client: &mut Client) -> Result<String> {
    let (researcher, triager) = (new_user(client, "researcher")?, new_user(client, "triager")?);
    let me = client.get(As::User(&researcher), "/api/v1/me")?.expect(200)?.json()?;
    ensure!(me["id"] == researcher.id.as_str() && me["role"] == "researcher", "signed in as somebody else: {me}");
    (client.researcher, client.triager) = (Some(researcher), Some(triager));
    Ok("as a researcher and a triager, both temporary".to_owned())
}

fn new_user(client: &mut Client, role: &str) -> Result<User> {
    let made = client.post(As::Operator, "/api/v1/temporary-users", &json!({ "role": role }))?.expect(201)?.json()?;
    let user = User { id: text(&made["id"]).to_owned(), ..User::default() };
    // Noted before it is used, so that it is removed whatever comes of it.
    if role == "triager" {
        client.triager = Some(user.clone());
    } else {
        client.researcher = Some(user.clone());
    }
    let credentials = json!({ "email": made["email"], "password": made["password"] });
    let grant = client.post(As::Nobody, "/api/v1/auth/sign-in", &credentials)?.expect(200)?.json()?;
    Ok(with_tokens(user, &grant))
}

fn with_tokens(user: User, grant: &Value) -> User {
    User {
        access_token: text(&grant["access_token"]).to_owned(),
        refresh_token: text(&grant["refresh_token"]).to_owned(),
        ..user
    }
}

fn program(client: &mut Client) -> Result<String> {
    let new = json!({
        "slug": client.program, "name": "Smoke test", "status": "open", "temporary": true,
        "summary": "Made by the automatic walk through the service, which removes it in the end.",
        "assets": [{ "identifier": "smoke.example", "kind": "api" }],
    });
    // Before it is asked for: an answer that is lost does not say that nothing was made.
    client.has_program = true;
    client.post(As::User(client.triager()?), "/api/v1/programs", &new)?.expect(201)?;
    client.get(As::Nobody, &format!("/api/v1/programs/{}", client.program))?.expect(200)?;
    Ok("made".to_owned())
}

fn validation(client: &mut Client) -> Result<String> {
    let bad = json!({ "program": client.program, "title": "", "severity": "bad", "description": "x" });
    let answer = client.post(As::User(client.researcher()?), "/api/v1/reports", &bad)?;
    let problem = answer.expect(422)?.json()?;
    let pointers: Vec<&str> =
        problem["errors"].as_array().into_iter().flatten().filter_map(|error| error["pointer"].as_str()).collect();
    ensure!(pointers == ["#/title", "#/severity"], "the wrong parts are not named: {problem}");
    Ok("names every wrong part".to_owned())
}

fn report(client: &mut Client) -> Result<String> {
    let mut numbers = Vec::new();
    for title in ["First of two smoke reports", "Second of two smoke reports"] {
        let new = json!({
            "program": client.program, "title": title, "severity": "low", "weakness": 79, "asset": "smoke.example",
            "description": "Sent by the automatic walk through the service.",
        });
        let researcher = As::User(client.researcher()?);
        let answer = client.post(researcher, "/api/v1/reports", &new)?.expect(201)?;
        let made = answer.json()?;
        let location = answer.header("location").to_owned();
        let read = client.get(researcher, &location)?.expect(200)?.json()?;
        ensure!(read == made, "what was read at {location} is not what was made");
        ensure!(read["title"] == title && read["state"] == "new", "the report changed on its way: {read}");
        client.sent.push(text(&read["id"]).to_owned());
        numbers.push(read["number"].to_string());
    }
    Ok(format!("sent and read {}", numbers.join(" and ")))
}

fn pages(client: &mut Client) -> Result<String> {
    let mut cursor = String::new();
    let mut seen = Vec::new();
    while seen.len() <= client.sent.len() {
        let path = format!("/api/v1/reports?program={}&limit=1{cursor}", client.program);
        let page = client.get(As::User(client.triager()?), &path)?.expect(200)?.json()?;
        let id = text(&page["items"][0]["id"]).to_owned();
        ensure!(!seen.contains(&id), "report {id} came twice");
        seen.push(id);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let newest_first: Vec<String> = client.sent.iter().rev().cloned().collect();
    ensure!(seen == newest_first, "the list is {seen:?} and not {newest_first:?}");
    Ok(format!("{} of one report each", seen.len()))
}

fn triage(client: &mut Client) -> Result<String> {
    let path = format!("/api/v1/reports/{}", client.sent.first().context("no report was sent")?);
    let forward = json!({ "to": "triaged" });
    client.post(As::User(client.researcher()?), &format!("{path}/transitions"), &forward)?.expect(403)?;
    client.post(As::User(client.triager()?), &format!("{path}/transitions"), &forward)?.expect(200)?;
    let words = json!({ "body": "Seen by the automatic walk." });
    client.post(As::User(client.triager()?), &format!("{path}/comments"), &words)?.expect(201)?;
    let events = client.get(As::User(client.researcher()?), &format!("{path}/events"))?.expect(200)?.json()?;
    let kinds: Vec<&str> =
        events["items"].as_array().into_iter().flatten().filter_map(|event| event["kind"].as_str()).collect();
    ensure!(kinds == ["commented", "transitioned", "created"], "the events are {kinds:?}");
    Ok("moved, commented and recorded".to_owned())
}

fn refresh(client: &mut Client) -> Result<String> {
    let before = client.researcher()?.clone();
    let given = json!({ "refresh_token": before.refresh_token });
    let grant = client.post(As::Nobody, "/api/v1/auth/refresh", &given)?.expect(200)?.json()?;
    let after = with_tokens(before.clone(), &grant);
    ensure!(after.refresh_token != before.refresh_token, "the refresh token is the same");
    client.get(As::User(&after), "/api/v1/me")?.expect(200)?;
    client.researcher = Some(after);
    Ok("brings new tokens".to_owned())
}

fn sign_out(client: &mut Client) -> Result<String> {
    let researcher = client.researcher()?;
    client.post(As::User(researcher), "/api/v1/auth/sign-out", &json!({}))?.expect(204)?;
    client.get(As::User(researcher), "/api/v1/me")?.expect(401)?;
    Ok("the access token is good no more".to_owned())
}

fn cleanup(client: &mut Client) -> Result<String> {
    if client.has_program
        && let Some(triager) = &client.triager
    {
        let path = format!("/api/v1/programs/{}", client.program);
        let answer = client.delete(As::User(triager), &path)?;
        let status = answer.status;
        ensure!(matches!(status, 204 | 404), "status {status} instead of 204: {}", answer.text.trim());
        client.get(As::User(triager), &path)?.expect(404)?;
        for id in &client.sent {
            client.get(As::User(triager), &format!("/api/v1/reports/{id}"))?.expect(404)?;
        }
    }
    for user in client.researcher.iter().chain(&client.triager) {
        let answer = client.delete(As::Operator, &format!("/api/v1/temporary-users/{}", user.id))?;
        ensure!(matches!(answer.status, 204 | 404), "status {} instead of 204: {}", answer.status, answer.text.trim());
    }
    Ok("what was made is removed".to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
