//! The stack on a real PostgreSQL and Redis, when all goes well.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::{Checkout, is_alive, of, signal, until};

#[test]
fn up_gives_a_healthy_stack_and_clean_leaves_nothing() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0).says(&["first run: .env.docker", "engine: host ("]);
    let status = checkout.status();
    assert_eq!((&status["state"], &status["engine"]), (&"up".into(), &"host".into()));
    for service in ["postgres", "redis", "backend"] {
        let service = of(&status, service);
        assert_eq!((&service["state"], &service["health"]), (&"running".into(), &"healthy".into()), "{service:#}");
        for member in ["pid", "port", "address", "uptime_seconds", "version"] {
            assert_ne!(service[member], Value::Null, "{member} of {service:#}");
        }
    }
    checkout.xtask(&["smoke"]).expect(0);
    let pids = ["postgres", "redis", "backend"].map(|service| checkout.pid(service));
    checkout.xtask(&["clean", "--yes"]).expect(0).says(&["removes  .stack/postgres"]);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    checkout.expect_nothing_left();
    assert!(checkout.exists(".env.docker"), "settings are no data");
}

#[test]
fn a_second_up_reports_and_changes_nothing() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    let before = ["postgres", "redis", "backend"].map(|service| checkout.pid(service));
    let ran = checkout.xtask(&["up", "--json"]).expect(0);
    assert_eq!(ran.json()["state"], "up");
    assert_eq!(["postgres", "redis", "backend"].map(|service| checkout.pid(service)), before);
}

#[test]
fn down_keeps_the_data_and_the_ports() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    checkout.xtask(&["seed"]).expect(0).says(&[" users, 5 programs and "]);
    let ports = ports(&checkout);
    checkout.xtask(&["down"]).expect(0).says(&["its data is kept"]);
    assert_eq!(checkout.xtask(&["status", "--json"]).expect(0).json()["state"], "down");
    assert_eq!(checkout.inhabitants(), Vec::<u32>::new());
    checkout.xtask(&["up"]).expect(0);
    assert_eq!(self::ports(&checkout), ports);
    checkout.xtask(&["seed"]).expect(0).says(&["already there"]);
}

#[test]
fn a_stack_that_was_in_containers_and_is_down_comes_up_as_processes() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "redis"]).expect(0);
    checkout.xtask(&["down"]).expect(0);
    let state = checkout.read(".stack/stack.json");
    checkout.write(".stack/stack.json", &state.replace("\"engine\": \"host\"", "\"engine\": \"docker\""));
    checkout.xtask(&["up", "redis", "--engine", "host"]).expect(0);
    let status = checkout.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["state"], &status["engine"]), (&"up".into(), &"host".into()));
}

fn ports(checkout: &Checkout) -> Vec<Value> {
    let status = checkout.status();
    ["postgres", "redis", "backend"].map(|service| of(&status, service)["port"].clone()).to_vec()
}

#[test]
fn down_and_clean_on_nothing_succeed_with_a_sentence_and_make_nothing() {
    let checkout = Checkout::new();
    checkout.xtask(&["down"]).expect(0).says(&["was not running"]);
    checkout.xtask(&["clean", "--yes"]).expect(0).says(&["nothing to remove"]);
    assert_eq!(checkout.xtask(&["status", "--json"]).expect(0).json()["state"], "down");
    assert!(!checkout.exists(".stack"));
}

#[test]
fn only_the_services_named_are_started_and_a_missing_backend_is_not_missed() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "postgres", "redis"]).expect(0);
    let status = checkout.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!((&status["state"], &of(&status, "backend")["state"]), (&"up".into(), &"stopped".into()));
    checkout.xtask(&["smoke"]).expect(4).says(&["backend is not running", "cargo xtask up backend"]);
    checkout.xtask(&["up", "backend"]).expect(0);
    checkout.xtask(&["smoke"]).expect(0);
}

