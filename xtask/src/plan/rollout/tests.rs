//! What is undone, when, and what is told of it.

use anyhow::bail;

use super::*;
use crate::failure::{Exit, exit_code};
use crate::fixture::Fixture;
use crate::plan::Action;
use crate::runner::{fails, says};
use crate::step::Step;

fn run(name: &str) -> Vec<Action> {
    vec![Action::Run(Step::new(format!("do {name}"), name))]
}

/// A phase of one command.
fn phase(name: &'static str) -> Phase {
    Phase::new(name, format!("have {name}"), move |_| Ok(Plan::of(name, run(name), "done")))
}

/// One command that undoes it.
fn undoing(name: &'static str) -> impl Fn() -> Result<Plan> {
    move || Ok(Plan::of(name, run(&format!("undo-{name}")), "undone"))
}

fn fixture() -> Fixture {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("", says(""));
    fixture
}

fn outcome(fixture: &Fixture, phases: Vec<Phase>) -> Result<()> {
    Rollout::new(phases)?.run(&fixture.context)
}

#[test]
fn a_value_keeps_what_was_found_first_and_clones_share_it() {
    let value = Value::new("deployment id");
    let clone = value.clone();
    assert_eq!(clone.to_string(), "<deployment id>");
    let error = clone.get().unwrap_err().to_string();
    assert_eq!(error, "the deployment id is not known yet; this is a mistake in xtask");
    value.set("first");
    clone.set("second");
    assert_eq!((*clone.get().unwrap(), clone.to_string()), ("first", "first".to_owned()));
}

#[test]
fn a_phase_that_needs_what_nobody_has_found_out_fails_and_the_ones_before_are_undone() {
    let fixture = fixture();
    let value = Value::<String>::new("deployment id");
    let needs = Phase::new("two", "use it", move |_| Ok(Plan::of("two", run(value.get()?), "done")));
    let error = outcome(&fixture, vec![phase("one").undo(undoing("one")), needs.undo(undoing("two"))]).unwrap_err();
    assert!(error.to_string().starts_with("the deployment id is not known yet"), "{error}");
    assert_eq!(fixture.runner.asked(), ["one", "undo-two", "undo-one"]);
}

#[test]
fn a_phase_is_planned_only_when_its_turn_has_come() {
    let fixture = fixture();
    let runner = fixture.runner.clone();
    let second = Phase::new("two", "see what one did", move |_| {
        assert_eq!(runner.asked(), ["one"]);
        Ok(Plan::of("two", run("two"), "done"))
    });
    outcome(&fixture, vec![phase("one"), second]).unwrap();
    assert_eq!(fixture.runner.asked(), ["one", "two"]);
}

#[test]
fn an_undo_that_cannot_even_be_planned_keeps_no_other_from_being_done() {
    let fixture = fixture();
    fixture.runner.on("three", fails(4, "unhealthy"));
    let phases = vec![
        phase("one").undo(undoing("one")),
        phase("two").undo(|| bail!("nobody knows how")),
        phase("three").finally(undoing("three")),
    ];
    let error = outcome(&fixture, phases).unwrap_err();
    assert!(error.to_string().starts_with("cannot do three"), "{error}");
    assert_eq!(fixture.runner.asked(), ["one", "two", "three", "undo-three", "undo-one"]);
    assert!(fixture.said().contains("warning: cannot undo two: nobody knows how"), "{}", fixture.said());
}

#[test]
fn what_is_only_there_for_the_rollout_is_removed_once_and_where_it_stays_the_rollout_has_failed() {
    let fixture = fixture();
    fixture.runner.on("undo-two", fails(1, "stuck"));
    let phases = vec![phase("one").finally(undoing("one")), phase("two").finally(undoing("two")), phase("three")];
    let error = outcome(&fixture, phases).unwrap_err();
    assert_eq!(format!("{error:#}"), "cannot undo two: cannot do undo-two: undo-two failed with exit code 1");
    assert_eq!(fixture.runner.asked(), ["one", "two", "three", "undo-two", "undo-one"]);
}

#[test]
fn a_later_phase_that_never_began_is_not_undone() {
    let fixture = fixture();
    fixture.runner.on("one", fails(1, "no"));
    outcome(&fixture, vec![phase("one").undo(undoing("one")), phase("two").finally(undoing("two"))]).unwrap_err();
    assert_eq!(fixture.runner.asked(), ["one", "undo-one"]);
}

#[test]
fn each_signal_is_told_by_its_own_code_after_everything_was_undone() {
    for exit in [Exit::Interrupted, Exit::Terminated] {
        let fixture = fixture();
        let interrupt = fixture.context.interrupt.clone();
        fixture.runner.on_and("one", says(""), move || interrupt.request(exit));
        let phases = vec![phase("one").finally(undoing("one")), phase("two")];
        assert_eq!(exit_code(&outcome(&fixture, phases).unwrap_err()), exit as u8);
        assert_eq!(fixture.runner.asked(), ["one", "undo-one"]);
    }
}

#[test]
fn a_dry_run_shows_what_is_undone_when_and_asks_nothing() {
    let fixture = Fixture::dry(&[]);
    let nothing = Phase::new("two", "see", |_| Ok(Plan::default()));
    let phases = vec![phase("one").finally(undoing("one")), nothing.undo(undoing("two"))];
    outcome(&fixture, phases).unwrap();
    let expected = "# phase 1, one: have one\none\n\n# phase 2, two: see\n# nothing to do\n\
                    \n# if a later phase fails: undo two\nundo-two\n\
                    \n# at the end, whatever came of it: undo one\nundo-one\n";
    assert_eq!(fixture.printed(), expected);
    assert!(fixture.runner.asked().is_empty());
}

#[test]
fn a_rollout_without_phases_is_done_at_once() {
    let fixture = fixture();
    Rollout::default().run(&fixture.context).unwrap();
    assert!(fixture.runner.asked().is_empty());
}
