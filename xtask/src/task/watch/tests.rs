//! `watch`: what it brings up, what it shows, and what Ctrl-C leaves.

use crate::failure::Exit;
use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::runner::says;
use crate::stack::service::Service::{self, Backend, Postgres, Redis};

/// A stack of which these run, and a Ctrl-C while the backend's log is followed.
fn interrupted(running: &[&str]) -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    if !running.is_empty() {
        fixture.xtask(&[&["up"], running].concat()).expect(0);
    }
    let interrupt = fixture.context.interrupt.clone();
    let line = "backend-1  | 2999-01-01T00:00:00Z listening\n";
    fixture.runner.on("compose logs --tail 65535", says(""));
    fixture.runner.on_and("compose logs --follow", says(line), move || interrupt.request(Exit::Interrupted));
    (fixture, daemon)
}

#[test]
fn ctrl_c_stops_exactly_what_it_had_started() {
    for (running, left) in [
        (["postgres"].as_slice(), [Postgres].as_slice()),
        (&["redis"], &[Redis]),
        (&["postgres", "redis"], &[Postgres, Redis]),
        (&[], &[]),
    ] {
        let (mut fixture, daemon) = interrupted(running);
        let ran = fixture.xtask(&["watch"]).expect(130);
        ran.says(&["watching; Ctrl-C stops what this has started", "their data is kept", "listening"]);
        assert_eq!(daemon.running(), left, "{running:?}");
        assert_eq!(fixture.state().wanted, left, "{running:?}");
    }
}

#[test]
fn a_stack_that_ran_before_goes_on_after_ctrl_c() {
    let (mut fixture, daemon) = interrupted(&["postgres", "redis", "backend"]);
    let ran = fixture.xtask(&["watch"]).expect(130);
    ran.says(&["watching; Ctrl-C leaves the stack running, as it was"]).keeps_silent_about(&["stopped", "error:"]);
    assert_eq!(daemon.running(), Service::USUAL);
    assert_eq!(fixture.state().wanted, Service::USUAL);
}

#[test]
fn a_watcher_that_ends_by_itself_is_unhealthy() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["watch"]).expect(4).says(&["the watcher has ended", "cargo xtask status"]);
    assert_eq!(daemon.running(), Service::USUAL, "nobody asked for an end");
}

#[test]
fn a_backend_without_a_watcher_gets_one() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "--no-watch"]).expect(0);
    fixture.xtask(&["watch", "--poll"]).expect(4);
    assert!(fixture.runner.was_asked("WATCH_POLL=true compose --detach -- backend"));
    assert!(fixture.state().watch && fixture.state().polls);
    assert!(daemon.running().contains(&Backend));
}

#[test]
fn a_dry_run_says_what_it_would_show_afterwards() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    let ran = fixture.xtask(&["watch", "--dry-run"]).expect(0);
    let end = "# then show the builds and what the backend says, until Ctrl-C\n";
    assert!(ran.stdout.ends_with(end) && ran.stdout.contains("# 6. backend, after"), "{}", ran.stdout);
}
