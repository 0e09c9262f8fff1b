//! Ctrl-C, SIGTERM and SIGKILL at every stage, and two tasks at once.

use crate::support::{Checkout, signal, until};

#[test]
fn ctrl_c_while_the_backend_compiles_stops_in_order() {
    let checkout = Checkout::new();
    checkout.fake("cargo", "echo compiling; exec sleep 600\n");
    let up = checkout.start_until(&["up"], "✓ postgres");
    up.signal("INT");
    up.end().expect(130).says(&["ending what this task has begun", "stopped redis, postgres", "interrupted"]);
    assert!(checkout.inhabitants().is_empty());
    assert_eq!(checkout.xtask(&["status", "--json"]).expect(0).json()["state"], "down");
}

#[test]
fn ctrl_c_while_waiting_for_health_stops_in_order() {
    let checkout = Checkout::new();
    checkout.fake_backend("[ \"$1\" = serve ] || exit 0\nexec sleep 600\n");
    let up = checkout.start_until(&["up"], "is healthy");
    up.signal("INT");
    up.end().expect(130).says(&["stopped backend, redis, postgres"]);
    assert!(checkout.inhabitants().is_empty());
}

#[test]
fn ctrl_c_while_the_data_folder_is_made_leaves_none() {
    let checkout = Checkout::new();
    let up = checkout.start_until(&["up"], "create the data folder");
    up.signal("INT");
    up.end().expect(130);
    until("nothing works in the checkout", || checkout.inhabitants().is_empty());
    assert!(!checkout.exists(".stack/postgres/data"));
    checkout.xtask(&["up"]).expect(0);
}

#[test]
fn sigterm_is_told_from_ctrl_c_by_the_exit_code() {
    let checkout = Checkout::new();
    checkout.fake("cargo", "exec sleep 600\n");
    let up = checkout.start_until(&["up"], "✓ redis");
    up.signal("TERM");
    up.end().expect(143);
    assert!(checkout.inhabitants().is_empty());
}

#[test]
fn ctrl_c_in_the_last_moment_does_not_end_with_0() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "redis"]).expect(0);
    let redis = checkout.pid("redis");
    signal(redis, "STOP");
    let mut down = checkout.start_until(&["down"], "stop redis");
    down.signal("INT");
    down.hear("Ctrl-C again leaves at once");
    signal(redis, "CONT");
    down.end().expect(130).says(&["the stack is down", "interrupted too late: everything was done by then"]);
    assert!(checkout.inhabitants().is_empty());
}

/// Whether the process runs that program, or a script of that name.
fn runs(pid: u32, program: &str) -> bool {
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split('\0').any(|word| word.rsplit('/').next() == Some(program))
}

#[test]
fn the_second_ctrl_c_leaves_at_once_and_the_next_task_puts_it_in_order() {
    let checkout = Checkout::new();
    // A build that does not listen to SIGINT keeps the orderly end waiting.
    checkout.fake("cargo", "trap '' INT TERM\nwhile [ -e bin/cargo ]; do sleep 0.1; done\n");
    let mut up = checkout.start_until(&["up"], "✓ postgres");
    up.signal("INT");
    up.hear("Ctrl-C again leaves at once");
    up.signal("INT");
    up.end().expect(130);
    until("the build is ended as well", || !checkout.inhabitants().iter().any(|pid| runs(*pid, "cargo")));
    checkout.fake("cargo", "exit 0\n");
    checkout.xtask(&["up"]).expect(0);
    checkout.xtask(&["clean", "--yes"]).expect(0);
}

#[test]
fn a_killed_up_is_finished_by_the_next_one_at_whatever_stage_it_was() {
    // Each word stands for a stage; the run is killed as soon as it is reached.
    for stage in [
        "✓ stack",
        "create the data folder",
        "create the role",
        "start PostgreSQL",
        "✓ postgres",
        "apply migrations",
        "start the backend",
    ] {
        let checkout = Checkout::new();
        let up = checkout.start_until(&["up"], stage);
        up.signal("KILL");
        up.end().expect(137);
        let ran = checkout.xtask(&["up"]);
        assert_eq!(ran.code, 0, "after a kill at {stage:?}: {}", ran.stderr);
        checkout.xtask(&["smoke"]).expect(0);
        checkout.xtask(&["clean", "--yes"]).expect(0);
        checkout.expect_nothing_left();
    }
}

#[test]
fn a_killed_up_is_taken_down_and_cleaned_without_an_up_between() {
    for task in [&["down"][..], &["clean", "--yes"]] {
        let checkout = Checkout::new();
        checkout.fake("cargo", "exec sleep 600\n");
        let up = checkout.start_until(&["up"], "✓ postgres");
        up.signal("KILL");
        up.wait();
        checkout.xtask(task).expect(0);
        // The build that the killed task had begun goes on; nobody but it may be there.
        until("the servers are gone", || checkout.inhabitants().iter().all(|pid| is_sleep(*pid)));
        for pid in checkout.inhabitants() {
            signal(pid, "KILL");
        }
    }
}

#[test]
fn a_killed_clean_leaves_no_half_of_the_data() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "postgres"]).expect(0);
    checkout.xtask(&["down"]).expect(0);
    for number in 0..20_000 {
        checkout.write(&format!(".stack/postgres/data/base/many/{number}"), "");
    }
    let clean = checkout.start_until(&["clean", "--yes"], "postgres.removed");
    clean.signal("KILL");
    clean.end().expect(137);
    assert!(!checkout.exists(".stack/postgres/data"), "what is being removed is not in its place any more");
    checkout.xtask(&["up", "postgres"]).expect(0);
    assert!(!checkout.exists(".stack/postgres.removed"), "the removal was finished");
}

#[test]
fn a_killed_server_that_nobody_asked_after_is_no_server() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "postgres"]).expect(0);
    checkout.xtask(&["down"]).expect(0);
    // A child that has ended and that we do not wait for yet: its number stays taken.
    let mut child = checkout.command(&["--version"]).spawn().expect("xtask runs");
    until("the child has ended", || !crate::support::is_alive(child.id()));
    checkout.write(".stack/postgres/data/postmaster.pid", &format!("{}\n/data\n1\n", child.id()));
    checkout.xtask(&["up", "postgres"]).expect(0);
    child.wait().expect("it has ended");
}

fn is_sleep(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim() == "sleep"
}

#[test]
fn a_second_up_waits_for_the_first_and_finds_its_stack() {
    let checkout = Checkout::new();
    checkout.fake("cargo", "while [ ! -e go ]; do sleep 0.1; done\n");
    let first = checkout.start_until(&["up"], "✓ redis");
    let second = checkout.start_until(&["up"], "waiting for `up` (process ");
    assert!(second.said.contains("changing this stack"), "{}", second.said);
    checkout.write("go", "");
    first.end().expect(0);
    second.end().expect(0).says(&["everything is running already"]);
}

#[test]
fn a_task_that_does_not_want_to_wait_names_who_is_in_the_way() {
    let checkout = Checkout::new();
    checkout.fake("cargo", "while [ ! -e go ]; do sleep 0.1; done\n");
    let first = checkout.start_until(&["up"], "✓ redis");
    for task in ["down", "up", "restart"] {
        checkout.xtask(&[task, "--lock-timeout", "0"]).expect(6).says(&["`up` (process ", "--lock-timeout"]);
    }
    checkout.xtask(&["clean", "--yes", "--lock-timeout", "0"]).expect(6);
    checkout.write("go", "");
    first.end().expect(0);
}
