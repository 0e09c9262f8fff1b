//! What becomes of a report: changes, moves, comments, and what is recorded of them.

use serde_json::{Value, json};

use crate::support::{Client, Server, User};

struct Desk {
    server: Server,
    reporter: User,
    triager: User,
}

impl Desk {
    fn new() -> Self {
        let server = Server::start();
        let (reporter, triager) = (server.user("reporter", "researcher"), server.user("triager", "triager"));
        let assets = json!([
            { "identifier": "in.example", "kind": "web" }, { "identifier": "out.example", "kind": "web", "in_scope": false },
        ]);
        let program = json!({ "slug": "acme", "name": "x", "summary": "x", "status": "open", "assets": assets });
        assert_eq!(server.as_user(&triager.access_token).post("/api/v1/programs", &program).status, 201);
        Self { server, reporter, triager }
    }

    fn reporter(&self) -> Client<'_> {
        self.server.as_user(&self.reporter.access_token)
    }

    fn triager(&self) -> Client<'_> {
        self.server.as_user(&self.triager.access_token)
    }

    fn report(&self, title: &str) -> String {
        let made = self.reporter().post("/api/v1/reports", &new(title));
        assert_eq!(made.status, 201, "{}", made.body);
        made.header("location").to_owned()
    }

    fn advance(&self, report: &str, body: &Value) -> (u16, Value) {
        let answer = self.triager().post(&format!("{report}/transitions"), body);
        (answer.status, answer.body)
    }
}

fn new(title: &str) -> Value {
    json!({ "program": "acme", "title": title, "severity": "low", "description": "## Steps\n\n1. Look." })
}

fn id(report: &str) -> &str {
    report.rsplit('/').next().unwrap()
}

#[test]
fn a_report_goes_from_new_to_resolved_and_every_step_is_recorded() {
    let desk = Desk::new();
    let report = desk.report("A hole");
    assert_eq!(desk.advance(&report, &json!({ "to": "resolved" })).0, 409, "nobody has triaged it");
    let (status, body) = desk.advance(&report, &json!({ "to": "triaged" }));
    assert_eq!((status, &body["state"], &body["version"]), (200, &"triaged".into(), &2.into()));
    assert_eq!(desk.advance(&report, &json!({ "to": "resolved" })).0, 200);
    let (status, body) = desk.advance(&report, &json!({ "to": "resolved" }));
    assert_eq!((status, body["type"].as_str()), (409, Some("/problems/transition-not-allowed")));
    let events = desk.reporter().get(&format!("{report}/events")).body;
    let events: Vec<String> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| format!("{} {} {}", event["kind"], event["actor"], event["changes"]).replace('"', ""))
        .collect();
    assert_eq!(
        events,
        [
            "transitioned triager {state:{from:triaged,to:resolved}}",
            "transitioned triager {state:{from:new,to:triaged}}",
            "created reporter {}",
        ]
    );
}

#[test]
fn two_reports_that_become_duplicates_of_each_other_do_not_wait_for_each_other() {
    let desk = Desk::new();
    for _ in 0..5 {
        let (one, two) = (desk.report("One"), desk.report("Two"));
        let duplicate =
            |report: &str, of: &str| desk.advance(report, &json!({ "to": "duplicate", "duplicate_of": id(of) })).0;
        let mut statuses = std::thread::scope(|scope| {
            let (a, b) = (scope.spawn(|| duplicate(&one, &two)), scope.spawn(|| duplicate(&two, &one)));
            [a.join().unwrap(), b.join().unwrap()]
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 422]);
    }
}

