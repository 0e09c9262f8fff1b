//! Which tests are run how, with recorded tools and servers that only say they are ready.

use super::run;
use crate::cli::{Servers, Test, TestPackage};
use crate::failure::{Exit, Failure, exit_code};
use crate::fixture::Fixture;
use crate::product::TEMPLATE_DATABASE;
use crate::runner::{Output, fails, says};
use crate::stack::detect::EngineChoice;
use crate::stack::servers::Origin;

fn arguments(package: Option<TestPackage>, args: &[&str]) -> Test {
    let servers = Servers { engine: EngineChoice::Auto, servers: Origin::Auto };
    Test { package, servers, args: args.iter().map(|arg| (*arg).to_owned()).collect() }
}

fn ready() -> Fixture {
    let fixture = Fixture::new(&[]).with_installed_servers();
    fixture
        .runner
        .on("nextest", says(""))
        .on("build --package backend", says(""))
        .on("migrate run", says(""))
        .on("nextest --version", says("cargo-nextest 0.9.101\n"));
    fixture
}

fn without_nextest() -> Fixture {
    let fixture = ready();
    fixture.runner.on("cargo test", says("")).on("nextest --version", fails(101, "no such command: `nextest`"));
    fixture
}

/// How a command ends that a child's exit code passes through.
fn ends(code: i32) -> Output {
    Output { code: Some(code), ..says("") }
}

/// The commands that run tests.
fn tests_of(fixture: &Fixture) -> Vec<String> {
    let is_test = |command: &String| command.contains("nextest run") || command.contains("cargo test ");
    fixture.runner.asked().into_iter().filter(is_test).collect()
}

#[test]
fn both_packages_are_tested_the_backend_with_servers_of_its_own() {
    let fixture = ready();
    assert_eq!(run(&fixture.context, &arguments(None, &["reports"])).unwrap(), 0, "{}", fixture.said());
    let tests = tests_of(&fixture);
    assert!(tests[0].contains("nextest run --package backend reports"), "{tests:?}");
    let variables = format!("TEST_DATABASE_URL=*** TEST_DATABASE_TEMPLATE={TEMPLATE_DATABASE} TEST_REDIS_URL=***");
    assert!(tests[0].contains(&variables), "{}", tests[0]);
    assert!(tests[1].contains("nextest run --cargo-profile xtask --package xtask reports"), "{tests:?}");
    assert!(!tests[1].contains("TEST_DATABASE_URL"), "{tests:?}");
    assert_eq!(tests.len(), 2);
    assert!(fixture.runner.was_asked("migrate run"), "the template is migrated once");
    assert!(!fixture.context.project.state().exists(), "the servers are gone");
}

#[test]
fn one_package_is_tested_where_one_is_named() {
    for (package, words) in [(TestPackage::Backend, "--package backend"), (TestPackage::Xtask, "--package xtask")] {
        let fixture = ready();
        assert_eq!(run(&fixture.context, &arguments(Some(package), &[])).unwrap(), 0);
        let tests = tests_of(&fixture);
        assert_eq!(tests.len(), 1);
        assert!(tests[0].contains(words), "{tests:?}");
    }
    for flags in [&["-p", "edge"][..], &["-pedge"], &["--package=edge"], &["--workspace"], &["--all"]] {
        let fixture = ready();
        assert_eq!(run(&fixture.context, &arguments(None, flags)).unwrap(), 0);
        let tests = tests_of(&fixture);
        assert_eq!(tests.len(), 1);
        assert!(tests[0].ends_with(&format!("nextest run {}", flags.join(" "))), "{tests:?}");
    }
}

