//! `thunder user add`.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Server, run, settings, text, thunder};

fn add(server: &Server, words: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&[&["user", "add"], words].concat(), &settings(&server.database, &[]));
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn sign_in(server: &Server, email: &str, password: &str) -> (u16, String) {
    let answer = server.post("/api/v1/auth/sign-in", &json!({ "email": email, "password": password }));
    (answer.status, answer.body["access_token"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_first_administrator_signs_in_with_the_password_that_is_printed() {
    let server = Server::start();
    let (code, said, error) = add(&server, &["--handle", "boss", "--email", "Boss@example.com", "--role", "admin"]);
    assert_eq!(code, Some(0), "{error}");
    let password = said.lines().find_map(|line| line.strip_prefix("password: ")).expect(&said);
    let (status, token) = sign_in(&server, "boss@example.com", password);
    assert_eq!(status, 200);
    assert_eq!(server.as_user(&token).get("/api/v1/users").status, 200);
    let (code, _, error) = add(&server, &["--handle", "boss", "--email", "other@example.com"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there already is an account with the handle `boss`"), "{error}");
    let (code, _, error) = add(&server, &["--handle", "other", "--email", "boss@example.com"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there already is an account with this address"), "{error}");
}

#[test]
fn a_sender_from_before_there_were_accounts_is_given_theirs() {
    let server = Server::start();
    server.execute("INSERT INTO users (id, handle) VALUES (gen_random_uuid(), 'owl')");
    let mut command = thunder(
        &["user", "add", "--handle", "owl", "--email", "owl@example.com", "--password-stdin"],
        &settings(&server.database, &[]),
    );
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a password of the owl\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(!text(&output.stdout).contains("password"), "{}", text(&output.stdout));
    assert_eq!(sign_in(&server, "owl@example.com", "a password of the owl").0, 200);
    assert_eq!(server.value("SELECT count(*)::text FROM users"), "1", "no second one was made");
}

#[test]
fn what_cannot_be_an_account_is_refused_by_name() {
    let server = Server::start();
    for (words, expected) in [
        (["--handle", "Not A Handle", "--email", "a@b.example"], "--handle must be 2 to 39"),
        (["--handle", "fine", "--email", "nobody"], "--email must be an e-mail address"),
    ] {
        let (code, _, error) = add(&server, &words);
        assert_eq!(code, Some(1));
        assert!(error.contains(expected), "{error}");
    }
    let (code, _, _) = add(&server, &["--handle", "fine", "--email", "a@b.example", "--role", "king"]);
    assert_eq!(code, Some(2));
}
