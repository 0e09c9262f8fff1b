//! Sessions: how they go on, how they end, and what becomes of them without Redis.

use serde_json::json;

use crate::accounts::{kind, sign_in, text};
use crate::support::{Server, wait_for};

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
