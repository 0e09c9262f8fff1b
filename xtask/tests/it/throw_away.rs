//! `test`: servers of its own that are gone afterwards, whatever happens.

use crate::support::{Checkout, is_alive, until};

/// A cargo whose `test` does this; everything else succeeds.
fn cargo_test(checkout: &Checkout, script: &str) {
    checkout.fake("cargo", &format!("[ \"$1\" = nextest ] && exit 1\n[ \"$1\" = test ] || exit 0\n{script}\n"));
}

#[test]
fn the_tests_get_a_migrated_template_and_servers_of_their_own_and_nothing_stays() {
    let checkout = Checkout::new();
    // Asks the template itself, by way of the backend's binary, whether every migration is there.
    cargo_test(
        &checkout,
        // xtask's own tests need no servers.
        "[ -n \"$TEST_DATABASE_URL\" ] || exit 0\n\
         DATABASE_URL=\"${TEST_DATABASE_URL%/*}/$TEST_DATABASE_TEMPLATE\" REDIS_URL=$TEST_REDIS_URL \
         JWT_SECRET=0123456789abcdef0123456789abcdef JWT_REFRESH_SECRET=0123456789abcdef0123456789abcdeg \
         \"$TEST_BACKEND_BINARY\" migrate status && echo \"args: $*\"",
    );
    let ran = checkout.xtask(&["test", "--", "some_test", "--nocapture"]).expect(0);
    assert!(ran.stdout.contains("applied") && !ran.stdout.contains("pending"), "{}", ran.stdout);
    assert!(ran.stdout.contains("args: test --package backend some_test --nocapture"), "{}", ran.stdout);
    assert!(ran.stderr.contains("cargo-nextest is not installed"), "{}", ran.stderr);
    checkout.expect_nothing_left();
}

#[test]
fn the_tests_own_exit_code_is_ours() {
    let checkout = Checkout::new();
    cargo_test(&checkout, "exit 101");
    checkout.xtask(&["test"]).expect(101);
    checkout.expect_nothing_left();
}

#[test]
fn nextest_is_used_where_it_is_installed() {
    let checkout = Checkout::new();
    checkout.fake("cargo", "echo \"ran: $*\"\nexit 0\n");
    let ran = checkout.xtask(&["test", "--", "reports"]).expect(0);
    assert!(ran.stdout.contains("ran: nextest run --package backend reports"), "{}", ran.stdout);
}

#[test]
fn interrupted_tests_leave_no_process_and_no_folder() {
    let checkout = Checkout::new();
    cargo_test(&checkout, "echo testing >&2\nexec sleep 600");
    let test = checkout.start_until(&["test"], "testing");
    assert!(!checkout.inhabitants().is_empty());
    test.signal("INT");
    test.end().expect(130);
    checkout.expect_nothing_left();
}

#[test]
fn what_killed_tests_left_behind_is_ended_and_cleared_by_the_next_task() {
    let checkout = Checkout::new();
    for task in [&["test"][..], &["clean", "--yes"]] {
        // A test that has started a server of its own, which nobody is left to stop.
        cargo_test(&checkout, "echo testing >&2\nsleep 600 &\nwait");
        let test = checkout.start_until(&["test", "backend"], "testing");
        until("its server runs", || checkout.inhabitants().iter().any(|pid| is_sleep(*pid)));
        let left: Vec<u32> = checkout.inhabitants().into_iter().filter(|pid| *pid != test.child.id()).collect();
        test.signal("KILL");
        test.wait();
        cargo_test(&checkout, "exit 0");
        checkout.xtask(task).expect(0);
        until("everything is ended", || left.iter().all(|pid| !is_alive(*pid)));
        assert!(!checkout.exists(".stack"));
    }
}

fn is_sleep(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim() == "sleep"
}

#[test]
fn two_test_runs_at_once_do_not_meet() {
    let checkout = Checkout::new();
    cargo_test(&checkout, "echo testing >&2\nwhile [ ! -e go ]; do sleep 0.1; done");
    let first = checkout.start_until(&["test"], "testing");
    let second = checkout.start_until(&["test"], "testing");
    checkout.write("go", "");
    first.end().expect(0);
    second.end().expect(0);
    checkout.expect_nothing_left();
}

#[test]
fn one_package_is_tested_alone_and_a_name_that_only_one_knows_is_no_failure() {
    let checkout = Checkout::new();
    checkout.fake(
        "cargo",
        "[ \"$2\" = run ] && echo \"ran: $*\"\ncase \"$*\" in *'xtask reports') exit 4 ;; *) exit 0 ;; esac\n",
    );
    let tests = |args: &[&str], code: i32| -> Vec<String> {
        let ran = checkout.xtask(&[&["test"], args].concat()).expect(code);
        ran.stdout.lines().filter_map(|line| line.strip_prefix("ran: nextest run ").map(str::to_owned)).collect()
    };
    let (backend, xtask, edge) = ("--package backend", "--cargo-profile xtask --package xtask", "--package edge");
    assert_eq!(tests(&[], 0), [backend, xtask, edge]);
    assert_eq!(tests(&["backend"], 0), [backend]);
    assert_eq!(tests(&["xtask"], 0), [xtask]);
    assert_eq!(tests(&["--", "reports"], 0), [backend, xtask].map(|package| format!("{package} reports")));
    assert_eq!(tests(&["xtask", "--", "reports"], 4).len(), 1, "nobody knows that name");
    assert_eq!(tests(&["--", "--package", "other"], 0), ["--package other"]);
}
