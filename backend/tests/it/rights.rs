//! The table of who may do what, walked through over HTTP: every action by every subject gets the answer that it has there.

use backend::policy::{Action, Subject, Verdict};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Server, User};

/// A server with an open program, a draft and a report, and somebody of each kind.
struct World {
    server: Server,
    researcher: User,
    reporter: User,
    triager: User,
    member: User,
    admin: User,
    report: String,
}

impl World {
    fn new() -> Self {
        let server = Server::start();
        let [researcher, reporter] = ["researcher", "reporter"].map(|handle| server.user(handle, "researcher"));
        let [triager, member] = ["triager", "member"].map(|handle| server.user(handle, "triager"));
        let admin = server.user("admin", "admin");
        let by_member = server.as_user(&member.access_token);
        for (slug, status) in [("opened", "open"), ("drafted", "draft")] {
            let body = json!({ "slug": slug, "name": slug, "summary": "x", "status": status });
            assert_eq!(by_member.post("/api/v1/programs", &body).status, 201);
        }
        let report = server.as_user(&reporter.access_token).post("/api/v1/reports", &new_report());
        assert_eq!(report.status, 201, "{}", report.body);
        let report = report.header("location").to_owned();
        Self { server, researcher, reporter, triager, member, admin, report }
    }

    fn client(&self, subject: Subject) -> Client<'_> {
        let user = match subject {
            Subject::Anonymous => return self.server.nobody(),
            Subject::Researcher => &self.researcher,
            Subject::Reporter => &self.reporter,
            Subject::Triager => &self.triager,
            Subject::Member => &self.member,
            Subject::Admin => &self.admin,
        };
        self.server.as_user(&user.access_token)
    }

    /// Does it, in a way that somebody who may do it can do again and again.
    fn act(&self, subject: Subject, action: Action) -> Answer {
        let client = self.client(subject);
        let slug = format!("made-by-{}", format!("{subject:?}").to_lowercase());
        let at_report = |rest: &str| format!("{}{rest}", self.report);
        match action {
            Action::ListUsers => client.get("/api/v1/users"),
            Action::ChangeUser => {
                client.patch(&format!("/api/v1/users/{}", self.researcher.id), &json!({ "role": "researcher" }))
            }
            Action::ReadProgram => client.get("/api/v1/programs/opened"),
            Action::ReadDraft => client.get("/api/v1/programs/drafted"),
            Action::CreateProgram => {
                client.post("/api/v1/programs", &json!({ "slug": slug, "name": "x", "summary": "x" }))
            }
            Action::ChangeProgram => client.patch("/api/v1/programs/opened", &json!({ "summary": "y" })),
            Action::ChangeMembers => {
                client.put(&format!("/api/v1/programs/opened/members/{}", self.member.id), &json!({}))
            }
            Action::CreateReport => client.post("/api/v1/reports", &new_report()),
            Action::ReadReport => client.get(&self.report),
            Action::ChangeReport => client.patch(&self.report, &json!({ "title": "A hole" })),
            Action::TransitionReport => {
                // Back and forth, so that whoever comes next finds it new.
                let moved = client.post(&at_report("/transitions"), &json!({ "to": "triaged" }));
                self.server.execute("UPDATE reports SET state = 'new'");
                moved
            }
            Action::Comment => client.post(&at_report("/comments"), &json!({ "body": "x" })),
            Action::CommentInternally => {
                client.post(&at_report("/comments"), &json!({ "body": "x", "internal": true }))
            }
        }
    }
}

fn new_report() -> Value {
    json!({ "program": "opened", "title": "A hole", "severity": "low", "description": "x" })
}

#[test]
fn everybody_gets_the_answer_that_the_table_has() {
    let world = World::new();
    for action in Action::ALL {
        for (subject, verdict) in Subject::ALL.into_iter().zip(action.verdicts()) {
            let answer = world.act(subject, action);
            let expected: &[u16] = match verdict {
                Verdict::Allowed => &[200, 201, 204],
                Verdict::Unauthenticated => &[401],
                Verdict::Forbidden => &[403],
                Verdict::NotFound => &[404],
            };
            assert!(expected.contains(&answer.status), "{subject:?} {action:?}: {} {}", answer.status, answer.body);
        }
    }
}

