use backend::programs::NewProgram;
use backend::request::{self, Json};
use serde_json::json;
use time::macros::datetime;

use crate::support::Server;

fn new_program(body: &serde_json::Value) -> NewProgram {
    request::read(Json::parse(body.to_string().as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_program_is_read_as_it_was_made_by_id_and_by_slug() {
    let server = Server::start();
    let body = json!({
        "slug": "acme-cloud", "name": "Acme Cloud", "summary": "Everything under acme.example.",
        "policy": "# Rules\n\nBe kind.", "status": "open", "currency": "USD",
        "assets": [{ "identifier": "*.acme.example", "kind": "web", "instructions": "Mark your requests." }],
        "rewards": [
            { "severity": "critical", "minimum": 500_000, "maximum": 1_000_000 },
            { "severity": "low", "minimum": 5000, "maximum": 10_000 },
        ],
    });
    let made = server.post("/api/v1/programs", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.header("location"), "/api/v1/programs/acme-cloud");
    for key in ["slug", "name", "summary", "policy", "status", "currency"] {
        assert_eq!(made.body[key], body[key], "{key}");
    }
    assert_eq!(made.body["assets"][0]["in_scope"], true);
    assert_eq!(made.body["rewards"][0]["severity"], "low", "rewards rise");
    for name in ["acme-cloud", made.body["id"].as_str().unwrap()] {
        assert_eq!(server.get(&format!("/api/v1/programs/{name}")).body, made.body);
    }
}

#[test]
fn a_slug_is_given_once() {
    let server = Server::start();
    server.program("twice");
    let again = server.post("/api/v1/programs", &json!({ "slug": "twice", "name": "x", "summary": "x" }));
    assert_eq!(again.status, 409);
    assert_eq!(again.header("content-type"), "application/problem+json");
}

#[test]
fn what_is_not_acceptable_is_named_and_nothing_is_stored() {
    let server = Server::start();
    let bad = json!({ "slug": "No", "name": "", "summary": "x", "rewards": [{ "severity": "low", "minimum": 2, "maximum": 1 }] });
    let answer = server.post("/api/v1/programs", &bad);
    assert_eq!((answer.status, answer.pointers()), (422, vec!["#/slug", "#/name", "#/rewards/0"]));
    assert_eq!(server.get("/api/v1/programs").body["items"], json!([]));
}

#[test]
fn there_is_no_program_by_a_name_that_nobody_has() {
    let server = Server::start();
    for name in ["nobody", "0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e", "%F0%9F%90%9B"] {
        let answer = server.get(&format!("/api/v1/programs/{name}"));
        assert_eq!((answer.status, &answer.body["detail"]), (404, &"There is no such program.".into()), "{name}");
    }
    assert_eq!(server.get("/api/v1/programs/%00").status, 400);
}

#[test]
fn pages_neither_repeat_nor_hide_even_when_rows_share_a_moment_and_others_come() {
    let server = Server::start();
    // All made at the same microsecond, so that the id alone tells them apart.
    let moment = datetime!(2026-01-02 03:04:05.678901 UTC);
    server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        for number in 0..7 {
            let new = new_program(&json!({ "slug": format!("page-{number}"), "name": "x", "summary": "x" }));
            backend::programs::create(&mut connection, &new, None, moment).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/api/v1/programs?limit=3{cursor}")).body;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["slug"].as_str().unwrap().to_owned()));
        // Newer than everything: it must not push a row that was seen into the next page.
        server.program(&format!("newcomer-{}", seen.len()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..7).rev().map(|number| format!("page-{number}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_list_can_be_narrowed_to_a_status() {
    let server = Server::start();
    server.program("opened");
    server.post("/api/v1/programs", &json!({ "slug": "drafted", "name": "x", "summary": "x" }));
    let slugs = |query: &str| {
        let body = server.get(&format!("/api/v1/programs{query}")).body;
        body["items"].as_array().unwrap().iter().map(|item| item["slug"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(slugs("?status=draft"), ["drafted"]);
    assert_eq!(slugs("?status=open"), ["opened"]);
    assert_eq!(slugs("").len(), 2);
}

#[test]
fn a_query_that_makes_no_sense_is_refused_by_name() {
    let server = Server::start();
    for (query, name) in
        [("limit=0", "limit"), ("limit=x", "limit"), ("cursor=AAAA", "cursor"), ("status=odd", "status")]
    {
        let answer = server.get(&format!("/api/v1/programs?{query}"));
        assert_eq!((answer.status, answer.pointers()), (400, vec![name]), "{query}: {}", answer.body);
    }
    assert_eq!(server.get("/api/v1/programs?offset=3").status, 400, "a parameter that does nothing is a mistake");
}

#[test]
fn only_a_temporary_program_can_be_removed_and_its_reports_go_with_it() {
    let server = Server::start();
    let (check, other) = (server.temporary_user("triager"), server.user("other", "triager"));
    let check = server.as_user(&check.access_token);
    let remove = |name: &str| check.delete(&format!("/api/v1/programs/{name}")).status;
    server.program("here-to-stay");
    assert_eq!(remove("here-to-stay"), 403);
    let admin = server.user("admin", "admin");
    let stays = server.as_user(&admin.access_token).delete("/api/v1/programs/here-to-stay");
    assert_eq!(stays.body["detail"], "Only a temporary program can be removed.");
    assert_eq!(remove("nobody"), 404);
    let temporary = json!({ "slug": "for-a-while", "name": "x", "summary": "x", "status": "open", "temporary": true });
    let refused = server.as_user(&other.access_token).post("/api/v1/programs", &temporary);
    assert_eq!((refused.status, refused.pointers()), (422, vec!["#/temporary"]), "for temporary users only");
    assert_eq!(check.post("/api/v1/programs", &temporary).body["temporary"], true);
    let stays = json!({ "slug": "stays", "name": "x", "summary": "x" });
    assert_eq!(check.post("/api/v1/programs", &stays).pointers(), ["#/temporary"], "nothing else by a temporary user");
    let report = json!({ "program": "for-a-while", "title": "x", "severity": "low", "description": "x" });
    let refused = server.post("/api/v1/reports", &report);
    assert_eq!((refused.status, refused.pointers()), (422, vec!["#/program"]), "reports of persons stay elsewhere");
    let report = check.post("/api/v1/reports", &report);
    assert_eq!(report.status, 201, "{}", report.body);
    assert_eq!(server.nobody().get("/api/v1/programs").body["items"].as_array().unwrap().len(), 1, "it is not listed");
    assert_eq!(server.as_user(&other.access_token).delete("/api/v1/programs/for-a-while").status, 403);
    assert_eq!(remove("for-a-while"), 204);
    assert_eq!(server.get("/api/v1/programs/for-a-while").status, 404);
    assert_eq!(server.get(report.header("location")).status, 404);
    assert_eq!(server.get("/api/v1/programs/here-to-stay").status, 200);
}

#[test]
fn a_temporary_program_that_nobody_removed_goes_when_the_next_one_comes() {
    let server = Server::start();
    let temporary = |slug: &str| new_program(&json!({ "slug": slug, "name": "x", "summary": "x", "temporary": true }));
    server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        let now = time::OffsetDateTime::now_utc();
        for (slug, age) in [("old", 90), ("young", 30)] {
            let made = now - time::Duration::minutes(age);
            backend::programs::create(&mut connection, &temporary(slug), None, made).await.unwrap();
        }
        backend::programs::create(&mut connection, &temporary("new"), None, now).await.unwrap();
    });
    let body = server.get("/api/v1/programs").body;
    let slugs: Vec<_> = body["items"].as_array().unwrap().iter().map(|item| item["slug"].clone()).collect();
    assert_eq!(slugs, ["new", "young"]);
}

#[test]
fn no_slug_can_be_taken_for_another_programs_id() {
    let server = Server::start();
    let victim = server.program("victim");
    let id = victim["id"].as_str().unwrap();
    let impostor = server.post("/api/v1/programs", &json!({ "slug": id, "name": "x", "summary": "x" }));
    assert_eq!((impostor.status, impostor.pointers()), (422, vec!["#/slug"]));
    let stored = server.runtime.block_on(async {
        let mut connection = server.database.connect().await;
        sqlx::query("INSERT INTO programs (id, slug, name, summary) VALUES (gen_random_uuid(), $1, 'x', 'x')")
            .bind(id)
            .execute(&mut connection)
            .await
    });
    let refusal = stored.unwrap_err().to_string();
    assert!(refusal.contains("programs_slug_is_no_id_check"), "nor by the database: {refusal}");
}

#[test]
fn a_program_with_everything_takes_few_round_trips() {
    let server = Server::start_with(&[("DATABASE_MAX_CONNECTIONS", "1")]);
    let assets: Vec<_> =
        (0..100).map(|number| json!({ "identifier": format!("{number}.example"), "kind": "web" })).collect();
    let body = json!({ "slug": "acme", "name": "x", "summary": "x", "assets": assets });
    let made = server.post("/api/v1/programs", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    // One statement for all of it, of which the session keeps a plan, and none for each asset.
    let prepared: i64 = server.runtime.block_on(async {
        sqlx::query_scalar("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%INSERT INTO program%'")
            .persistent(false)
            .fetch_one(&server.app.database)
            .await
            .unwrap()
    });
    assert_eq!(prepared, 1);
    assert_eq!(server.get("/api/v1/programs/acme").body, made.body);
}
