//! The parts of CI, with recorded tools.

use super::run;
use crate::cli::{Ci, CiPart};
use crate::failure::{Exit, Failure, exit_code};
use crate::fixture::Fixture;
use crate::runner::{Output, fails, says};
use crate::stack::detect::EngineChoice;
use crate::stack::servers::Origin;

fn arguments(parts: &[CiPart]) -> Ci {
    Ci { parts: parts.to_vec(), engine: EngineChoice::Host, servers: Origin::Auto }
}

const WINDOWS: &str = "x86_64-pc-windows-gnu";

/// A machine on which every part but the journey can be made.
fn ready() -> Fixture {
    let fixture = Fixture::new(&[]).with_installed_servers();
    fixture
        .runner
        .on("rustup target list --installed", says(&format!("x86_64-unknown-linux-gnu\n{WINDOWS}\n")))
        .on("check --package xtask --target", says(""))
        .on("build --package backend", says(""))
        .on("migrate run", says(""))
        .on("nextest", says(""));
    fixture
}

#[test]
fn parts_are_done_in_their_order_whatever_order_they_are_named_in() {
    let fixture = ready();
    assert_eq!(run(&fixture.context, &arguments(&[CiPart::Test, CiPart::Systems])).unwrap(), 0);
    let said = fixture.said();
    let headings: Vec<&str> = said.lines().filter(|line| line.starts_with("== ")).collect();
    assert_eq!(headings, ["== systems ==", "== test =="]);
    assert!(said.ends_with("\npassed\n"), "{said}");
}

#[test]
fn the_first_part_that_fails_is_the_last_and_its_code_is_that_of_the_whole() {
    let fixture = ready();
    fixture.runner.on("nextest run --package backend", Output { code: Some(100), ..says("") });
    let parts = [CiPart::Systems, CiPart::Test, CiPart::Journey];
    assert_eq!(run(&fixture.context, &arguments(&parts)).unwrap(), 100);
    assert!(!fixture.said().contains("== journey ==") && !fixture.said().contains("\npassed\n"));

    let fixture = ready();
    fixture.runner.on("fmt", fails(1, "Diff")).on("", fails(1, "no"));
    assert_eq!(exit_code(&run(&fixture.context, &arguments(&[])).unwrap_err()), 1);
    assert!(!fixture.said().contains("== systems =="), "all parts, where none is named: {}", fixture.said());
}

#[test]
fn a_system_that_is_not_installed_is_skipped_which_is_said_to_be_no_pass() {
    let fixture = ready();
    assert_eq!(run(&fixture.context, &arguments(&[CiPart::Systems])).unwrap(), 0);
    let said = fixture.said();
    assert!(said.contains(&format!("✓ xtask compiles for {WINDOWS}")), "{said}");
    let skipped = "skipped, which is not the same as passed: aarch64-apple-darwin is not installed: rustup target add";
    assert!(said.contains(skipped), "{said}");
    assert_eq!(fixture.runner.changes().len(), 1, "{:?}", fixture.runner.changes());
    let nothing = ready();
    nothing.runner.on("rustup", fails(1, "not found"));
    assert_eq!(run(&nothing.context, &arguments(&[CiPart::Systems])).unwrap(), 0);
    assert_eq!(nothing.said().matches("which is not the same as passed").count(), 3);
}

#[test]
fn a_system_that_xtask_does_not_compile_for_is_a_failure() {
    let fixture = ready();
    fixture.runner.on(&format!("--target {WINDOWS}"), fails(101, "error[E0433]: failed to resolve"));
    let error = run(&fixture.context, &arguments(&[CiPart::Systems])).unwrap_err();
    let failure = error.downcast::<Failure>().unwrap();
    assert!(failure.to_string().contains(&format!("type-check xtask for {WINDOWS}")), "{failure}");
}

/// A clone that can be made, in which everything else is still to come.
fn clone() -> Fixture {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("git", says("")).on("git status --porcelain", says("?? x\n"));
    fixture
}

#[test]
fn a_journey_that_fails_leaves_no_stack_behind() {
    let fixture = clone();
    fixture.runner.on("up --engine host --servers auto", fails(4, "not ready")).on("clean --yes", says(""));
    let error = run(&fixture.context, &arguments(&[CiPart::Journey])).unwrap_err();
    assert!(format!("{error:#}").contains("failed with exit code 4"), "{error:#}");
    assert!(fixture.runner.asked().last().unwrap().ends_with("clean --yes"), "{:?}", fixture.runner.asked());
    assert!(fixture.said().contains("changes that are not committed are not in it"), "{}", fixture.said());
}

#[test]
fn a_journey_without_a_clone_ends_before_it_begins() {
    let fixture = clone();
    fixture.runner.on("git clone", fails(128, "fatal: no space left"));
    run(&fixture.context, &arguments(&[CiPart::Journey])).unwrap_err();
    assert!(fixture.runner.asked().last().unwrap().contains("git clone"), "{:?}", fixture.runner.asked());
}

#[test]
fn an_interrupted_journey_is_cleaned_up_all_the_same() {
    let fixture = clone();
    let interrupt = fixture.context.interrupt.clone();
    fixture.runner.on("clean --yes", says(""));
    fixture.runner.on_and("up --engine host", says(""), move || interrupt.request(Exit::Interrupted));
    let error = run(&fixture.context, &arguments(&[CiPart::Journey])).unwrap_err();
    assert_eq!(exit_code(&error), 130);
    assert!(fixture.runner.asked().last().unwrap().ends_with("clean --yes"), "{:?}", fixture.runner.asked());
}

#[test]
fn a_dry_run_shows_every_phase_of_the_journey_and_changes_nothing() {
    let mut fixture = clone();
    fixture.context.dry_run = true;
    let arguments = Ci { engine: EngineChoice::Docker, servers: Origin::Portable, ..arguments(&[CiPart::Journey]) };
    assert_eq!(run(&fixture.context, &arguments).unwrap(), 0);
    let printed = fixture.printed();
    for phase in ["clone", "first", "edit", "kill", "keep", "data", "terminal", "clean"] {
        assert!(
            printed.lines().any(|line| line.starts_with("# phase ") && line.contains(&format!(", {phase}: "))),
            "{phase}"
        );
    }
    assert!(printed.contains("up --engine docker --servers portable"), "{printed}");
    assert!(printed.contains("# if a later phase fails: undo first\n"), "{printed}");
    assert_eq!(fixture.runner.changes(), [""; 0]);
}

#[test]
fn another_product_that_does_not_come_up_is_a_failure_and_leaves_no_stack() {
    let fixture = clone();
    fixture.runner.on("clean --yes", says(""));
    let arguments = arguments(&[CiPart::Renamed]);
    let error = run(&fixture.context, &arguments).unwrap_err();
    assert!(format!("{error:#}").contains("does not name the product"), "nothing was cloned: {error:#}");
    let mut dry = clone();
    dry.context.dry_run = true;
    assert_eq!(run(&dry.context, &arguments).unwrap(), 0);
    let printed = dry.printed();
    assert!(printed.contains("up --engine host --servers auto"), "{printed}");
    assert!(printed.contains("# if a later phase fails: undo use\n"), "{printed}");
}
