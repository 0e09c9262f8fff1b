//! `logs`: which lines are shown, in which order and form.

use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::fixture::host::PASSWORDS;
use crate::runner::{fails, says};

const HISTORY: &str = "backend-1   | 2026-11-21T10:00:02Z two\n\
                       redis-1     | 2026-11-21T10:00:01Z one\n\
                       postgres-1  | 2026-11-21T10:00:03Z three\n\
                       time=\"2026\" level=warning msg=\"of compose itself\"\n";

fn up() -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    fixture.runner.on("compose logs --no-color --timestamps", says(HISTORY));
    (fixture, daemon)
}

#[test]
fn lines_of_all_services_are_merged_by_time_each_behind_its_service() {
    let (mut fixture, _daemon) = up();
    let ran = fixture.xtask(&["logs"]).expect(0);
    assert_eq!(ran.stdout, "redis    | one\nbackend  | two\npostgres | three\n");
    assert!(fixture.runner.was_asked("compose logs --no-color --timestamps --tail 200 -- postgres redis backend"));
}

#[test]
fn only_so_many_lines_of_those_that_are_named_since_then() {
    let (mut fixture, _daemon) = up();
    assert_eq!(fixture.xtask(&["logs", "-n", "1"]).expect(0).stdout, "postgres | three\n");
    assert!(fixture.runner.was_asked("logs --tail 1 -- postgres redis backend"));
    let since = fixture.xtask(&["logs", "--since", "2026-11-21T10:00:02Z"]).expect(0).stdout;
    assert_eq!(since, "backend  | two\npostgres | three\n");
    fixture.xtask(&["logs", "redis"]).expect(0);
    assert!(fixture.runner.asked().iter().any(|command| command.ends_with(" --tail 200 -- redis")));
}

#[test]
fn as_json_each_line_is_one_object() {
    let (mut fixture, _daemon) = up();
    let ran = fixture.xtask(&["logs", "--json"]).expect(0);
    let lines: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let expected = r#"{"schema_version":1,"time":"2026-11-21T10:00:01.000Z","service":"redis","line":"one"}"#;
    assert_eq!(lines[0], serde_json::from_str::<serde_json::Value>(expected).unwrap());
}

#[test]
fn what_follows_is_shown_after_what_was_said() {
    let (mut fixture, _daemon) = up();
    fixture.runner.on("compose logs --tail 0 --follow", says("redis-1  | 2026-11-21T10:00:04Z four\n"));
    let ran = fixture.xtask(&["logs", "-f", "-n", "1"]).expect(0);
    assert_eq!(ran.stdout, "postgres | three\nredis    | four\n");
}

#[test]
fn a_secret_that_a_service_says_is_shown_to_nobody() {
    let (mut fixture, _daemon) = up();
    let line = format!("backend-1  | 2026-11-21T10:00:02Z cannot log in with {}\n", PASSWORDS[0]);
    fixture.runner.on("compose logs --no-color", says(&line));
    assert_eq!(fixture.xtask(&["logs"]).expect(0).stdout, "backend  | cannot log in with ***\n");
    fixture.xtask(&["logs", "--json"]).expect(0).keeps_silent_about(&PASSWORDS);
}

#[test]
fn logs_that_cannot_be_read_are_a_failure() {
    let (mut fixture, _daemon) = up();
    fixture.runner.on("compose logs --no-color", fails(1, "Cannot connect to the Docker daemon"));
    fixture.xtask(&["logs"]).expect(1).says(&["cannot read the logs", "Cannot connect to the Docker daemon"]);
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.xtask(&["logs"]).expect(4).says(&["nothing was started here yet", "cargo xtask up"]);
}

#[test]
fn on_this_machine_logs_are_files_and_stay_when_nothing_runs() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.write(".stack/logs/redis.log", "1:M 21 Nov 2026 10:00:01.000 * one\n");
    fixture.write(".stack/logs/backend.log", "2026-11-21T10:00:02Z  INFO two\n  more of two\n");
    fixture.write(".stack/logs/backend.log.1", "2026-11-21T09:00:00Z  INFO older\n");
    let ran = fixture.xtask(&["logs"]).expect(0);
    let ends: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split(' ').next_back()).collect();
    assert_eq!(ends, ["older", "one", "two", "two"]);
    let ran = fixture.xtask(&["logs", "redis"]).expect(0);
    assert_eq!(ran.stdout, "redis    | 1:M 21 Nov 2026 10:00:01.000 * one\n");
}
