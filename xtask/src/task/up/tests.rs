//! `up`, from what is typed to what is printed.

use std::time::Duration;

use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::fixture::host::PASSWORDS;
use crate::interrupt::CancelToken;
use crate::lock::Lock;
use crate::product::{POSTGRES_IMAGE, REDIS_IMAGE};
use crate::runner::fails;
use crate::stack::service::Service;
use crate::stack::state::EngineKind;

/// The text with what every command of compose begins with, and every setting of the backend, cut short.
fn shortened(text: &str) -> String {
    let cut = |line: &str, from: &str, to: &str, short: &str| match (line.find(from), line.find(to)) {
        (Some(start), Some(end)) if start < end => {
            format!("{}{short}{}", &line[..start], &line[end + to.len()..])
        }
        _ => line.to_owned(),
    };
    let line = |line: &str| {
        let line = cut(line, "cd ROOT && COMPOSE_PROFILES", "--env-file ROOT/.env.docker", "COMPOSE");
        cut(&line, "env -i PATH=\"$PATH\" DATABASE_URL=***", " BINARY", "BACKEND")
    };
    // Which of them there are depends on who runs the tests.
    let lines = text.lines().filter(|line| !line.contains(" chown --recursive "));
    lines.map(|one| line(one) + "\n").collect()
}

#[test]
fn a_dry_run_prints_every_command_of_a_start_in_containers_and_does_nothing() {
    let (mut fixture, daemon) = Fixture::with_docker();
    let ran = fixture.xtask(&["up", "--dry-run"]).expect(0).says(&["engine: docker (--engine host runs without it)"]);
    assert_eq!(shortened(&ran.stdout), include_str!("docker.txt"));
    assert!(!fixture.has(".stack") && daemon.running().is_empty());
}

#[test]
fn a_dry_run_prints_every_command_of_a_start_on_this_machine_and_does_nothing() {
    let (mut fixture, _servers) = Fixture::with_servers();
    let ran = fixture.xtask(&["up", "--dry-run"]).expect(0).says(&["engine: host (Docker is not installed)"]);
    assert_eq!(shortened(&ran.stdout), include_str!("host.txt"));
    assert!(!fixture.has(".stack"));
    ran.keeps_silent_about(&PASSWORDS);
}

#[test]
fn without_the_watcher_the_backend_itself_is_started() {
    let (mut fixture, _servers) = Fixture::with_servers();
    let ran = fixture.xtask(&["up", "--no-watch", "--dry-run"]).expect(0).keeps_silent_about(&["watch-backend"]);
    ran.says(&["RUST_BACKTRACE=1 BINARY serve >>ROOT/.stack/logs/backend.log 2>&1 &"]);
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "--no-watch", "--dry-run"]).expect(0).says(&["BACKEND_COMMAND='cargo run --quiet"]);
}

#[test]
fn a_dry_run_in_a_fresh_clone_writes_no_settings() {
    let mut fixture = Fixture::new(&["docker"]);
    let _daemon = Daemon::new(&fixture);
    let ran = fixture.xtask(&["up", "--dry-run"]).expect(0);
    ran.says(&["first run: .env.docker gets secrets of its own", "# write ROOT/.env.docker", "mode 600"]);
    assert!(!fixture.has(".env.docker") && !fixture.has(".stack"));
}

#[test]
fn images_that_are_not_there_are_fetched_before_anything_starts() {
    let (mut fixture, daemon) = Fixture::with_docker();
    daemon.model().images.clear();
    let ran = fixture.xtask(&["up", "redis", "--dry-run"]).expect(0);
    assert!(ran.stdout.starts_with("# first, and where one cannot be had, with processes of this machine instead:\n"));
    let ran = fixture.xtask(&["up", "redis", "postgres"]).expect(0);
    for image in [POSTGRES_IMAGE, REDIS_IMAGE] {
        assert!(fixture.runner.was_asked(&format!("docker pull --quiet {image}")), "{image}: {ran:?}");
    }
    assert_eq!(daemon.running(), [Service::Postgres, Service::Redis]);
}

#[test]
fn images_that_cannot_be_had_lead_to_processes_of_this_machine_with_the_reason() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.runner.also_has("docker");
    let daemon = Daemon::new(&fixture);
    daemon.model().images.clear();
    fixture.runner.on("docker pull", fails(1, "no route to host"));
    let ran = fixture.xtask(&["up", "redis"]).expect(4);
    ran.says(&["engine: host (cannot fetch the image redis:7-bookworm: docker failed with exit code 1)"]);
    assert_eq!(fixture.state().engine, EngineKind::Host);
}

#[test]
fn a_stack_from_nothing_is_up_with_its_addresses_and_what_to_do_next() {
    let (mut fixture, daemon) = Fixture::with_docker();
    let ran = fixture.xtask(&["up"]).expect(0).says(&[
        "Product is up (docker engine)",
        "postgres  healthy  127.0.0.1:5432",
        "redis     healthy  127.0.0.1:6379",
        "backend   healthy  http://127.0.0.1:3000",
        "Product 0.1.0 (commit 0123456789ab)",
        "cargo xtask shell postgres",
        "cargo xtask smoke",
        "cargo xtask down",
        "ready after",
    ]);
    assert_eq!(daemon.running(), Service::USUAL);
    assert_eq!(fixture.state().wanted, Service::USUAL);
    ran.keeps_silent_about(&PASSWORDS);
    for command in fixture.runner.asked() {
        assert!(!PASSWORDS.iter().any(|password| command.contains(password)), "{command}");
    }
}

