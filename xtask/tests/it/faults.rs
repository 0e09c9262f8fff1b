//! The stack when things go wrong: the reason is told, nothing is lost, nothing is left running.

use std::time::{Duration, Instant};

use crate::support::{Checkout, of, signal, until};

/// A backend that migrates and then does this when it is asked to serve.
fn serving(script: &str) -> String {
    format!("[ \"$1\" = serve ] || exit 0\n{script}\n")
}

#[track_caller]
fn expect_stopped(checkout: &Checkout) {
    until("everything that was started is stopped", || checkout.inhabitants().is_empty());
    assert_eq!(checkout.xtask(&["status", "--json"]).expect(0).json()["state"], "down");
}

#[test]
fn a_backend_that_does_not_compile_shows_the_compilers_words_and_stops_what_was_started() {
    let checkout = Checkout::new();
    let script = "printf '   Compiling backend v0.1.0\\nerror[E0308]: mismatched types\\n --> src/main.rs:1:1\\n' >&2\nexit 101\n";
    checkout.fake("cargo", script);
    let ran = checkout.xtask(&["up"]).expect(1).says(&[
        "cannot build the backend: cargo failed with exit code 101",
        "error[E0308]: mismatched types",
        "build --package backend",
        "next:",
    ]);
    assert!(!ran.stderr.contains("Compiling backend"), "{}", ran.stderr);
    expect_stopped(&checkout);
}

#[test]
fn a_restart_with_code_that_does_not_compile_leaves_the_old_backend_running() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    let pid = checkout.pid("backend");
    checkout.fake("cargo", "echo 'error: expected `;`' >&2\nexit 101\n");
    checkout.xtask(&["restart", "backend"]).expect(1).says(&["expected `;`"]);
    assert_eq!(checkout.pid("backend"), pid);
    checkout.xtask(&["status"]).expect(0);
}

#[test]
fn a_backend_that_crashes_at_once_fails_at_once_with_its_last_words() {
    let checkout = Checkout::new();
    checkout.fake_backend(&serving("echo 'thread main panicked: no luck'; exit 101"));
    let begun = Instant::now();
    checkout.xtask(&["up", "--timeout", "600"]).expect(1).says(&[
        "backend ended with exit code 101 before it was ready",
        "| thread main panicked: no luck",
        "cargo xtask logs backend",
    ]);
    assert!(begun.elapsed() < Duration::from_secs(100), "the timeout is not used up");
    expect_stopped(&checkout);
}

#[test]
fn a_backend_that_never_becomes_healthy_times_out_with_what_was_seen_last() {
    let checkout = Checkout::new();
    checkout.fake_backend(&serving("echo 'thinking it over'; exec sleep 600"));
    checkout.xtask(&["up", "--timeout", "6"]).expect(4).says(&[
        "backend was not ready within 6s: ",
        "| thinking it over",
        "--timeout SECONDS",
    ]);
    expect_stopped(&checkout);
}

#[test]
fn a_backend_that_does_not_listen_to_sigterm_is_killed_and_named() {
    let checkout = Checkout::new();
    let settings = checkout.read(".env.docker.example").replace("SHUTDOWN_TIMEOUT=10", "SHUTDOWN_TIMEOUT=1");
    checkout.write(".env.docker.example", &settings);
    checkout.fake_backend(&serving("trap '' TERM\nwhile true; do sleep 1; done"));
    // Long enough for the servers on a busy machine; the backend never gets ready.
    checkout.xtask(&["up", "--timeout", "6"]).expect(4);
    let said = checkout.read(".stack/logs/backend.log");
    assert!(said.contains("does not stop by itself; sending SIGKILL"), "{said}");
    expect_stopped(&checkout);
    let ran = checkout.xtask(&["up", "--no-watch", "--timeout", "6"]).expect(4);
    assert!(ran.stderr.contains("does not stop by itself; sending SIGKILL"), "{}", ran.stderr);
    expect_stopped(&checkout);
}

#[test]
fn a_migration_that_fails_is_told_in_the_databases_words() {
    let checkout = Checkout::new();
    checkout.fake_backend(
        "[ \"$1\" = migrate ] && { echo 'thunder: migration 2_x failed: no such table' >&2; exit 1; }\nexit 0\n",
    );
    checkout.xtask(&["up"]).expect(1).says(&["cannot apply migrations", "migration 2_x failed: no such table"]);
    expect_stopped(&checkout);
}

#[test]
fn a_failed_up_does_not_stop_what_ran_before() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "postgres", "redis"]).expect(0);
    let pids = [checkout.pid("postgres"), checkout.pid("redis")];
    checkout.fake("cargo", "echo 'error: no' >&2\nexit 101\n");
    checkout.xtask(&["up"]).expect(1);
    assert_eq!([checkout.pid("postgres"), checkout.pid("redis")], pids);
    checkout.xtask(&["status"]).expect(0);
}

