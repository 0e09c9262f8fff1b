use serde_json::{Value, json};

use crate::support::{Answer, Server, wait_for};

const PASSWORD: &str = "correct horse battery";

fn sign_up(server: &Server, handle: &str, email: &str, password: &str) -> Answer {
    server.post("/api/v1/auth/sign-up", &json!({ "handle": handle, "email": email, "password": password }))
}

fn sign_in(server: &Server, email: &str, password: &str) -> Answer {
    server.post("/api/v1/auth/sign-in", &json!({ "email": email, "password": password }))
}

fn confirm_with(server: &Server, token: &str, password: &str) -> Answer {
    server.post("/api/v1/auth/confirm-email", &json!({ "token": token, "password": password }))
}

fn confirm(server: &Server, token: &str) -> Answer {
    confirm_with(server, token, PASSWORD)
}

fn kind(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap_or_default().trim_start_matches("/problems/")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
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
    // A handle that is taken is said to be so for both.
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
fn a_session_is_remembered_for_a_while_and_every_process_knows_when_it_ends() {
    let one = Server::start();
    let redis = one.app.config.redis.url.reveal().to_owned();
    let other = Server::start_with(&[("DATABASE_URL", &one.database.url), ("REDIS_URL", &redis)]);
    let user = one.user("nightjar", "researcher");
    let status = |server: &Server| server.as_user(&user.access_token).get("/api/v1/programs").status;
    assert_eq!((status(&one), status(&other)), (200, 200));
    // Neither of them asks PostgreSQL again for what Redis remembers.
    one.execute("UPDATE sessions SET ended_at = now(), ended_by = 'admin'");
    assert_eq!((status(&one), status(&other)), (200, 200));
    one.execute("UPDATE sessions SET ended_at = NULL, ended_by = NULL");
    assert_eq!(one.as_user(&user.access_token).post("/api/v1/auth/sign-out", &json!({})).status, 204);
    assert_eq!((status(&one), status(&other)), (401, 401), "at once");
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
fn a_session_goes_on_with_each_refresh_and_a_token_used_twice_ends_it() {
    let server = Server::start();
    let first = server.user("nightjar", "researcher");
    let refresh = |token: &str| server.post("/api/v1/auth/refresh", &json!({ "refresh_token": token }));
    let second = refresh(&first.refresh_token);
    assert_eq!(second.status, 200, "{}", second.body);
    assert_eq!(text(&second.body, "session_id"), first.session);
    let third = refresh(text(&second.body, "refresh_token"));
    assert_eq!(third.status, 200);
    assert_eq!(server.as_user(text(&third.body, "access_token")).get("/api/v1/me").status, 200);
    let stolen = refresh(text(&second.body, "refresh_token"));
    assert_eq!((stolen.status, kind(&stolen)), (401, "invalid-credentials"));
    assert_eq!(refresh(text(&third.body, "refresh_token")).status, 401, "the whole session has ended");
    let answer = server.as_user(text(&third.body, "access_token")).get("/api/v1/me");
    assert_eq!((answer.status, kind(&answer)), (401, "sign-in-required"));
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    for bad in ["", "x", "é", first.access_token.as_str()] {
        assert!(matches!(refresh(bad).status, 401 | 422), "{bad}");
    }
}

#[test]
fn of_two_refreshes_at_once_one_is_served_and_the_session_ends() {
    let server = Server::start();
    let user = server.user("nightjar", "researcher");
    let refresh = || server.post("/api/v1/auth/refresh", &json!({ "refresh_token": user.refresh_token })).status;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(refresh)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 401);
}

#[test]
fn signing_out_ends_one_session_or_all_of_them_at_once() {
    let server = Server::start();
    let here = server.user("nightjar", "researcher");
    let there = server.sign_in("nightjar");
    let sessions = server.as_user(&here.access_token).get("/api/v1/me/sessions");
    let items = sessions.body["items"].as_array().unwrap();
    let current: Vec<(&str, bool)> =
        items.iter().map(|item| (text(item, "id"), item["current"].as_bool().unwrap())).collect();
    assert_eq!(current, [(there.session.as_str(), false), (here.session.as_str(), true)]);
    assert_eq!(server.as_user(&there.access_token).get("/api/v1/me").status, 200, "and is remembered");
    let path = format!("/api/v1/me/sessions/{}", there.session);
    assert_eq!(server.as_user(&here.access_token).delete(&path).status, 204);
    assert_eq!(server.as_user(&there.access_token).get("/api/v1/me").status, 401, "at once");
    assert_eq!(server.as_user(&here.access_token).delete(&path).status, 404);
    let other = server.user("stranger", "researcher");
    let foreign = format!("/api/v1/me/sessions/{}", here.session);
    assert_eq!(server.as_user(&other.access_token).delete(&foreign).status, 404, "somebody else's");
    let third = server.sign_in("nightjar");
    assert_eq!(server.as_user(&third.access_token).post("/api/v1/auth/sign-out-everywhere", &json!({})).status, 204);
    for token in [&here.access_token, &third.access_token] {
        assert_eq!(server.as_user(token).get("/api/v1/me").status, 401);
    }
    assert_eq!(server.as_user(&other.access_token).post("/api/v1/auth/sign-out", &json!({})).status, 204);
    assert_eq!(server.as_user(&other.access_token).get("/api/v1/me").status, 401);
}

#[test]
fn a_changed_password_signs_every_other_device_out() {
    let server = Server::start();
    let here = server.user("nightjar", "researcher");
    let there = server.sign_in("nightjar");
    let change = |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        server.as_user(&here.access_token).put("/api/v1/me/password", &body)
    };
    let wrong = change("not the password", "a new long password");
    assert_eq!((wrong.status, wrong.pointers()), (422, vec!["#/current_password"]));
    assert_eq!(change(Server::PASSWORD, "short").pointers(), ["#/new_password"]);
    assert_eq!(change(Server::PASSWORD, "a new long password").status, 204);
    assert_eq!(server.as_user(&here.access_token).get("/api/v1/me").status, 200);
    assert_eq!(server.as_user(&there.access_token).get("/api/v1/me").status, 401);
    assert_eq!(sign_in(&server, "nightjar@example.com", Server::PASSWORD).status, 401);
    assert_eq!(sign_in(&server, "nightjar@example.com", "a new long password").status, 200);
    assert!(server.mail_to("nightjar@example.com").text.contains("was changed"));
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
fn a_sign_in_that_runs_while_the_password_changes_does_not_outlive_the_change() {
    let server = Server::start();
    server.user("nightjar", "researcher");
    let mut holder = server.runtime.block_on(server.database.connect());
    let begin = "BEGIN; UPDATE users SET password_hash = 'other' WHERE handle = 'nightjar'";
    server.runtime.block_on(async { sqlx::raw_sql(begin).execute(&mut holder).await }).unwrap();
    let status = std::thread::scope(|scope| {
        let late = scope.spawn(|| sign_in(&server, "nightjar@example.com", Server::PASSWORD).status);
        server.runtime.block_on(async {
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            wait_for(&mut server.database.connect().await, waiting, 1).await;
            sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
        });
        late.join().unwrap()
    });
    assert_eq!(status, 401);
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

#[test]
fn what_is_shown_in_place_of_a_token_is_refused() {
    let server = Server::start();
    let user = server.user("nightjar", "researcher");
    let tampered = format!("{}x", user.access_token);
    for bad in ["x", "", "a.b.c", tampered.as_str(), user.refresh_token.as_str()] {
        let answer = server.as_user(bad).get("/api/v1/me");
        assert_eq!((answer.status, kind(&answer)), (401, "sign-in-required"), "{bad}");
    }
    let nobody = server.nobody().get("/api/v1/me");
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, "Bearer"));
    server.execute("UPDATE sessions SET expires_at = now() - interval '1 second'");
    server.forget_sessions();
    assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 401, "its time is over");
}

