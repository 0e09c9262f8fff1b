//! Jobs of a watcher: what is done for an edit, and what becomes of one that fails.

use super::super::tests::checkout;
use super::*;
use crate::fixture::Fixture;
use crate::product::QUERY_METADATA;
use crate::runner::{Output, fails, says};

fn job(needs_build: bool, needs_migration: bool) -> Job {
    Job { snapshot: Snapshot::default(), needs_build, needs_migration }
}

fn run(fixture: &Fixture, location: &Location, job: Job) -> Outcome {
    job.run(&fixture.context, location, &fixture.stack().watch(), &CancelToken::on(&fixture.context.interrupt))
}

#[track_caller]
fn prepared(outcome: Outcome) -> Prepared {
    match outcome {
        Outcome::Prepared(prepared) => prepared,
        Outcome::Failed(problem) => panic!("{problem:?}"),
        Outcome::Cancelled => panic!("cancelled"),
    }
}

#[track_caller]
fn failed(outcome: Outcome) -> Problem {
    match outcome {
        Outcome::Failed(problem) => problem,
        Outcome::Prepared(_) => panic!("prepared"),
        Outcome::Cancelled => panic!("cancelled"),
    }
}

/// What cargo prints of one message of the compiler.
fn message(level: &str, rendered: &str, line: u32) -> String {
    let span =
        format!(r#"{{"file_name":"backend/src/main.rs","line_start":{line},"is_primary":true,"expansion":null}}"#);
    format!(
        r#"{{"reason":"compiler-message","message":{{"level":"{level}","rendered":"{rendered}","spans":[{span}]}}}}"#
    ) + "\n"
}

#[test]
fn only_what_is_needed_is_done() {
    for (needs_build, needs_migration) in [(false, false), (true, false), (false, true), (true, true)] {
        let (fixture, location) = checkout();
        let prepared = prepared(run(&fixture, &location, job(needs_build, needs_migration)));
        assert_eq!(fixture.runner.was_asked("cargo build --package"), needs_build);
        assert_eq!(fixture.runner.was_asked("migrate run"), needs_migration);
        assert_eq!(prepared.is_another_binary, needs_build);
        assert!(prepared.environment.iter().any(|variable| variable.name == "DATABASE_URL" && variable.is_secret));
    }
}

#[test]
fn warnings_of_the_compiler_and_what_was_migrated_are_handed_on() {
    let (fixture, location) = checkout();
    fixture.runner.on("cargo build --package", says(&message("warning", "warning: unused", 3)));
    fixture.runner.on("migrate run", says("2_b applied\nnothing to apply\n"));
    let prepared = prepared(run(&fixture, &location, job(true, true)));
    assert_eq!(
        (prepared.warnings, prepared.migrated),
        (vec!["warning: unused".to_owned()], vec!["2_b applied".to_owned()])
    );
}

#[test]
fn code_that_does_not_compile_is_told_by_its_place_and_only_an_edit_helps() {
    let (fixture, location) = checkout();
    let said = message("warning", "warning: unused", 3) + &message("error", "error: expected `;`", 7);
    fixture.runner.on("cargo build --package", Output { stdout: said, ..fails(101, "") });
    let problem = failed(run(&fixture, &location, job(true, true)));
    assert_eq!(problem.summary, "1 error in backend/src/main.rs:7");
    assert_eq!((problem.details, problem.needs_edit), (vec!["error: expected `;`".to_owned()], true));
    assert!(!fixture.runner.was_asked("migrate run"));
}

#[test]
fn a_cargo_that_fails_by_itself_is_told_in_its_own_words() {
    let (fixture, location) = checkout();
    fixture.runner.on("cargo build --package", fails(101, "error: failed to parse manifest\n  caused by this"));
    let problem = failed(run(&fixture, &location, job(true, false)));
    assert_eq!((problem.summary.as_str(), problem.needs_edit), ("cargo: failed to parse manifest", true));
    fixture.runner.on("cargo build --package", fails(137, ""));
    let problem = failed(run(&fixture, &location, job(true, false)));
    assert!(!problem.needs_edit, "it may have been killed, so that another attempt may help: {problem:?}");
}

#[test]
fn a_migration_that_fails_is_told_in_the_databases_words() {
    let (fixture, location) = checkout();
    let words = format!("a log line\n{BINARY}: migration 2_b failed:\n  relation \"x\" already exists\n");
    fixture.runner.on("migrate run", fails(1, &words));
    let problem = failed(run(&fixture, &location, job(false, true)));
    assert_eq!(problem.summary, "migration 2_b failed");
    assert_eq!(problem.details[1], "  relation \"x\" already exists");
    assert_eq!((problem.hints.len(), problem.needs_edit), (1, true));
}

#[test]
fn a_migration_that_failed_because_the_database_went_away_is_tried_again_and_needs_no_edit() {
    let (fixture, location) = checkout();
    for code in [4, 6] {
        fixture.runner.on("migrate run", fails(code, &format!("{BINARY}: migration 2_b failed: end of file\n")));
        let problem = failed(run(&fixture, &location, job(false, true)));
        assert_eq!((problem.summary.as_str(), problem.needs_edit), ("migration 2_b failed: end of file", false));
        assert_eq!(problem.hints, ["cargo xtask migrate status", "cargo xtask status"]);
    }
}

#[test]
fn a_migration_that_was_applied_and_differs_is_told_with_both_ways_out() {
    let (fixture, location) = checkout();
    fixture.runner.on("migrate run", fails(5, &format!("{BINARY}: migrations differ from their files: 1_a\n")));
    let problem = failed(run(&fixture, &location, job(false, true)));
    assert!(problem.hints[1].starts_with("cargo xtask migrate redo"));
    assert!(problem.hints[2].starts_with("cargo xtask migrate bless"));
    assert!(problem.hints[3].starts_with("cargo xtask clean && cargo xtask up"));
}

#[test]
fn a_database_that_does_not_answer_may_do_so_later() {
    let (fixture, location) = checkout();
    fixture.runner.on("migrate run", fails(4, "thread main panicked"));
    let problem = failed(run(&fixture, &location, job(false, true)));
    assert!(!problem.needs_edit && problem.summary.starts_with("cannot apply migrations"), "{problem:?}");
}

#[test]
fn settings_that_are_wrong_start_nothing() {
    let (fixture, location) = checkout();
    fixture.set("REDIS_PORT", "none");
    let problem = failed(run(&fixture, &location, job(false, true)));
    assert!(problem.summary.starts_with("a setting is wrong or missing"), "{problem:?}");
    assert!(problem.details.iter().all(|line| !line.contains("none")), "by name and never by value");
    assert!(!fixture.runner.was_asked("migrate run"));
}

#[test]
fn a_job_that_was_cancelled_came_to_nothing_whatever_it_came_to() {
    let (fixture, location) = checkout();
    let cancel = CancelToken::never();
    let meanwhile = cancel.clone();
    fixture.runner.on_and("cargo build --package", fails(101, "error: no"), move || meanwhile.cancel());
    let outcome = job(true, true).run(&fixture.context, &location, &fixture.stack().watch(), &cancel);
    assert!(matches!(outcome, Outcome::Cancelled));
    assert!(!fixture.runner.was_asked("migrate run"));
}

#[test]
fn a_changed_query_is_asked_of_the_stacks_own_database() {
    let (fixture, location) = checkout();
    let lacks = message("error", "error: `SQLX_OFFLINE=true` but there is no cached data for this query", 7);
    fixture.runner.on("cargo build --package", Output { stdout: lacks, ..fails(101, "") });
    let store = fixture.stack().watch().folder().join("queries");
    fixture.runner.on_and("DATABASE_URL=*** cargo build --package", says(""), move || {
        std::fs::write(store.join("query-1.json"), "{}").unwrap();
    });
    let prepared = prepared(run(&fixture, &location, job(true, false)));
    assert_eq!(prepared.metadata, [(Path::new(QUERY_METADATA).join("query-1.json"), b"{}".to_vec())]);
    assert!(!fixture.has(".stack/run/queries"));
}

#[test]
fn a_changed_query_in_a_container_is_told_with_what_asks_a_database() {
    let (fixture, _) = checkout();
    let location = Location::container(fixture.root(), fixture.root().join("built/app"));
    let lacks = message("error", "error: there is no cached data for this query", 7);
    fixture.runner.on("cargo build --package", Output { stdout: lacks, ..fails(101, "") });
    let problem = failed(run(&fixture, &location, job(true, false)));
    assert!(problem.hints[0].starts_with("cargo xtask check --fix"), "{problem:?}");
    let builds = fixture.runner.asked().iter().filter(|command| command.contains("build --package")).count();
    assert_eq!(builds, 1);
    assert!(fixture.runner.was_asked("build --package --locked"), "it cannot write its lock file");
}