#[test]
fn data_of_another_major_version_is_refused_and_untouched() {
    let checkout = Checkout::new();
    checkout.write(".stack/postgres/data/PG_VERSION", "9\n");
    checkout.write(".stack/postgres/data/precious", "rows");
    checkout.xtask(&["up"]).expect(3).says(&[
        "the data was made by PostgreSQL 9",
        "the data is untouched",
        "cargo xtask clean",
    ]);
    assert_eq!(checkout.read(".stack/postgres/data/precious"), "rows");
    assert!(checkout.inhabitants().is_empty());
}

#[test]
fn a_full_disk_is_told_with_the_programs_own_words_and_leaves_no_half_made_data() {
    let checkout = Checkout::new();
    // A program that fails as it would on a full disk, where PostgreSQL's own would be found first.
    let real = checkout.xtask(&["doctor", "--json"]).expect(0).stdout;
    assert!(real.contains("PostgreSQL"));
    checkout.fake("initdb", "[ \"$1\" = --version ] && exec echo 'initdb (PostgreSQL) 15.0'\necho 'initdb: error: could not write to file: No space left on device' >&2\nexit 1\n");
    checkout.fake("postgres", "echo 'postgres (PostgreSQL) 15.0'\n");
    checkout.xtask(&["up", "postgres"]).expect(1).says(&["cannot create the data folder", "No space left on device"]);
    assert!(!checkout.exists(".stack/postgres/data"));
    expect_stopped(&checkout);
    std::fs::remove_file(checkout.path("bin/initdb")).unwrap();
    std::fs::remove_file(checkout.path("bin/postgres")).unwrap();
    checkout.xtask(&["up", "postgres"]).expect(0);
}

#[test]
fn clean_asks_and_refuses_without_a_terminal() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "redis"]).expect(0);
    checkout.xtask(&["clean"]).expect(9).says(&["removes  .stack/redis", "there is no terminal to ask on", "--yes"]);
    checkout.xtask(&["status"]).expect(0);
}

#[test]
fn clean_removes_nothing_that_the_stack_did_not_make() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "redis"]).expect(0);
    checkout.write(".stack/notes.txt", "mine");
    checkout.write("elsewhere/precious", "mine");
    std::os::unix::fs::symlink(checkout.path("elsewhere"), checkout.path(".stack/redis/link")).unwrap();
    checkout.xtask(&["clean", "--yes"]).expect(0).says(&["leaves   .stack/notes.txt, which the stack did not make"]);
    assert_eq!(checkout.read(".stack/notes.txt"), "mine");
    assert_eq!(checkout.read("elsewhere/precious"), "mine", "links are not followed");
    assert!(!checkout.exists(".stack/redis"));
    std::fs::remove_file(checkout.path(".stack/notes.txt")).unwrap();
}

#[test]
fn a_state_folder_that_is_a_link_is_refused() {
    let checkout = Checkout::new();
    checkout.write("elsewhere/postgres/precious", "mine");
    std::os::unix::fs::symlink(checkout.path("elsewhere"), checkout.path(".stack")).unwrap();
    checkout.xtask(&["clean", "--yes"]).expect(9).says(&["is a link, which this project did not make"]);
    checkout.xtask(&["up"]).expect(1).says(&["is a link"]);
    assert_eq!(checkout.read("elsewhere/postgres/precious"), "mine");
    std::fs::remove_file(checkout.path(".stack")).unwrap();
}

#[test]
fn a_record_whose_number_belongs_to_somebody_else_is_never_signalled() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "redis"]).expect(0);
    let pid = checkout.pid("redis");
    signal(pid, "KILL");
    until("it is gone", || !crate::support::is_alive(pid));
    // The number goes to a process that is not ours; the moment at which it started gives it away.
    let mut bystander = bystander();
    let record = checkout
        .read(".stack/run/redis.json")
        .replace(&format!("\"pid\":{pid}"), &format!("\"pid\":{}", bystander.id()));
    checkout.write(".stack/run/redis.json", &record);
    assert_eq!(of(&checkout.xtask(&["status", "--json"]).expect(4).json(), "redis")["state"], "exited");
    checkout.xtask(&["down"]).expect(0);
    assert_eq!(bystander.try_wait().unwrap(), None, "it was left alone");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a process that is not the stack's")]
fn bystander() -> std::process::Child {
    std::process::Command::new("sleep").arg("600").spawn().unwrap()
}

#[test]
fn a_restart_stops_nothing_before_it_is_sure_that_it_can_start_again() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    let pids = |checkout: &Checkout| ["postgres", "redis", "backend"].map(|service| checkout.pid(service));
    let before = pids(&checkout);
    let settings = checkout.read(".env.docker");
    for broken in ["garbage\n".to_owned(), settings.replace("LOG_FORMAT=pretty", "LOG_FORMAT=ugly")] {
        checkout.write(".env.docker", &broken);
        checkout.xtask(&["restart"]).expect(3);
        checkout.write(".env.docker", &settings);
        assert_eq!(pids(&checkout), before);
    }
    let real = checkout.path("target/debug/real");
    std::fs::rename(checkout.path("target/debug/thunder"), &real).unwrap();
    checkout.write("target/debug/thunder", "");
    checkout.fake_backend(&format!(
        "[ \"$1\" = migrate ] && {{ echo 'thunder: migration 9_x failed and was rolled back' >&2; exit 1; }}\nexec {} \"$@\"\n",
        real.display()
    ));
    checkout.xtask(&["restart"]).expect(1).says(&["migration 9_x failed"]);
    assert_eq!(pids(&checkout), before);
    checkout.xtask(&["smoke"]).expect(0);
}

