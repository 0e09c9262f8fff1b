use serde_json::{Value, json};

use crate::support::{Answer, Server};

pub const PASSWORD: &str = "correct horse battery";

pub fn sign_up(server: &Server, handle: &str, email: &str, password: &str) -> Answer {
    server.post("/api/v1/auth/sign-up", &json!({ "handle": handle, "email": email, "password": password }))
}

pub fn sign_in(server: &Server, email: &str, password: &str) -> Answer {
    server.post("/api/v1/auth/sign-in", &json!({ "email": email, "password": password }))
}

fn confirm_with(server: &Server, token: &str, password: &str) -> Answer {
    server.post("/api/v1/auth/confirm-email", &json!({ "token": token, "password": password }))
}

fn confirm(server: &Server, token: &str) -> Answer {
    confirm_with(server, token, PASSWORD)
}

pub fn kind(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap_or_default().trim_start_matches("/problems/")
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn an_account_is_made_confirmed_by_mail_and_signed_in() {
    let server = Server::start();
    assert_eq!(sign_up(&server, "nightjar", "Night@Jar.example", PASSWORD).status, 202);
    let answer = sign_in(&server, "night@jar.example", PASSWORD);
    assert_eq!((answer.status, kind(&answer)), (401, "invalid-credentials"), "there is no account yet");
    let token = server.mail_token("night@jar.example");
    assert_eq!(confirm(&server, &token).status, 204);
    let again = confirm(&server, &token);
    assert_eq!((again.status, again.pointers()), (422, vec!["#/token"]), "a token is good once");
    let grant = sign_in(&server, "NIGHT@jar.example", PASSWORD);
    assert_eq!(grant.status, 200, "{}", grant.body);
    assert_eq!((text(&grant.body, "token_type"), grant.body["expires_in"].as_u64()), ("Bearer", Some(900)));
    let me = server.as_user(text(&grant.body, "access_token")).get("/api/v1/me");
    assert_eq!(me.status, 200, "{}", me.body);
    assert_eq!(text(&me.body, "handle"), "nightjar");
    assert_eq!(text(&me.body, "email"), "night@jar.example");
    assert_eq!(text(&me.body, "role"), "researcher");
    assert!(!me.body.to_string().contains("argon2"), "{}", me.body);
}

#[test]
fn an_answer_does_not_tell_whether_an_address_has_an_account() {
    let server = Server::start();
    server.user("nightjar", "researcher");
    let known = sign_up(&server, "other", "nightjar@example.com", PASSWORD);
    let unknown = sign_up(&server, "another", "nobody@example.com", PASSWORD);
    assert_eq!((known.status, &known.body), (202, &Value::String(String::new())));
    assert_eq!((unknown.status, &unknown.body), (known.status, &known.body));
    assert!(server.mail_to("nightjar@example.com").text.contains("has an account already"));
    // A taken handle is refused for both.
    for email in ["nightjar@example.com", "someone@example.com"] {
        let answer = sign_up(&server, "nightjar", email, PASSWORD);
        assert_eq!((answer.status, kind(&answer)), (409, "handle-taken"), "{email}");
    }
    let reset = |email: &str| server.post("/api/v1/auth/password-reset", &json!({ "email": email }));
    let (known, unknown) = (reset("nightjar@example.com"), reset("who@example.com"));
    assert_eq!((known.status, &known.body), (unknown.status, &unknown.body));
    let (known, unknown) = (
        sign_in(&server, "nightjar@example.com", "wrong password"),
        sign_in(&server, "who@example.com", "wrong password"),
    );
    assert_eq!((known.status, kind(&known)), (401, "invalid-credentials"));
    assert_eq!((unknown.status, &unknown.body["detail"]), (known.status, &known.body["detail"]));
}

#[test]
fn a_mail_confirms_what_was_typed_for_it_to_whoever_typed_it() {
    let server = Server::start();
    // Somebody signs up with an address that is not theirs, and its owner does later.
    sign_up(&server, "impostor", "owner@example.com", "another password");
    let of_impostor = server.mail_token("owner@example.com");
    sign_up(&server, "owner", "owner@example.com", PASSWORD);
    let of_owner = server.mail_token("owner@example.com");
    let refused = confirm(&server, &of_impostor);
    assert_eq!(
        (refused.status, refused.pointers()),
        (422, vec!["#/password"]),
        "the owner does not know that password"
    );
    assert_eq!(confirm(&server, &of_owner).status, 204);
    assert_eq!(server.value("SELECT handle FROM users WHERE email = 'owner@example.com'"), "owner");
    assert_eq!(confirm_with(&server, &of_impostor, "another password").status, 422, "and it is good no more");
    assert_eq!(sign_in(&server, "owner@example.com", "another password").status, 401);
    assert_eq!(sign_in(&server, "owner@example.com", PASSWORD).status, 200);
}

#[test]
fn a_sign_up_takes_nothing_that_others_could_notice_until_its_mail_is_answered() {
    let server = Server::start();
    server.user("known", "researcher");
    // Twice the same handle, once with an address that has an account and once with one that has none.
    for email in ["known@example.com", "unknown@example.com"] {
        assert_eq!(sign_up(&server, "wanted", email, PASSWORD).status, 202, "{email}");
        assert_eq!(sign_up(&server, "wanted", "mine@example.com", PASSWORD).status, 202, "after {email}");
    }
    let mine = server.mail_token("mine@example.com");
    let theirs = server.mail_token("unknown@example.com");
    assert_eq!(confirm(&server, &mine).status, 204);
    let late = confirm(&server, &theirs);
    assert_eq!((late.status, kind(&late)), (409, "handle-taken"));
    for _ in 0..25 {
        sign_up(&server, "many", "many@example.com", PASSWORD);
    }
    assert_eq!(server.value("SELECT count(*)::text FROM sign_ups WHERE email = 'many@example.com'"), "20");
}

#[test]
fn an_answer_that_must_not_tell_takes_its_time_for_everybody() {
    let server = Server::start();
    server.user("nightjar", "researcher");
    let time = |ask: &dyn Fn() -> Answer| {
        let begun = std::time::Instant::now();
        ask();
        begun.elapsed().as_millis()
    };
    for email in ["nightjar@example.com", "nobody@example.com"] {
        assert!(time(&|| sign_in(&server, email, "wrong password")) >= 500, "{email}");
        assert!(time(&|| sign_up(&server, "other", email, PASSWORD)) >= 250, "{email}");
        let reset = || server.post("/api/v1/auth/password-reset", &json!({ "email": email }));
        assert!(time(&reset) >= 250, "{email}");
    }
}

#[test]
fn attempts_on_one_account_are_counted_from_wherever_they_come() {
    let server = Server::start_with(&[("RATE_LIMIT_PASSWORDS", "3"), ("TRUST_PROXY", "1")]);
    server.user("nightjar", "researcher");
    let body = |email: &str| json!({ "email": email, "password": "wrong password" });
    let attempt = |n: usize, email: &str| {
        let headers = [("x-forwarded-for", &*format!("10.0.0.{n}"))];
        server.nobody().post_with("/api/v1/auth/sign-in", &body(email), &headers).status
    };
    let statuses: Vec<u16> = (0..4).map(|n| attempt(n, "nightjar@example.com")).collect();
    assert_eq!(statuses, [401, 401, 401, 429]);
    assert_eq!(attempt(9, "other@example.com"), 401);
}

#[test]
fn what_is_wrong_about_a_sign_up_is_said_at_once() {
    let server = Server::start();
    let answer = sign_up(&server, "Not A Handle", "nobody", "short");
    assert_eq!((answer.status, answer.pointers()), (422, vec!["#/handle", "#/email", "#/password"]));
    let long = sign_up(&server, "ok", "a@b.example", &"x".repeat(129));
    assert_eq!((long.status, long.pointers()), (422, vec!["#/password"]));
    let header = sign_up(&server, "ok", "a@b.example\r\nBcc: x@y.example", PASSWORD);
    assert_eq!((header.status, header.pointers()), (422, vec!["#/email"]));
}

#[test]
fn a_forgotten_password_is_set_by_mail_and_ends_every_session() {
    let server = Server::start();
    let user = server.user("nightjar", "researcher");
    assert_eq!(server.post("/api/v1/auth/password-reset", &json!({ "email": "nightjar@example.com" })).status, 202);
    let token = server.mail_token("nightjar@example.com");
    assert_eq!(confirm_with(&server, &token, Server::PASSWORD).status, 422, "it is for something else");
    let reset = |token: &str| {
        let body = json!({ "token": token, "password": "a new long password" });
        server.post("/api/v1/auth/password-reset/confirm", &body)
    };
    assert_eq!(reset("x").status, 422);
    server.post("/api/v1/auth/password-reset", &json!({ "email": "nightjar@example.com" }));
    let second = server.mail_token("nightjar@example.com");
    assert_eq!(reset(&second).status, 204);
    assert_eq!(reset(&second).status, 422, "it is good once");
    assert_eq!(reset(&token).status, 422, "and makes those before it useless");
    assert!(server.mail_to("nightjar@example.com").text.contains("was changed"));
    assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 401);
    assert_eq!(sign_in(&server, "nightjar@example.com", "a new long password").status, 200);
}