#[test]
fn what_belongs_to_a_hidden_thing_is_hidden_too() {
    let world = World::new();
    for subject in [Subject::Researcher, Subject::Triager] {
        let client = world.client(subject);
        for path in ["/events", "/comments"] {
            assert_eq!(client.get(&format!("{}{path}", world.report)).status, 404, "{subject:?} {path}");
        }
        let reports = client.get("/api/v1/reports").body;
        assert_eq!(reports["items"], json!([]), "{subject:?}");
        let slugs = client.get("/api/v1/programs").body.to_string();
        assert!(slugs.contains("opened") && !slugs.contains("drafted"), "{subject:?}");
        assert_eq!(client.patch("/api/v1/programs/drafted", &json!({ "summary": "y" })).status, 404, "{subject:?}");
        let draft = json!({ "program": "drafted", "title": "x", "severity": "low", "description": "x" });
        assert_eq!(client.post("/api/v1/reports", &draft).pointers(), ["#/program"], "{subject:?}");
    }
    assert!(world.client(Subject::Member).get("/api/v1/programs").body.to_string().contains("drafted"));
    let own = world.client(Subject::Reporter).get("/api/v1/reports").body;
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_member_that_is_one_no_more_sees_no_more() {
    let world = World::new();
    let path = format!("/api/v1/programs/opened/members/{}", world.member.id);
    assert_eq!(world.client(Subject::Member).get(&world.report).status, 200);
    assert_eq!(world.client(Subject::Admin).delete(&path).status, 204);
    assert_eq!(world.client(Subject::Member).get(&world.report).status, 404);
    assert_eq!(world.client(Subject::Admin).put(&path, &json!({})).status, 204);
    assert_eq!(world.client(Subject::Member).get(&world.report).status, 200);
    let researcher = format!("/api/v1/programs/opened/members/{}", world.researcher.id);
    let refused = world.client(Subject::Admin).put(&researcher, &json!({}));
    assert_eq!((refused.status, &refused.body["type"]), (409, &"/problems/not-a-triager".into()));
    let nobody = "/api/v1/programs/opened/members/0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e";
    assert_eq!(world.client(Subject::Admin).put(nobody, &json!({})).status, 404);
}

const PAGE: &str = include_str!("../../../docs/api.md");

#[test]
fn the_table_is_the_one_that_the_page_shows() {
    let rows: &[(&str, &[Action])] = &[
        ("list and change users", &[Action::ListUsers, Action::ChangeUser]),
        ("read a program", &[Action::ReadProgram]),
        ("read a draft", &[Action::ReadDraft]),
        ("make a program", &[Action::CreateProgram]),
        ("change a program", &[Action::ChangeProgram]),
        ("say who triages a program", &[Action::ChangeMembers]),
        ("send a report", &[Action::CreateReport]),
        ("read a report, comment on it", &[Action::ReadReport, Action::Comment]),
        ("change a report", &[Action::ChangeReport]),
        ("move a report, comment internally", &[Action::TransitionReport, Action::CommentInternally]),
    ];
    let mut shown = Vec::new();
    for (name, actions) in rows {
        let line =
            PAGE.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap_or_else(|| panic!("{name}"));
        let cells: Vec<&str> = line.trim_matches('|').split('|').skip(1).map(str::trim).collect();
        assert_eq!(cells.len(), Subject::ALL.len(), "{name}");
        for action in *actions {
            for (cell, verdict) in cells.iter().zip(action.verdicts()) {
                let expected = match *cell {
                    "401" => Verdict::Unauthenticated,
                    "403" => Verdict::Forbidden,
                    "404" => Verdict::NotFound,
                    "yes" | "while it is new" => Verdict::Allowed,
                    other => panic!("{name}: {other}"),
                };
                assert_eq!(verdict, expected, "{name}: {cell}");
            }
            shown.push(*action);
        }
    }
    assert!(Action::ALL.iter().all(|action| shown.contains(action)), "every action has a row");
}