#[test]
fn giving_up_the_watcher_leaves_it_serving_where_the_backend_cannot_be_started_without() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    let backend = checkout.pid("backend");
    checkout.fake("cargo", "echo 'error: expected `;`' >&2\nexit 101\n");
    checkout.xtask(&["up", "--no-watch"]).expect(1).says(&["expected `;`"]);
    assert_eq!(checkout.pid("backend"), backend);
    let status = checkout.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!(of(&status, "backend")["watch"]["running"], true);
}

#[test]
fn status_tells_a_start_from_a_crash_and_why_the_last_start_failed() {
    let checkout = Checkout::new();
    checkout.fake("cargo", "while [ ! -e go ]; do sleep 0.05; done; echo 'error: no luck' >&2; exit 101\n");
    let up = checkout.start_until(&["up"], "✓ postgres");
    let status = checkout.xtask(&["status", "--json"]).expect(4).says(&["`up` has been starting the stack"]).json();
    assert_eq!((&status["state"], &status["task"]["task"]), (&"starting".into(), &"up".into()));
    let backend = of(&status, "backend");
    assert_eq!(backend["state"], "starting");
    assert!(backend["detail"].as_str().unwrap().starts_with("starting, by `up`, for "), "{backend:#}");
    checkout.write("go", "");
    up.end().expect(1);
    let ran = checkout.xtask(&["status"]).expect(0);
    assert!(ran.stdout.contains("is down") && ran.stdout.contains("the last start failed"), "{}", ran.stdout);
    assert!(ran.stdout.contains("cannot build the backend"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("ended by itself"), "{}", ran.stdout);
    checkout.fake("cargo", "exit 0\n");
    checkout.xtask(&["up"]).expect(0);
    assert_eq!(checkout.xtask(&["status", "--json"]).expect(0).json()["failure"], serde_json::Value::Null);
}

#[test]
fn down_of_a_service_takes_what_needs_it_along_and_leaves_the_rest() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    let postgres = checkout.pid("postgres");
    checkout.xtask(&["down", "redis"]).expect(0).says(&["redis stopped, with backend, which needs it"]);
    let status = checkout.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!(
        (&of(&status, "redis")["state"], &of(&status, "backend")["state"]),
        (&"stopped".into(), &"stopped".into())
    );
    assert_eq!(checkout.pid("postgres"), postgres);
    checkout.xtask(&["down", "redis"]).expect(0).says(&["redis was not running"]);
}

#[test]
fn a_server_that_never_answers_costs_little_more_than_the_time_that_it_was_given() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "postgres"]).expect(0);
    checkout.xtask(&["down"]).expect(0);
    // One that stops itself as soon as it is started: it neither answers nor ends.
    let real = checkout.xtask(&["doctor", "--json"]).expect(0).json();
    let found = real["checks"].as_array().unwrap().iter().find(|check| check["name"] == "PostgreSQL").unwrap();
    let folder = found["found"].as_str().unwrap().split_once("(in ").unwrap().1.trim_end_matches(')').to_owned();
    checkout.fake("initdb", &format!("exec {folder}/initdb \"$@\"\n"));
    checkout.fake(
        "postgres",
        &format!("[ \"$1\" = --version ] && exec {folder}/postgres --version\nkill -STOP $$\nexec sleep 600\n"),
    );
    let begun = Instant::now();
    checkout.xtask(&["up", "postgres", "--timeout", "2"]).expect(4).says(&["postgres was not ready within 2s"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    expect_stopped(&checkout);
}

#[test]
fn a_dry_run_of_a_restart_says_what_is_stopped_and_what_is_started_and_does_neither() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    let pid = checkout.pid("redis");
    let planned = checkout.xtask(&["restart", "redis", "--dry-run"]).expect(0).stdout;
    assert!(planned.contains(&format!("kill -TERM {pid}")) && planned.contains("redis.conf"), "{planned}");
    let planned = checkout.xtask(&["watch", "--dry-run"]).expect(0).stdout;
    assert!(planned.contains("until Ctrl-C"), "{planned}");
    assert!(planned.lines().all(|line| line.starts_with('#')), "everything runs: there is nothing to paste: {planned}");
    assert_eq!(checkout.pid("redis"), pid);
}

#[test]
fn a_failure_is_a_document_where_one_was_asked_for() {
    let checkout = Checkout::new();
    for task in [&["up", "--json"][..], &["smoke", "--json"], &["migrate", "status", "--json"]] {
        checkout.fake("cargo", "echo 'error: no luck' >&2; exit 101\n");
        let ran = checkout.xtask(task);
        let error = &ran.json()["error"];
        assert_eq!(error["exit_code"], ran.code, "{task:?}: {}", ran.stdout);
        assert!(!error["message"].as_str().unwrap().is_empty() && error["hints"].is_array(), "{error:#}");
    }
}