#[test]
fn mail_tokens_are_good_for_a_time() {
    let server = Server::start();
    server.user("nightjar", "researcher");
    server.post("/api/v1/auth/password-reset", &json!({ "email": "nightjar@example.com" }));
    let token = server.mail_token("nightjar@example.com");
    server.execute("UPDATE password_resets SET expires_at = now() - interval '1 second'");
    let body = json!({ "token": token, "password": "a new long password" });
    assert_eq!(server.post("/api/v1/auth/password-reset/confirm", &body).status, 422);
}

#[test]
fn a_hash_of_the_service_before_is_known_and_replaced() {
    let server = Server::start();
    server.user("nightjar", "researcher");
    let hash = bcrypt::hash(PASSWORD, 5).unwrap().replacen("$2b$", "$2a$", 1);
    server.execute(format!("UPDATE users SET password_hash = '{hash}'"));
    assert_eq!(sign_in(&server, "nightjar@example.com", "not the password").status, 401);
    assert_eq!(sign_in(&server, "nightjar@example.com", PASSWORD).status, 200);
    assert!(server.value("SELECT password_hash FROM users").starts_with("$argon2id$"));
    assert_eq!(sign_in(&server, "nightjar@example.com", PASSWORD).status, 200);
}

#[test]
fn administrators_change_what_others_may_do_which_ends_their_sessions() {
    let server = Server::start();
    let (admin, user) = (server.user("admin", "admin"), server.user("nightjar", "researcher"));
    let list = server.as_user(&admin.access_token).get("/api/v1/users?q=night&role=researcher");
    assert_eq!(list.body["items"].as_array().unwrap().len(), 1, "{}", list.body);
    let id = text(&list.body["items"][0], "id").to_owned();
    let path = format!("/api/v1/users/{id}");
    for who in [None, Some(user.access_token.as_str())] {
        let status = if who.is_some() { 403 } else { 401 };
        let client = who.map_or_else(|| server.nobody(), |token| server.as_user(token));
        assert_eq!(client.get("/api/v1/users").status, status);
        assert_eq!(client.patch(&path, &json!({ "role": "admin" })).status, status);
    }
    let admin_client = server.as_user(&admin.access_token);
    let same = admin_client.patch(&path, &json!({ "role": "researcher" }));
    assert_eq!((same.status, server.as_user(&user.access_token).get("/api/v1/me").status), (200, 200), "no change");
    let answer = admin_client.patch(&path, &json!({ "role": "triager" }));
    assert_eq!((answer.status, text(&answer.body, "role")), (200, "triager"));
    assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 401);
    assert_eq!(admin_client.patch(&path, &json!({ "status": "disabled" })).status, 200);
    let disabled = sign_in(&server, "nightjar@example.com", Server::PASSWORD);
    assert_eq!((disabled.status, kind(&disabled)), (403, "account-disabled"));
    let own = admin_client.get("/api/v1/me").body;
    let own = format!("/api/v1/users/{}", text(&own, "id"));
    assert_eq!(admin_client.patch(&own, &json!({ "role": "researcher" })).status, 403, "or nobody would be left");
    let nobody = "/api/v1/users/0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e";
    assert_eq!(admin_client.patch(nobody, &json!({ "role": "triager" })).status, 404);
    assert_eq!(admin_client.patch(&path, &json!({ "role": "king" })).pointers(), ["#/role"]);
}