#[test]
fn the_first_code_that_is_not_0_passes_through_and_both_are_run_all_the_same() {
    // Of the backend's tests, of xtask's, and of the task.
    for (backend, xtask, expected) in [(0, 0, 0), (100, 0, 100), (0, 101, 101), (100, 101, 100)] {
        let fixture = ready();
        fixture.runner.on("run --package backend", ends(backend)).on("--package xtask", ends(xtask));
        assert_eq!(run(&fixture.context, &arguments(None, &[])).unwrap(), expected);
        let tests = tests_of(&fixture);
        assert_eq!(tests.len(), 3);
        assert!(tests[2].contains("nextest run --package edge"), "{tests:?}");
    }
}

#[test]
fn a_name_that_only_one_package_knows_is_no_failure_of_the_other() {
    for (backend, xtask, expected) in [(4, 0, 0), (0, 4, 0), (4, 100, 100), (4, 4, 4)] {
        let fixture = ready();
        fixture.runner.on("run --package backend", ends(backend)).on("--package xtask", ends(xtask));
        assert_eq!(run(&fixture.context, &arguments(None, &["name"])).unwrap(), expected, "{backend} {xtask}");
    }
    // With cargo test, 4 is a code like any other.
    let fixture = without_nextest();
    fixture.runner.on("cargo test --package backend", ends(4));
    assert_eq!(run(&fixture.context, &arguments(None, &["name"])).unwrap(), 4);
}

#[test]
fn without_nextest_cargo_test_is_used_and_said() {
    let fixture = without_nextest();
    assert_eq!(run(&fixture.context, &arguments(None, &["--nocapture"])).unwrap(), 0, "{}", fixture.said());
    assert!(fixture.runner.was_asked("test --package backend --nocapture"));
    assert!(fixture.runner.was_asked("test --profile xtask --package xtask --nocapture"));
    assert!(fixture.said().contains("cargo-nextest is not installed: using cargo test"), "{}", fixture.said());
}

#[test]
fn a_migration_that_fails_is_told_before_any_test_and_the_servers_are_gone() {
    let fixture = ready();
    fixture.runner.on("migrate run", fails(5, "20260101000000 was altered"));
    let error = run(&fixture.context, &arguments(None, &[])).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Migrations as u8);
    assert_eq!(tests_of(&fixture), [""; 0]);
    assert!(!fixture.context.project.state().exists());
}

#[test]
fn a_backend_that_does_not_compile_keeps_xtasks_tests_from_being_run() {
    let fixture = ready();
    fixture.runner.on("build --package backend", fails(101, "error[E0308]: mismatched types"));
    let failure: Failure =
        run(&fixture.context, &arguments(Some(TestPackage::Xtask), &[])).unwrap_err().downcast().unwrap();
    assert_eq!(failure.evidence(), ["error[E0308]: mismatched types"]);
    assert_eq!(tests_of(&fixture), [""; 0]);
}

#[test]
fn tests_never_run_in_containers() {
    let fixture = ready();
    let servers = Servers { engine: EngineChoice::Docker, servers: Origin::Auto };
    let error = run(&fixture.context, &Test { servers, ..arguments(None, &[]) }).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Missing as u8);
    assert!(fixture.runner.asked().is_empty());
}

#[test]
fn an_interrupted_test_run_leaves_no_servers() {
    let fixture = ready();
    let interrupt = fixture.context.interrupt.clone();
    fixture.runner.on_and("run --package backend", ends(0), move || interrupt.request(Exit::Interrupted));
    let error = run(&fixture.context, &arguments(None, &[])).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Interrupted as u8);
    assert_eq!(tests_of(&fixture).len(), 1);
    assert!(!fixture.context.project.state().exists());
}

#[test]
fn a_dry_run_shows_the_servers_and_the_tests_and_starts_neither() {
    let mut fixture = ready();
    fixture.context.dry_run = true;
    assert_eq!(run(&fixture.context, &arguments(None, &[])).unwrap(), 0);
    let printed = fixture.printed();
    for words in ["initdb --pgdata", "redis-server ", "nextest run --package backend", "--package xtask"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    assert_eq!(fixture.runner.changes(), [""; 0]);
    assert!(!fixture.context.project.state().exists());
}
