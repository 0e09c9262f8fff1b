//! `status`, for people and for programs, in every state that a stack can be in.

use std::time::Duration;

use serde_json::Value;

use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::fixture::servers::{Servers, UNHEALTHY};
use crate::interrupt::CancelToken;
use crate::lock::Lock;
use crate::runner::{fails, says};
use crate::stack::service::Service::{self, Backend, Postgres, Redis};

fn up() -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    (fixture, daemon)
}

/// A service in a status.
#[track_caller]
fn of(status: &Value, service: Service) -> Value {
    let services = status["services"].as_array().expect("services");
    services.iter().find(|one| one["name"] == service.name()).expect("the service").clone()
}

/// `status --json` of a stack that is not well.
#[track_caller]
fn bad(fixture: &mut Fixture) -> Value {
    let status = fixture.xtask(&["status", "--json"]).expect(4).json();
    assert_eq!(status["state"], "degraded");
    status
}

#[test]
fn a_stack_that_was_never_started_is_down_which_is_no_failure() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    assert_eq!(fixture.xtask(&["status"]).expect(0).stdout, "Product is down: cargo xtask up\n");
    let status = fixture.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!(
        (&status["schema_version"], &status["state"], &status["engine"]),
        (&1.into(), &"down".into(), &Value::Null)
    );
    assert_eq!(of(&status, Redis)["state"], "stopped");
    assert!(!fixture.has(".stack"), "looking makes nothing");
}

#[test]
fn a_stack_that_is_up_tells_of_each_service() {
    let (mut fixture, _daemon) = up();
    let status = fixture.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["state"], &status["url"]), (&"up".into(), &"http://127.0.0.1:3000".into()));
    let backend = of(&status, Backend);
    assert_eq!((&backend["health"], &backend["commit"]), (&"healthy".into(), &"0123456789ab".into()));
    assert_eq!((&backend["watch"]["running"], &backend["watch"]["phase"]), (&true.into(), &"idle".into()));
    assert_eq!(backend["container"], "PROJECT-backend-1");
    let postgres = of(&status, Postgres);
    assert_eq!(
        (&postgres["product"], &postgres["version"], &postgres["source"]),
        (&"PostgreSQL".into(), &"15".into(), &"image".into())
    );
    assert_eq!((&postgres["port"], &postgres["log"]), (&5432.into(), &"cargo xtask logs postgres".into()));
    assert_eq!(fixture.runner.changes(), Vec::<String>::new(), "it only looks");
}

#[test]
fn a_service_that_was_stopped_is_stopped_and_one_that_ended_is_not_well() {
    let (mut fixture, daemon) = up();
    fixture.xtask(&["down", "backend"]).expect(0);
    let ran = fixture.xtask(&["status"]).expect(0).says(&["Product is up"]);
    assert!(ran.stdout.lines().any(|line| line.starts_with("  backend   stopped")), "{}", ran.stdout);

    daemon.put(Redis, "exited");
    let status = bad(&mut fixture);
    let redis = of(&status, Redis);
    assert_eq!((&redis["state"], &redis["detail"]), (&"exited".into(), &"it ended with exit code 137".into()));
    fixture.xtask(&["status"]).expect(4).says(&[
        "Product is not well (docker engine)",
        "error: redis is not as it should be",
        "redis: it ended with exit code 137",
        "next: cargo xtask up",
        "cargo xtask logs redis",
    ]);
}