#[test]
fn two_administrators_cannot_take_each_others_role_away_at_once() {
    let server = Server::start();
    let both = [server.user("one", "admin"), server.user("two", "admin")];
    let demote = |by: usize, whom: usize| {
        let path = format!("/api/v1/users/{}", both[whom].id);
        server.as_user(&both[by].access_token).patch(&path, &json!({ "role": "researcher" })).status
    };
    std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| demote(0, 1)), scope.spawn(|| demote(1, 0)));
        let mut statuses = [one.join().unwrap(), two.join().unwrap()];
        statuses.sort_unstable();
        assert!(matches!(statuses, [200, 401 | 403]), "{statuses:?}");
    });
    assert_eq!(server.value("SELECT count(*)::text FROM users WHERE role = 'admin'"), "1");
}

#[test]
fn only_operators_make_users_for_automatic_checks() {
    let token = "an-operators-token-of-32-characters";
    let server = Server::start_with(&[("HEALTH_TOKEN", token)]);
    let path = "/api/v1/temporary-users";
    assert_eq!(server.post(path, &json!({ "role": "researcher" })).status, 401);
    let user = server.user("nightjar", "researcher");
    assert_eq!(server.as_user(&user.access_token).post(path, &json!({ "role": "researcher" })).status, 401);
    let operator = server.as_user(token);
    assert_eq!(operator.post(path, &json!({ "role": "admin" })).pointers(), ["#/role"]);
    let made = operator.post(path, &json!({ "role": "triager" }));
    assert_eq!(made.status, 201, "{}", made.body);
    let grant = sign_in(&server, text(&made.body, "email"), text(&made.body, "password"));
    assert_eq!(grant.status, 200, "{}", grant.body);
    assert_eq!(server.as_user(text(&grant.body, "access_token")).get("/api/v1/me").body["temporary"], true);
    let path = format!("{path}/{}", text(&made.body, "id"));
    assert_eq!(operator.delete(&path).status, 204);
    assert_eq!(operator.delete(&path).status, 404);
    assert_eq!(server.as_user(text(&grant.body, "access_token")).get("/api/v1/me").status, 401);
    let own = server.as_user(&user.access_token).get("/api/v1/me").body;
    let path = format!("/api/v1/temporary-users/{}", text(&own, "id"));
    assert_eq!(operator.delete(&path).status, 404, "a person is not removed");
    assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 200);
}
