//! The watcher and its servers as processes: killed, crashing, missing, in the foreground.

use std::fs;

use serde_json::Value;

use super::{ANOTHER, BROKEN, checkout, expect_no_failure, up};
use crate::load::Load;
use crate::support::{is_alive, of, signal, until};

#[test]
fn with_its_watcher_killed_the_backend_serves_and_up_brings_both_in_order() {
    let checkout = up();
    checkout.edit(ANOTHER, "reloaded ");
    let (watcher, backend) = (checkout.watcher(), checkout.pid("backend"));
    signal(watcher, "KILL");
    until("it is gone", || !is_alive(watcher));
    checkout.xtask(&["smoke"]).expect(0);
    let ran = checkout.xtask(&["status", "--json"]).expect(4).says(&["its watcher is gone", "cargo xtask up"]);
    assert_eq!(of(&ran.json(), "backend")["health"], "healthy");

    let port = checkout.port();
    checkout.xtask(&["up"]).expect(0);
    assert_eq!(checkout.port(), port, "its own port is not taken by somebody else");
    assert_ne!(checkout.watcher(), watcher);
    until("the old one has ended", || !is_alive(backend));
    checkout.edit(ANOTHER, "reloaded ");
    checkout.xtask(&["status"]).expect(0);

    signal(checkout.watcher(), "KILL");
    checkout.xtask(&["down"]).expect(0);
    assert_eq!(checkout.inhabitants(), Vec::<u32>::new());
}

#[test]
fn a_watcher_that_is_killed_while_a_server_starts_leaves_none_that_nobody_knows() {
    let checkout = up();
    let slow = "printf '#!/bin/sh\\n[ $1 = serve ] && exec sleep 600\\nexit 0\\n' > target/debug/new; \
                chmod +x target/debug/new; mv target/debug/new target/debug/thunder\n";
    checkout.write("backend/src/build.sh", slow);
    until("the new one starts", || of(&checkout.status(), "backend")["watch"]["phase"] == "starting");
    let inhabitants = checkout.inhabitants().len();
    signal(checkout.watcher(), "KILL");
    until("it is gone", || checkout.inhabitants().len() < inhabitants);
    checkout.xtask(&["down"]).expect(0);
    assert_eq!(checkout.inhabitants(), Vec::<u32>::new());
}

#[test]
fn a_backend_that_crashes_is_started_again_after_longer_and_longer_pauses() {
    let checkout = up();
    for (times, pause) in
        ["in 500ms", "2 times in a row; starting it again in 1s", "3 times in a row; starting it again in 2s"]
            .into_iter()
            .enumerate()
    {
        let killed = checkout.pid("backend");
        signal(killed, "KILL");
        checkout.hear(pause, 1);
        assert!(checkout.log().contains("the backend ended with signal SIGKILL"), "{}", checkout.log());
        if times == 2 {
            let ran = checkout.xtask(&["status", "--json"]).expect(4);
            let backend = of(&ran.json(), "backend").clone();
            assert_eq!(backend["detail"], "the backend ended with signal SIGKILL, 3 times in a row", "{backend:#}");
        }
        until("it serves again", || checkout.xtask(&["status"]).code == 0);
        assert_ne!(checkout.pid("backend"), killed);
    }
}

#[test]
fn a_connection_that_is_made_while_nothing_serves_waits() {
    let checkout = up();
    let load = Load::on(checkout.port());
    until("it is answered", || load.answers() > 10);
    expect_no_failure(load);
    signal(checkout.pid("backend"), "KILL");
    checkout.hear("starting it again", 1);
    let load = Load::on(checkout.port());
    until("it is answered", || load.answers() > 10);
    expect_no_failure(load);
}

#[test]
fn without_a_watcher_it_is_a_plain_process_and_each_can_follow_the_other() {
    let checkout = checkout();
    checkout.xtask(&["up", "--no-watch"]).expect(0);
    assert!(!checkout.exists(".stack/run/watcher.json"));
    assert_eq!(of(&checkout.status(), "backend")["watch"], Value::Null);
    let plain = checkout.pid("backend");
    checkout.xtask(&["up"]).expect(0).says(&["everything is running already"]);
    assert_eq!(checkout.pid("backend"), plain, "what runs stays as it is");

    let watch = checkout.start_until(&["watch"], "Ctrl-C leaves the stack running");
    assert_ne!(checkout.pid("backend"), plain);
    checkout.edit(ANOTHER, "reloaded ");
    watch.signal("INT");
    let said = watch.end().expect(130).stderr;
    assert!(
        said.trim_end().ends_with("Ctrl-C leaves the stack running, as it was"),
        "it leaves without a word: {said}"
    );
    assert_eq!(of(&checkout.status(), "backend")["watch"]["running"], true);

    checkout.xtask(&["up", "--no-watch"]).expect(0);
    assert_eq!(of(&checkout.status(), "backend")["watch"], Value::Null);
    checkout.xtask(&["smoke"]).expect(0);
}

#[test]
fn in_the_foreground_builds_and_the_backend_are_shown_and_ctrl_c_stops_what_was_started() {
    let checkout = checkout();
    checkout.xtask(&["up", "postgres"]).expect(0);
    let watch = checkout.start_until(&["watch"], "Ctrl-C stops what this has started");
    checkout.edit(BROKEN, "keeps serving");
    checkout.edit(ANOTHER, "reloaded ");
    watch.signal("INT");
    let ran = watch.end().expect(130).says(&["stopped redis, backend"]);
    for words in ["WATCH serving", "error[E0425]: not found: it_is", "WATCH reloaded ", "listening address="] {
        assert!(ran.stdout.contains(words), "{words:?} is not in\n{}", ran.stdout);
    }
    let status = checkout.xtask(&["status", "--json"]).expect(0).json();
    assert_eq!(of(&status, "postgres")["state"], "running");
    assert_eq!(of(&status, "backend")["state"], "stopped");
    checkout.xtask(&["clean", "--yes"]).expect(0);
    checkout.expect_nothing_left();
}

#[test]
fn after_a_watcher_was_killed_the_next_one_takes_over_without_a_gap() {
    // Where the system keeps processes from each other, the next watcher has to wait for the address.
    let is_closed = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() != "0");
    if is_closed && !is_root() {
        return;
    }
    let checkout = up();
    let load = Load::on(checkout.port());
    for _ in 0..5 {
        let (watcher, server) = (checkout.watcher(), checkout.pid("backend"));
        signal(watcher, "KILL");
        until("the watcher is gone", || !is_alive(watcher));
        checkout.xtask(&["up"]).expect(0);
        until("the older server has ended", || !is_alive(server));
        let answers = load.answers();
        until("the next one answers", || load.answers() > answers);
    }
    expect_no_failure(load);
    assert_eq!(checkout.said("taking over from a server whose watcher is gone"), 0);
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("Uid:\t0\t"))
}