#[test]
fn every_killed_service_is_told_by_status_and_started_again_by_up() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    for service in ["postgres", "redis", "backend"] {
        let others: Vec<&str> = ["postgres", "redis"].into_iter().filter(|other| *other != service).collect();
        let pids: Vec<u32> = others.iter().map(|other| checkout.pid(other)).collect();
        let killed = checkout.pid(service);
        signal(killed, "KILL");
        until("it is gone", || !is_alive(killed));
        let ran = checkout.xtask(&["status", "--json"]).expect(4).says(&[service, "cargo xtask up"]);
        let status = ran.json();
        assert_eq!((&status["state"], &of(&status, service)["state"]), (&"degraded".into(), &"exited".into()));
        checkout.xtask(&["up"]).expect(0);
        assert_ne!(checkout.pid(service), killed);
        let after: Vec<u32> = others.iter().map(|other| checkout.pid(other)).collect();
        assert_eq!(pids, after, "the others were left alone");
    }
    checkout.xtask(&["smoke"]).expect(0);
}

#[test]
fn two_checkouts_run_side_by_side_even_when_started_at_once() {
    let (one, other) = (Checkout::new(), Checkout::new());
    std::thread::scope(|scope| {
        for checkout in [&one, &other] {
            scope.spawn(|| checkout.xtask(&["up"]).expect(0));
        }
    });
    let (ours, theirs) = (ports(&one), ports(&other));
    assert!(ours.iter().all(|port| !theirs.contains(port)), "{ours:?} {theirs:?}");
    one.xtask(&["clean", "--yes"]).expect(0);
    other.xtask(&["smoke"]).expect(0);
}

#[test]
fn a_taken_port_is_told_with_its_owner_and_the_stack_moves_and_stays_there() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = checkout.read(".env.docker").replace("REDIS_PORT=6379", &format!("REDIS_PORT={port}"));
    checkout.write(".env.docker", &settings);
    let pid = std::process::id();
    let owner = format!("port {port}, for redis, is taken by ");
    checkout.xtask(&["up", "redis"]).expect(0).says(&[&owner, &format!("(process {pid}"), "redis uses port 2"]);
    let moved = of(&checkout.status(), "redis")["port"].clone();
    drop(taken);
    checkout.xtask(&["down"]).expect(0);
    checkout.xtask(&["up", "redis"]).expect(0);
    assert_eq!(of(&checkout.status(), "redis")["port"], moved, "it is remembered");
    checkout.xtask(&["clean", "--yes"]).expect(0);
    checkout.xtask(&["up", "redis"]).expect(0);
    assert_eq!(of(&checkout.status(), "redis")["port"], port, "until clean");
}

#[test]
fn restart_gives_the_named_service_another_process_and_leaves_the_others() {
    let checkout = Checkout::new();
    checkout.xtask(&["restart"]).expect(4).says(&["the stack is not running"]);
    checkout.xtask(&["up"]).expect(0);
    let (postgres, backend) = (checkout.pid("postgres"), checkout.pid("backend"));
    checkout.xtask(&["restart", "backend"]).expect(0);
    assert_eq!(checkout.pid("postgres"), postgres);
    assert_ne!(checkout.pid("backend"), backend);
}

#[test]
fn another_password_in_the_settings_takes_effect() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    checkout.xtask(&["down"]).expect(0);
    checkout.xtask(&["env", "init", "--force"]).expect(0);
    checkout.xtask(&["up"]).expect(0);
    checkout.xtask(&["smoke"]).expect(0);

    // Also while everything runs, and whichever service is named: a server and its clients get it together.
    for task in [&["up"][..], &["restart"], &["restart", "redis"], &["restart", "backend"]] {
        let postgres = checkout.pid("postgres");
        checkout.xtask(&["env", "init", "--force"]).expect(0);
        checkout.xtask(task).expect(0);
        assert_ne!(checkout.pid("postgres"), postgres, "{task:?}");
        checkout.xtask(&["smoke"]).expect(0);
    }
}