#[test]
fn a_second_up_reports_what_runs_and_changes_nothing() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    fixture.xtask(&["up"]).expect(0).says(&["everything is running already", "Product is up (docker engine)"]);
    assert_eq!(fixture.runner.changes(), Vec::<String>::new());
}

#[test]
fn as_json_there_is_one_document_on_stdout() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    let status = fixture.xtask(&["up", "--json"]).expect(0).json();
    assert_eq!(status["schema_version"], 1);
    assert_eq!((&status["state"], &status["engine"]), (&"up".into(), &"docker".into()));
    assert_eq!(status["url"], "http://127.0.0.1:3000");
}

#[test]
fn servers_alone_come_with_what_a_backend_of_ones_own_needs() {
    let (mut fixture, daemon) = Fixture::with_docker();
    let ran = fixture.xtask(&["up", "postgres", "redis"]).expect(0);
    ran.says(&["cargo xtask env show --reveal", "backend   stopped"])
        .keeps_silent_about(&["cargo xtask smoke", "Edit:"]);
    assert_eq!(daemon.running(), [Service::Postgres, Service::Redis]);
    fixture.xtask(&["up", "backend"]).expect(0);
    assert_eq!(fixture.state().wanted, Service::USUAL, "what was wanted before still is");
}

#[test]
fn the_image_that_ships_runs_in_docker_only() {
    let (mut fixture, _servers) = Fixture::with_servers();
    let ran = fixture.xtask(&["up", "--production"]).expect(3);
    ran.says(&["Docker is not installed"]).keeps_silent_about(&["--engine host, which"]);
    let ran = fixture.xtask(&["up", "--production", "--engine", "host"]).expect(3);
    ran.says(&["the image that ships runs in Docker only", "cargo xtask doctor"]);
    assert_eq!(fixture.runner.changes(), Vec::<String>::new());
}

#[test]
fn a_docker_that_is_asked_for_and_does_not_answer_is_missing() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    Daemon::fall_silent(&fixture);
    let ran = fixture.xtask(&["up", "--engine", "docker"]).expect(3);
    ran.says(&["no Docker daemon answers", "--engine host, which needs no Docker"]);
    assert_eq!(fixture.runner.changes(), Vec::<String>::new());
}

#[test]
fn a_stack_that_somebody_else_changes_is_locked() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    let path = fixture.stack().lock();
    let never = CancelToken::never();
    let lock = Lock::take(&path, "watch", Duration::ZERO, &never, &fixture.context.terminal).unwrap();
    for words in [["up"].as_slice(), &["down"], &["restart"], &["clean", "--yes"], &["watch"]] {
        let words = [words, &["--lock-timeout", "0"]].concat();
        let ran = fixture.xtask(&words).expect(6);
        ran.says(&["`watch` (process", "is changing this stack", "--lock-timeout SECONDS"]);
        assert_eq!(fixture.runner.changes(), Vec::<String>::new(), "{words:?}");
    }
    // Looking takes no lock.
    fixture.xtask(&["status"]).expect(0);
    fixture.xtask(&["up", "--dry-run"]).expect(0);
    drop(lock);
    fixture.xtask(&["down"]).expect(0);
}

#[test]
fn settings_that_are_wrong_are_missing_by_name_and_nothing_is_started() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.set("REDIS_PORT", "70000");
    fixture.set("POSTGRES_PASSWORD", "");
    let ran = fixture.xtask(&["up"]).expect(3);
    ran.says(&[
        "settings are wrong or missing in .env.docker",
        "POSTGRES_PASSWORD is empty",
        "REDIS_PORT must be a whole number from 1 to 65535",
        "cargo xtask env init --add-missing",
    ])
    .keeps_silent_about(&["70000"]);
    assert!(daemon.running().is_empty());
}

#[test]
fn settings_that_others_can_read_are_told() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    crate::file::set_mode(&fixture.context.project.settings(), 0o644).unwrap();
    fixture.xtask(&["up", "--dry-run"]).expect(0).says(&["others can read .env.docker", "chmod 600 .env.docker"]);
}

#[test]
fn settings_that_are_gone_are_made_again_as_the_stack_was_started_with_them() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    let password = |text: &str| text.lines().find(|line| line.starts_with("POSTGRES_PASSWORD=")).map(str::to_owned);
    let before = password(&fixture.read(".env.docker"));
    std::fs::remove_file(fixture.context.project.settings()).unwrap();
    let ran = fixture.xtask(&["up"]).expect(0);
    ran.says(&[".env.docker is gone: it is made again as the stack was started with it"]);
    let after = fixture.read(".env.docker");
    assert_eq!(password(&after), before);
    assert!(after.contains("\n# The password of Redis.\n"), "with the template's comments");
}