#[test]
fn every_other_way_from_state_to_state_is_refused() {
    let desk = Desk::new();
    let (report, original) = (desk.report("A hole"), desk.report("Another"));
    let states = ["new", "triaged", "resolved", "duplicate", "informative", "rejected"];
    let allowed = [
        ("new", "triaged"),
        ("new", "duplicate"),
        ("new", "informative"),
        ("new", "rejected"),
        ("triaged", "resolved"),
        ("triaged", "duplicate"),
        ("triaged", "informative"),
        ("triaged", "rejected"),
        ("resolved", "triaged"),
        ("duplicate", "triaged"),
        ("informative", "triaged"),
        ("rejected", "triaged"),
    ];
    for from in states {
        for to in states {
            let set = format!("UPDATE reports SET state = '{from}', duplicate_of = NULL WHERE id = '{}'", id(&report));
            desk.server.execute(set);
            let mut wanted = json!({ "to": to });
            if to == "duplicate" {
                wanted["duplicate_of"] = id(&original).into();
            }
            let expected = if allowed.contains(&(from, to)) { 200 } else { 409 };
            assert_eq!(desk.advance(&report, &wanted).0, expected, "{from} to {to}");
        }
    }
}

#[test]
fn a_duplicate_is_one_of_another_report_of_the_same_program() {
    let desk = Desk::new();
    let (first, second, third) = (desk.report("First"), desk.report("Second"), desk.report("Third"));
    let duplicate = |report: &str, original: &str| {
        desk.advance(report, &json!({ "to": "duplicate", "duplicate_of": id(original) }))
    };
    assert_eq!(desk.advance(&second, &json!({ "to": "duplicate" })).0, 422, "of which?");
    assert_eq!(duplicate(&second, &second).0, 422, "of itself");
    assert_eq!(duplicate(&second, "x/0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e").0, 422, "of none");
    let (status, body) = duplicate(&second, &first);
    assert_eq!((status, body["duplicate_of"].as_str()), (200, Some(id(&first))), "{body}");
    assert_eq!(duplicate(&third, &second).0, 422, "of one that is a duplicate");
    assert_eq!(duplicate(&first, &third).0, 422, "as others are duplicates of it");
    let (status, body) = desk.advance(&second, &json!({ "to": "triaged" }));
    assert_eq!((status, &body["duplicate_of"]), (200, &Value::Null), "it is no duplicate any more");
    let elsewhere = json!({ "slug": "other", "name": "x", "summary": "x", "status": "open" });
    assert_eq!(desk.triager().post("/api/v1/programs", &elsewhere).status, 201);
    let mut foreign = new("Elsewhere");
    foreign["program"] = "other".into();
    let foreign = desk.reporter().post("/api/v1/reports", &foreign);
    assert_eq!(duplicate(&third, foreign.header("location")).0, 422, "of another program");
}

#[test]
fn a_change_is_made_to_the_version_that_was_seen() {
    let desk = Desk::new();
    let report = desk.report("A hole");
    let seen = desk.triager().get(&report).header("etag").to_owned();
    assert_eq!(seen, "\"1\"");
    let first = desk.triager().patch_with(&report, &json!({ "severity": "high" }), &[("if-match", &seen)]);
    assert_eq!((first.status, first.header("etag"), &first.body["severity"]), (200, "\"2\"", &"high".into()));
    let second = desk.triager().patch_with(&report, &json!({ "severity": "none" }), &[("if-match", &seen)]);
    assert_eq!((second.status, second.body["type"].as_str()), (412, Some("/problems/precondition-failed")));
    let moved = format!("{report}/transitions");
    let late = desk.triager().post_with(&moved, &json!({ "to": "triaged" }), &[("if-match", &seen)]);
    assert_eq!(late.status, 412);
    assert_eq!(desk.triager().get(&report).body["severity"], "high");
    // What changes nothing is no change.
    let same = desk.triager().patch(&report, &json!({ "severity": "high", "title": "A hole" }));
    assert_eq!((same.status, same.header("etag")), (200, "\"2\""));
    let program = desk.triager().get("/api/v1/programs/acme");
    let etag = program.header("etag").to_owned();
    let path = "/api/v1/programs/acme";
    assert_eq!(desk.triager().patch_with(path, &json!({ "summary": "y" }), &[("if-match", &etag)]).status, 200);
    assert_eq!(desk.triager().patch_with(path, &json!({ "summary": "z" }), &[("if-match", &etag)]).status, 412);
}