#[test]
fn logs_are_merged_named_and_can_be_narrowed() {
    let checkout = Checkout::new();
    checkout.xtask(&["logs"]).expect(4).says(&["cargo xtask up"]);
    checkout.xtask(&["up"]).expect(0);
    let all = checkout.xtask(&["logs"]).expect(0).stdout;
    for word in ["postgres | ", "redis    | ", "backend  | ", "ready to accept connections", "listening"] {
        assert!(all.contains(word), "{word:?} is not in\n{all}");
    }
    let lines = checkout.xtask(&["logs", "--json", "backend"]).expect(0).stdout;
    let mut times = Vec::new();
    for line in lines.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["service"], "backend");
        times.push(object["time"].as_str().unwrap().to_owned());
    }
    assert!(times.is_sorted() && !times.is_empty());
    assert_eq!(checkout.xtask(&["logs", "-n", "2"]).expect(0).stdout.lines().count(), 2);
    assert_eq!(checkout.xtask(&["logs", "--since", "0s"]).expect(0).stdout, "");
}

#[test]
fn followed_logs_show_what_comes_and_end_with_ctrl_c() {
    use std::io::{BufRead, BufReader};
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    let mut child = checkout.command(&["logs", "-f", "-n", "0", "backend"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = checkout.status()["url"].as_str().unwrap().to_owned();
    assert!(minreq::get(format!("{url}/followed")).send().unwrap().status_code == 404);
    assert!(lines.any(|line| line.unwrap().contains("/followed")));
    signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(130), ""));
}

#[test]
fn a_log_that_has_grown_large_is_cut_by_whoever_looks_at_the_stack() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "redis"]).expect(0);
    let log = checkout.path(".stack/logs/redis.log");
    let filler = "12345:M 21 Nov 2026 14:03:37.954 * filler\n".repeat(300_000);
    std::fs::write(&log, &filler).unwrap();
    checkout.xtask(&["status"]).expect(0);
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    assert_eq!(std::fs::metadata(checkout.path(".stack/logs/redis.log.1")).unwrap().len(), filler.len() as u64);
    checkout.xtask(&["restart", "redis"]).expect(0);
    assert!(
        checkout.read(".stack/logs/redis.log").contains("Ready to accept connections"),
        "it goes on at the new end"
    );
}

#[test]
fn exec_runs_in_the_services_environment_and_passes_the_code_on() {
    let checkout = Checkout::new();
    checkout.xtask(&["exec", "backend", "--", "true"]).expect(4).says(&["backend is not running"]);
    checkout.xtask(&["up"]).expect(0);
    checkout.xtask(&["exec", "backend", "--", "sh", "-c", "exit 42"]).expect(42);
    let status = checkout.xtask(&["exec", "backend", "--", "thunder", "migrate", "status"]).expect(0).stdout;
    assert!(status.contains("applied"), "{status}");
    let seen =
        checkout.xtask(&["exec", "postgres", "--", "sh", "-c", "echo $PGPORT; command -v postgres"]).expect(0).stdout;
    assert!(seen.starts_with(&of(&checkout.status(), "postgres")["port"].to_string()), "{seen}");
    assert!(seen.trim_end().ends_with("/postgres"), "{seen}");
    checkout.xtask(&["exec", "backend", "--", "no-such-program"]).expect(3).says(&["cannot run no-such-program"]);
}

#[test]
fn migrations_are_told_and_applied() {
    let checkout = Checkout::new();
    checkout.xtask(&["migrate"]).expect(4).says(&["postgres is not running"]);
    checkout.xtask(&["up", "postgres"]).expect(0);
    let pending = checkout.xtask(&["migrate", "status", "--json"]).expect(5).json();
    assert!(pending["pending"].as_u64().unwrap() > 0);
    checkout.xtask(&["migrate"]).expect(0);
    assert_eq!(checkout.xtask(&["migrate", "status", "--json"]).expect(0).json()["pending"], 0);
}

#[test]
fn a_second_stack_of_the_same_checkout_lives_elsewhere() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "redis"]).expect(0);
    let elsewhere = checkout.path("second");
    let second = |args: &[&str]| checkout.command(args).env("XTASK_STATE", &elsewhere).output().unwrap();
    assert!(second(&["up", "redis"]).status.success());
    let status: Value = serde_json::from_slice(&second(&["status", "--json"]).stdout).unwrap();
    assert_ne!(of(&status, "redis")["port"], of(&checkout.status(), "redis")["port"]);
    assert!(second(&["clean", "--yes"]).status.success());
    assert!(is_alive(checkout.pid("redis")));
}