/// Sessions without Redis: PostgreSQL has the truth.
fn goes_on_without_redis(url: &str) {
    let server = Server::start_with(&[("REDIS_URL", url)]);
    let user = server.user("nightjar", "researcher");
    let begun = std::time::Instant::now();
    for _ in 0..60 {
        assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 200);
    }
    // A budget of 50 ms twice for each of them would be over six seconds.
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "{:?} for sixty requests", begun.elapsed());
    assert_eq!(sign_in(&server, "nightjar@example.com", Server::PASSWORD).status, 200);
    assert_eq!(server.as_user(&user.access_token).post("/api/v1/auth/sign-out", &json!({})).status, 204);
    assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 401, "at once");
}

#[test]
fn a_redis_that_is_away_ends_no_session() {
    goes_on_without_redis("redis://127.0.0.1:1");
}

#[test]
fn a_redis_that_accepts_and_never_answers_ends_no_session() {
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    goes_on_without_redis(&format!("redis://{}", deaf.local_addr().unwrap()));
}

#[test]
fn what_redis_forgets_is_asked_of_postgresql() {
    let server = Server::start();
    let user = server.user("nightjar", "researcher");
    for _ in 0..2 {
        assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 200);
        server.forget_sessions();
    }
    server.execute("UPDATE sessions SET ended_at = now(), ended_by = 'admin'");
    server.forget_sessions();
    assert_eq!(server.as_user(&user.access_token).get("/api/v1/me").status, 401);
}
