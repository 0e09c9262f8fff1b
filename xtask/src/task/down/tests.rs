//! `down`, from what is typed to what is printed and what runs afterwards.

use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::runner::fails;
use crate::stack::service::Service::{self, Backend, Postgres, Redis};
use crate::stack::state::{EngineKind, State};

fn up() -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    (fixture, daemon)
}

#[test]
fn a_service_takes_along_what_needs_it_and_nothing_else() {
    type Case = (&'static [&'static str], &'static [Service], &'static str);
    let cases: [Case; 5] = [
        (&["down"], &[], "the stack is down; its data is kept"),
        (&["down", "backend"], &[Postgres, Redis], "backend stopped; the data is kept"),
        (&["down", "redis"], &[Postgres], "redis stopped, with backend, which needs it; the data is kept"),
        (&["down", "postgres", "backend"], &[Redis], "postgres, backend stopped; the data is kept"),
        (
            &["down", "postgres", "redis"],
            &[],
            "postgres, redis stopped, with backend, which needs it; the data is kept",
        ),
    ];
    for (words, left, said) in cases {
        let (mut fixture, daemon) = up();
        let volumes = daemon.model().volumes.clone();
        let ran = fixture.xtask(words).expect(0);
        assert!(ran.stderr.lines().any(|line| line == said), "{ran:?}");
        assert_eq!(daemon.running(), left, "{words:?}");
        assert_eq!(fixture.state().wanted, left, "{words:?}");
        assert_eq!(daemon.model().volumes, volumes, "{words:?}: data is kept");
        fixture.xtask(&["status"]).expect(0);
    }
}

#[test]
fn what_does_not_run_is_told_and_is_no_failure() {
    let (mut fixture, daemon) = Fixture::with_docker();
    let ran = fixture.xtask(&["down"]).expect(0);
    assert_eq!(ran.stderr, "the stack was not running\n");
    assert!(!fixture.has(".stack"), "nothing is made in a checkout that never had a stack");
    fixture.xtask(&["up", "postgres"]).expect(0);
    assert_eq!(fixture.xtask(&["down", "redis"]).expect(0).stderr, "redis was not running\n");
    assert_eq!(daemon.running(), [Postgres]);
    fixture.xtask(&["down"]).expect(0);
    assert_eq!(fixture.xtask(&["down"]).expect(0).stderr, "the stack was not running\n");
}

#[test]
fn a_dry_run_prints_the_command_and_stops_nothing() {
    let (mut fixture, daemon) = up();
    let ran = fixture.xtask(&["down", "--dry-run"]).expect(0);
    assert!(ran.stdout.starts_with("# containers\n") && ran.stdout.ends_with(" down --remove-orphans\n"), "{ran:?}");
    let ran = fixture.xtask(&["down", "redis", "--dry-run"]).expect(0);
    assert!(ran.stdout.ends_with(" rm --stop --force -- redis backend\n"), "{ran:?}");
    assert_eq!(daemon.running(), Service::USUAL);
    assert_eq!(fixture.state().wanted, Service::USUAL);
}

#[test]
fn a_dry_run_on_this_machine_prints_each_signal_in_the_order_of_need() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.xtask(&["up", "--no-watch", "--timeout", "600"]);
    fixture.is(Postgres);
    fixture.is(Redis);
    let ran = fixture.xtask(&["down", "--dry-run"]).expect(0);
    let pid = std::process::id().to_string();
    let expected = "# 1. redis\nkill -TERM PID  # SIGTERM, 20s, then SIGKILL, 5s\n\
                    # 2. postgres\nkill -INT PID  # SIGINT, 20s, then SIGQUIT, 5s, then SIGKILL, 5s\n";
    assert_eq!(ran.stdout.replace(&pid, "PID"), expected);
}

#[test]
fn a_daemon_that_does_not_answer_is_an_error_and_never_nothing_there() {
    let (mut fixture, daemon) = up();
    Daemon::fall_silent(&fixture);
    for words in [["down"].as_slice(), &["down", "redis"], &["status"], &["logs"], &["restart"], &["clean", "--yes"]] {
        let ran = fixture.xtask(words);
        assert_ne!(ran.code, 0, "{words:?}");
        ran.keeps_silent_about(&["was not running", "is down", "nothing to remove", "removed;"]);
        assert_eq!(fixture.state().wanted, Service::USUAL, "{words:?}");
    }
    assert_eq!(daemon.running(), Service::USUAL);
}

#[test]
fn a_stop_that_fails_is_a_failure_and_the_services_are_still_wanted() {
    let (mut fixture, _daemon) = up();
    fixture.runner.on("compose .env.docker --remove-orphans", fails(1, "the daemon is busy"));
    fixture.xtask(&["down"]).expect(1).says(&["cannot stop the containers", "the daemon is busy"]);
    assert_eq!(fixture.state().wanted, Service::USUAL);
}

#[test]
fn settings_that_are_broken_do_not_keep_containers_from_being_stopped() {
    let (mut fixture, daemon) = up();
    fixture.set("REDIS_PORT", "none");
    fixture.xtask(&["down"]).expect(0).says(&["the stack is down; its data is kept"]);
    assert!(daemon.running().is_empty());
    assert!(fixture.runner.was_asked("docker stop --time 30 -postgres-1"));
    assert!(!fixture.runner.was_asked("docker compose --project-name"), "compose does nothing without its settings");
}

#[test]
fn containers_whose_state_was_lost_are_found_and_stopped() {
    let (mut fixture, daemon) = up();
    std::fs::remove_dir_all(fixture.root().join(".stack")).unwrap();
    let ran = fixture.xtask(&["down"]).expect(0);
    ran.says(&["the stack's state is lost; what there is of it was found on the docker engine", "the stack is down"]);
    assert!(daemon.running().is_empty());
}

#[test]
fn a_state_that_cannot_be_read_is_set_aside_and_costs_nothing() {
    let (mut fixture, daemon) = up();
    for path in [fixture.stack().state(), fixture.stack().state_copy()] {
        std::fs::write(path, "{").unwrap();
    }
    let port = fixture.port(Backend);
    fixture.xtask(&["status"]).expect(1).says(&["cannot be understood", "cargo xtask up, which sets the file aside"]);
    let ran = fixture.xtask(&["up"]).expect(0);
    ran.says(&["it is now ROOT/.stack/stack.json.unreadable", "found on the docker engine", "everything is running"]);
    assert_eq!(fixture.state().engine, EngineKind::Docker);
    assert_eq!(fixture.state().ports.of(Backend), port, "as the container has it");
    assert_eq!(daemon.running(), Service::USUAL);
}

#[test]
fn data_on_this_machine_whose_state_was_lost_is_found() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.write(".stack/postgres/data/PG_VERSION", "15\n");
    let ran = fixture.xtask(&["down"]).expect(0);
    ran.says(&["what there is of it was found on the host engine", "the stack was not running"]);
    let state = State::load(&fixture.stack()).unwrap().unwrap();
    assert_eq!((state.engine, state.wanted), (EngineKind::Host, Vec::new()));
}