#[test]
fn of_changes_at_the_same_time_one_is_made() {
    let desk = Desk::new();
    let report = desk.report("A hole");
    let change =
        |title: String| desk.triager().patch_with(&report, &json!({ "title": title }), &[("if-match", "\"1\"")]);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let change = &change;
        let all: Vec<_> = (0..6).map(|n| scope.spawn(move || change(format!("Title {n}")).status)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 5, "{statuses:?}");
}

#[test]
fn its_sender_changes_a_report_until_somebody_has_triaged_it() {
    let desk = Desk::new();
    let report = desk.report("A hole");
    let answer = desk.reporter().patch(&report, &json!({ "title": "A larger hole", "asset": "in.example" }));
    assert_eq!(
        (answer.status, &answer.body["title"], &answer.body["asset"]),
        (200, &"A larger hole".into(), &"in.example".into())
    );
    assert_eq!(desk.reporter().patch(&report, &json!({ "asset": "out.example" })).pointers(), ["#/asset"]);
    let wrong = desk.reporter().patch(&report, &json!({ "title": "", "severity": "x", "state": "resolved" }));
    assert_eq!((wrong.status, wrong.pointers()), (422, vec!["#/title", "#/severity", "#/state"]));
    desk.advance(&report, &json!({ "to": "triaged" }));
    assert_eq!(desk.reporter().patch(&report, &json!({ "title": "x" })).status, 403);
    assert_eq!(desk.triager().patch(&report, &json!({ "title": "The hole" })).status, 200);
}

#[test]
fn comments_are_read_by_both_and_internal_ones_by_those_who_triage() {
    let desk = Desk::new();
    let report = desk.report("A hole");
    let comments = format!("{report}/comments");
    assert_eq!(desk.triager().post(&comments, &json!({ "body": "Where?" })).status, 201);
    assert_eq!(desk.triager().post(&comments, &json!({ "body": "A known one.", "internal": true })).status, 201);
    assert_eq!(desk.reporter().post(&comments, &json!({ "body": "There." })).status, 201);
    assert_eq!(desk.reporter().post(&comments, &json!({ "body": " " })).pointers(), ["#/body"]);
    let bodies = |client: Client<'_>| {
        let body = client.get(&comments).body;
        body["items"].as_array().unwrap().iter().map(|one| one["body"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(bodies(desk.triager()), ["There.", "A known one.", "Where?"]);
    assert_eq!(bodies(desk.reporter()), ["There.", "Where?"]);
    let events = |client: Client<'_>| client.get(&format!("{report}/events")).body["items"].as_array().unwrap().len();
    assert_eq!((events(desk.triager()), events(desk.reporter())), (4, 3));
    let page = desk.triager().get(&format!("{comments}?limit=2")).body;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = desk.triager().get(&format!("{comments}?limit=2&cursor={cursor}")).body;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
}

#[test]
fn a_creation_that_is_sent_again_is_done_once() {
    let desk = Desk::new();
    let send = |client: Client<'_>, key: &str, body: &Value| {
        client.post_with("/api/v1/reports", body, &[("idempotency-key", key)])
    };
    let first = send(desk.reporter(), "one", &new("A hole"));
    let again = send(desk.reporter(), "one", &new("A hole"));
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    assert_eq!((&first.body, first.header("location")), (&again.body, again.header("location")));
    assert_eq!((first.header("etag"), again.header("etag")), ("\"1\"", "\"1\""));
    let other = send(desk.reporter(), "one", &new("Another hole"));
    assert_eq!((other.status, other.body["type"].as_str()), (422, Some("/problems/idempotency-key-reused")));
    // The key of somebody else is another key.
    assert_ne!(send(desk.triager(), "one", &new("A hole")).body["id"], first.body["id"]);
    // What was refused was not done, and can be sent again.
    let mut closed = new("A hole");
    closed["program"] = "nobody".into();
    assert_eq!(send(desk.reporter(), "two", &closed).status, 422);
    assert_eq!(send(desk.reporter(), "two", &new("A hole")).status, 201);
    for bad in ["", "ä", &"x".repeat(256)] {
        assert_eq!(send(desk.reporter(), bad, &new("A hole")).status, 400, "{bad}");
    }
    let count = desk.server.value("SELECT count(*)::text FROM reports");
    assert_eq!(count, "3");
    desk.server.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'");
    assert_ne!(
        send(desk.reporter(), "one", &new("A hole")).body["id"],
        first.body["id"],
        "a day later it is another request"
    );
}

#[test]
fn of_the_same_creation_at_the_same_time_one_is_done() {
    let desk = Desk::new();
    let send = || desk.reporter().post_with("/api/v1/reports", &new("A hole"), &[("idempotency-key", "one")]);
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().unwrap().body["id"].clone()).collect()
    });
    assert!(ids.iter().all(|id| id.is_string() && *id == ids[0]), "{ids:?}");
    assert_eq!(desk.server.value("SELECT count(*)::text FROM reports"), "1");
}

