//! `restart`: what is stopped and started again, and what has to be sure before anything is stopped.

use crate::failure::Exit;
use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::runner::fails;
use crate::stack::service::Service::{self, Backend, Redis};

fn up() -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    (fixture, daemon)
}

/// The commands that stop or start containers, without what all of compose's begin with.
fn moves(fixture: &Fixture) -> Vec<String> {
    let asked = fixture.runner.asked();
    let ends = asked.iter().filter_map(|command| command.split_once("/.env.docker ").map(|(_, end)| end.to_owned()));
    ends.filter(|end| ["up ", "rm ", "down ", "stop "].iter().any(|word| end.starts_with(word))).collect()
}

#[test]
fn everything_that_runs_is_stopped_and_started_again() {
    let (mut fixture, daemon) = up();
    fixture.xtask(&["restart"]).expect(0).says(&["Product is up (docker engine)"]);
    let quietly = "up --detach --no-build --no-deps --quiet-pull --";
    assert_eq!(
        moves(&fixture),
        ["down --remove-orphans".to_owned(), format!("{quietly} postgres redis"), format!("{quietly} backend")]
    );
    assert_eq!(daemon.running(), Service::USUAL);
}

#[test]
fn one_service_is_restarted_alone() {
    let (mut fixture, _daemon) = up();
    fixture.xtask(&["restart", "redis"]).expect(0);
    assert_eq!(
        moves(&fixture),
        ["rm --stop --force -- redis", "up --detach --no-build --no-deps --quiet-pull -- redis"]
    );
}

#[test]
fn what_would_not_start_again_is_not_stopped() {
    let cases = [
        ("compose exec cargo build", fails(101, "error: expected `;`"), 1, "cannot build the backend"),
        ("compose run config --check", fails(3, "JWT_SECRET is too short"), 3, "cannot check the settings"),
        ("compose exec migrate run", fails(5, "migration 1 differs"), 5, "cannot apply migrations"),
    ];
    for (words, output, code, said) in cases {
        let (mut fixture, daemon) = up();
        let told = output.stderr.clone();
        fixture.runner.on(words, output);
        fixture.xtask(&["restart"]).expect(code).says(&[said, &told]);
        assert_eq!(moves(&fixture), Vec::<String>::new(), "{words}");
        assert_eq!(daemon.running(), Service::USUAL, "{words}");
    }
}

#[test]
fn wrong_settings_stop_nothing() {
    let (mut fixture, daemon) = up();
    fixture.set("BACKEND_PORT", "70000");
    fixture.xtask(&["restart"]).expect(3).says(&["BACKEND_PORT must be a whole number from 1 to 65535"]);
    assert_eq!(fixture.runner.changes(), Vec::<String>::new());
    assert_eq!(daemon.running(), Service::USUAL);
}

#[test]
fn settings_are_checked_and_the_backend_is_built_also_where_only_it_is_restarted() {
    let (mut fixture, _daemon) = up();
    fixture.xtask(&["restart", "backend"]).expect(0);
    let asked = fixture.runner.asked();
    let place =
        |word: &str| asked.iter().position(|command| command.contains(word)).unwrap_or_else(|| panic!("{word}"));
    let order = ["backend cargo build --locked", "config --check", "migrate run", "rm --stop --force -- backend"];
    assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{asked:#?}");
}

#[test]
fn another_password_brings_along_what_has_it() {
    let (mut fixture, daemon) = up();
    fixture.set("REDIS_PASSWORD", "hunter-another");
    fixture.xtask(&["restart", "backend"]).expect(0);
    assert_eq!(moves(&fixture)[0], "rm --stop --force -- backend redis");
    assert_eq!(daemon.running(), Service::USUAL);

    // Nobody gets into a database that still has the old one.
    let (mut fixture, _daemon) = up();
    fixture.set("POSTGRES_PASSWORD", "hunter-another");
    fixture.xtask(&["restart"]).expect(0);
    assert!(!fixture.runner.was_asked("compose exec migrate run"));
}

#[test]
fn a_service_that_does_not_run_is_started_with_what_it_needs() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "redis"]).expect(0);
    fixture.xtask(&["restart", "backend"]).expect(0);
    assert_eq!(daemon.running(), Service::USUAL);
    assert!(!moves(&fixture).iter().any(|one| one.contains("rm ") && one.contains("redis")), "it ran, and goes on");
}

#[test]
fn nothing_that_runs_is_nothing_to_restart() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["restart"]).expect(4).says(&["the stack is not running", "cargo xtask up"]);
    assert!(!fixture.has(".stack"));
}

#[test]
fn a_dry_run_prints_the_check_the_stop_and_the_start_in_that_order() {
    let (mut fixture, daemon) = up();
    let ran = fixture.xtask(&["restart", "--dry-run"]).expect(0);
    let place = |word: &str| ran.stdout.find(word).unwrap_or_else(|| panic!("{word}: {}", ran.stdout));
    let order = ["config --check", "down --remove-orphans", "-- postgres redis", "-- backend"];
    assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{}", ran.stdout);
    assert_eq!(daemon.running(), Service::USUAL);
}

#[test]
fn a_restart_of_a_service_that_stays_away_is_unhealthy() {
    let (mut fixture, daemon) = up();
    daemon.model().mute.push(Redis);
    fixture.xtask(&["restart", "redis", "--timeout", "0"]).expect(4).says(&["redis was not ready within 0s"]);
    assert!(!daemon.running().contains(&Redis) && daemon.running().contains(&Backend));
}

#[test]
fn a_restart_that_is_interrupted_says_what_is_left_and_what_to_type() {
    let (mut fixture, _daemon) = up();
    let interrupt = fixture.context.interrupt.clone();
    fixture.runner.before("down --remove-orphans", move || interrupt.request(Exit::Interrupted));
    fixture.xtask(&["restart"]).expect(130).says(&["what was stopped is not started again", "next: cargo xtask up"]);
}