#[test]
fn how_a_container_ended_is_told() {
    let cases = [
        (r#"{"ExitCode":137,"OOMKilled":true}"#, "exited", "it used more memory than it may, and was killed"),
        (r#"{"ExitCode":1,"OOMKilled":false}"#, "restarting", "it ends with exit code 1, again and again"),
        (r#"{"ExitCode":0,"OOMKilled":false}"#, "exited", "it ended with exit code 0"),
        ("nothing that can be read", "exited", "it ended by itself"),
    ];
    for (found, state, expected) in cases {
        let (mut fixture, daemon) = up();
        daemon.put(Redis, state);
        fixture.runner.on("docker inspect -redis-1", says(found));
        assert_eq!(of(&bad(&mut fixture), Redis)["detail"], expected);
    }
}

#[test]
fn a_container_that_is_gone_is_told_as_gone() {
    let (mut fixture, daemon) = up();
    daemon.model().containers.retain(|one| one.service != Redis);
    let redis = of(&bad(&mut fixture), Redis);
    assert_eq!((&redis["state"], &redis["detail"]), (&"exited".into(), &"it is gone".into()));
}

#[test]
fn what_runs_and_is_not_well_says_why() {
    let (mut fixture, daemon) = up();
    let (backend, redis) = (fixture.port(Backend), fixture.port(Redis));
    daemon.model().servers.answer(backend, UNHEALTHY);
    daemon.model().servers.stop(redis);
    let status = bad(&mut fixture);
    assert_eq!(of(&status, Backend)["detail"], "/health is 503: down");
    assert_eq!(
        (&of(&status, Redis)["health"], &of(&status, Redis)["detail"]),
        (&"unhealthy".into(), &"nothing listens there".into())
    );
    let ran = fixture.xtask(&["status"]).expect(4);
    ran.says(&[
        "error: redis and backend are not as it should be",
        "next: cargo xtask restart",
        "cargo xtask logs redis backend",
    ]);
}

#[test]
fn while_another_task_starts_it_nothing_is_told_as_broken() {
    let (mut fixture, daemon) = up();
    daemon.put(Redis, "exited");
    let terminal = crate::terminal::Terminal::kept();
    let take = |task: &str| {
        Lock::take(&fixture.stack().lock(), task, Duration::ZERO, &CancelToken::never(), &terminal).unwrap()
    };
    let lock = take("up");
    let status = fixture.xtask(&["status", "--json"]).expect(4).json();
    assert_eq!((&status["state"], &status["task"]["task"]), (&"starting".into(), &"up".into()));
    assert_eq!(of(&status, Redis)["state"], "starting");
    let ran =
        fixture.xtask(&["status"]).expect(4).says(&["Product is starting", "`up` has been starting the stack for"]);
    ran.says(&["starting, by `up`"]);
    drop(lock);

    // A task that stops things is no start.
    let take = |task: &str| {
        Lock::take(&fixture.stack().lock(), task, Duration::ZERO, &CancelToken::never(), &terminal).unwrap()
    };
    let lock = take("clean");
    bad(&mut fixture);
    drop(lock);
}

#[test]
fn a_failed_start_is_told_until_the_next_one_that_works() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.runner.on("compose run --rm -build backend sh", fails(101, "error: no"));
    fixture.xtask(&["up"]).expect(1);
    let status = fixture.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!(status["state"], "down");
    assert_eq!(status["failure"], "cannot build the backend and check its settings: docker failed with exit code 101");
    fixture.runner.on("compose run --rm -build backend sh", says(""));
    fixture.xtask(&["up"]).expect(0);
    assert_eq!(fixture.xtask(&["status", "--json"]).expect(0).json()["failure"], Value::Null);
}

#[test]
fn a_watcher_that_could_not_build_says_what_is_in_the_way() {
    let (mut fixture, _daemon) = up();
    let report =
        r#"{"phase":"idle","problem":"1 error in backend/src/main.rs:7","hints":["cargo xtask check"],"reloads":3}"#;
    fixture.runner.on("docker exec cat watch.json", says(report));
    let status = fixture.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!(of(&status, Backend)["detail"], "serving an older build: 1 error in backend/src/main.rs:7");
    assert_eq!(of(&status, Backend)["watch"]["reloads"], 3);
}

#[test]
fn of_several_backends_the_one_that_does_not_run_is_told() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "--production", "--scale", "backend=3"]).expect(0);
    let status = fixture.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!(of(&status, Backend)["container"], "PROJECT-backend-1 PROJECT-backend-2 PROJECT-backend-3");
    assert_eq!(of(&status, Backend)["watch"], Value::Null);
    daemon.model().containers.iter_mut().find(|one| one.name.ends_with("backend-2")).unwrap().state = "exited";
    let backend = of(&bad(&mut fixture), Backend);
    assert_eq!((&backend["state"], &backend["detail"]), (&"exited".into(), &"it ended with exit code 137".into()));
}

#[test]
fn with_broken_settings_the_containers_are_looked_at_all_the_same() {
    let (mut fixture, _daemon) = up();
    fixture.set("BACKEND_PORT", "none");
    let status = bad(&mut fixture);
    assert_eq!(of(&status, Backend)["health"], "healthy");
    assert_eq!(of(&status, Redis)["detail"], "its password is not in the settings");
}

#[test]
fn on_this_machine_each_service_tells_its_process_and_its_server() {
    let (mut fixture, servers) = Fixture::with_servers();
    fixture.xtask(&["up", "--timeout", "600"]);
    for service in Service::ALL {
        fixture.is(service);
    }
    fixture.is_watcher();
    let status = fixture.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["state"], &status["engine"]), (&"up".into(), &"host".into()));
    let redis = of(&status, Redis);
    assert_eq!((&redis["pid"], &redis["source"]), (&std::process::id().into(), &"system".into()));
    assert_eq!((&redis["version"], &redis["log"]), (&"7.0.15".into(), &"ROOT/.stack/logs/redis.log".into()));

    // Its watcher is gone, and it serves all the same.
    std::fs::remove_file(fixture.stack().watch().watcher()).unwrap();
    let backend = of(&bad(&mut fixture), Backend);
    assert_eq!(
        (&backend["health"], &backend["detail"]),
        (&"healthy".into(), &"its watcher is gone: what is edited is not built".into())
    );

    // A record of a process that is no more.
    let gone = r#"{"pid":4000000,"started":"never","since":"2026-01-01T00:00:00Z"}"#;
    std::fs::write(fixture.stack().record(Redis), gone).unwrap();
    let port = fixture.port(Redis);
    servers.lock().unwrap().stop(port);
    let redis = of(&bad(&mut fixture), Redis);
    assert_eq!((&redis["state"], &redis["pid"]), (&"exited".into(), &Value::Null));
}

#[test]
fn a_stranger_on_a_stopped_services_port_changes_nothing() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "postgres"]).expect(0);
    let mut stranger = Servers::default();
    stranger.start(Redis, fixture.port(Redis));
    let status = fixture.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!((&of(&status, Redis)["state"], &of(&status, Redis)["health"]), (&"stopped".into(), &Value::Null));
}