#[test]
fn words_and_numbers_are_found() {
    let desk = Desk::new();
    let report = desk.report("Script in the search field");
    desk.report("A version number in an error page");
    let found = |query: &str| {
        let body = desk.triager().get(&format!("/api/v1/reports?q={query}")).body;
        body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{body}"))
            .iter()
            .map(|one| one["title"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(found("search%20script"), ["Script in the search field"]);
    assert_eq!(found("SCRIPT"), ["Script in the search field"]);
    assert_eq!(found("nothing"), Vec::<Value>::new());
    assert_eq!(found("search%20nothing"), Vec::<Value>::new(), "every word has to be there");
    let number = desk.triager().get(&report).body["number"].to_string();
    assert_eq!(found(&number), ["Script in the search field"]);
    assert_eq!(found(&format!("%23{number}")), ["Script in the search field"]);
    // What looks like the syntax of something is words all the same.
    for odd in ["%27%22%28%26%7C%21", "a%3A%2A", "%5C", "99999999999999999999"] {
        assert_eq!(desk.triager().get(&format!("/api/v1/reports?q={odd}")).status, 200, "{odd}");
    }
    assert_eq!(desk.triager().get("/api/v1/reports?q=").status, 400);
}

#[test]
fn an_asset_that_reports_are_about_stays_in_its_program() {
    let desk = Desk::new();
    let mut report = new("A hole");
    report["asset"] = "in.example".into();
    assert_eq!(desk.reporter().post("/api/v1/reports", &report).status, 201);
    let change = |assets: Value| desk.triager().patch("/api/v1/programs/acme", &json!({ "assets": assets }));
    let answer = change(json!([{ "identifier": "new.example", "kind": "api" }]));
    assert_eq!((answer.status, answer.pointers()), (422, vec!["#/assets"]));
    let answer = change(json!([
        { "identifier": "in.example", "kind": "api", "in_scope": false }, { "identifier": "new.example", "kind": "api" },
    ]));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let names: Vec<_> =
        answer.body["assets"].as_array().unwrap().iter().map(|asset| asset["identifier"].clone()).collect();
    assert_eq!(names, ["new.example", "in.example"]);
    let rewards = json!({ "rewards": [{ "severity": "low", "minimum": 1, "maximum": 2 }] });
    assert_eq!(desk.triager().patch("/api/v1/programs/acme", &rewards).body["rewards"][0]["maximum"], 2);
    let odd = json!({ "rewards": [{ "severity": "low", "minimum": 3, "maximum": 2 }], "slug": "other" });
    assert_eq!(desk.triager().patch("/api/v1/programs/acme", &odd).pointers(), ["#/rewards/0", "#/slug"]);
}
