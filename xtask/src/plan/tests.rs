//! Plans and rollouts, run with recorded answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Action, Await, Lane, Phase, Plan, Probe, Rollout, Unready, Value, Write};
use crate::failure::{Exit, exit_code};
use crate::fixture::Fixture;
use crate::interrupt::Interrupt;
use crate::runner::{Runner, fails, says};
use crate::step::Step;

fn step(name: &str) -> Step {
    Step::new(format!("do {name}"), name)
}

fn lane(name: &str, actions: Vec<Action>) -> Lane {
    Lane { name: name.to_owned(), actions, result: "done".to_owned() }
}

fn run(name: &str) -> Action {
    Action::Run(step(name))
}

fn after(name: &str) -> Action {
    Action::After(name.to_owned())
}

fn waiting(name: &str, others: &[&str]) -> Lane {
    lane(name, others.iter().map(|other| after(other)).collect())
}

#[test]
fn a_dry_run_shows_each_lane_after_those_that_it_waits_for() {
    let plan =
        Plan { lanes: vec![waiting("c", &["a", "b"]), waiting("b", &["a"]), waiting("a", &[]), waiting("d", &["a"])] };
    // A lane in which nothing is done is not shown.
    let names: Vec<&str> = plan.in_order().iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "d"]);
}

#[test]
fn a_wait_for_a_lane_that_is_not_there_is_found_before_it_begins() {
    let check = |lanes| Plan { lanes }.check().map_err(|error| error.to_string());
    assert!(check(vec![waiting("a", &[]), waiting("b", &["a"])]).is_ok());
    assert!(check(vec![waiting("a", &["c"])]).unwrap_err().starts_with("a waits for c, which is no lane"));
    assert!(check(vec![waiting("a", &["a"])]).is_err(), "for itself");
    assert!(check(vec![waiting("a", &[]), waiting("a", &[])]).unwrap_err().contains("two lanes are named a"));
}

#[test]
fn a_lane_waits_for_the_lanes_that_it_names() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("", says(""));
    let lanes = vec![
        lane("last", vec![after("first"), after("second"), run("three")]),
        lane("second", vec![after("first"), run("two")]),
        lane("first", vec![run("one")]),
        lane("empty", Vec::new()),
        lane("beside", vec![after("empty")]),
    ];
    Plan { lanes }.run(&fixture.context).result.unwrap();
    assert_eq!(fixture.runner.asked(), ["one", "two", "three"]);
}

#[test]
fn the_first_failure_stops_what_waits_and_is_the_one_that_is_told() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("broken", fails(3, "no luck"));
    let lanes = vec![lane("broken", vec![run("broken")]), lane("waiting", vec![after("broken"), run("never")])];
    let error = Plan { lanes }.run(&fixture.context).result.unwrap_err();
    assert_eq!(error.to_string(), "cannot do broken: broken failed with exit code 3");
    assert_eq!(fixture.runner.asked(), ["broken"]);
    let said = fixture.said();
    assert!(said.contains("✗ broken   failed") && said.contains("✗ waiting  stopped"), "{said}");
}

#[test]
fn a_plan_with_a_mistake_in_it_does_nothing() {
    let fixture = Fixture::new(&[]);
    let lanes = vec![lane("one", vec![run("one")]), lane("two", vec![after("nobody")])];
    let error = Plan { lanes }.run(&fixture.context).result.unwrap_err();
    assert!(error.to_string().contains("two waits for nobody, which is no lane"));
    assert!(fixture.runner.asked().is_empty());
}

#[test]
fn a_value_is_kept_from_what_a_command_prints_and_how_long_it_took() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("tell", says("42\n"));
    let (number, took) = (Value::new("number"), Value::new("time"));
    assert_eq!(number.to_string(), "<number>");
    assert!(number.get().is_err());
    let keep = Action::keep(step("tell"), &number, |said| said.trim().parse::<u32>().ok());
    let timed = Action::Timed(took.clone(), Box::new(keep));
    Plan::of("tell", vec![timed], "told").run(&fixture.context).result.unwrap();
    assert_eq!((*number.get().unwrap(), number.to_string()), (42, "42".to_owned()));
    assert!(*took.get().unwrap() < Duration::from_secs(5));

    let words = Value::<u32>::new("number");
    fixture.runner.on("tell", says("nothing"));
    let keep = Action::keep(step("tell"), &words, |said| said.trim().parse().ok());
    let error = Plan::of("tell", vec![keep], "told").run(&fixture.context).result.unwrap_err();
    assert_eq!(error.to_string(), "cannot do tell: it says \"nothing\"");
}

/// Ready at the third access.
struct Slow(AtomicUsize);

impl std::fmt::Display for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it is slow")
    }
}

impl Probe for Slow {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(Unready::NotYet("still asleep".to_owned())),
            _ => Ok(()),
        }
    }

    fn evidence(&self, _: &dyn Runner) -> Vec<String> {
        vec!["| snoring".to_owned()]
    }
}

fn wait(timeout: Duration) -> Action {
    let probe = Box::new(Slow(AtomicUsize::default()));
    Action::Await(Await { service: "redis".to_owned(), probe, timeout, process: None })
}

#[test]
fn a_wait_ends_when_it_is_ready_or_says_what_it_saw_last() {
    let fixture = Fixture::new(&[]);
    Plan::of("it", vec![wait(Duration::from_mins(1))], "ready").run(&fixture.context).result.unwrap();
    let error = Plan::of("it", vec![wait(Duration::ZERO)], "ready").run(&fixture.context).result.unwrap_err();
    assert_eq!(error.to_string(), "redis was not ready within 0s: still asleep");
    assert_eq!(exit_code(&error), Exit::Unhealthy as u8);
    let failure = error.downcast::<crate::failure::Failure>().unwrap();
    assert_eq!(failure.evidence(), ["| snoring"]);
    assert!(failure.hints().iter().any(|hint| hint == "cargo xtask logs redis"), "{:?}", failure.hints());
}

#[test]
fn a_file_is_written_and_removed_and_a_dry_run_says_so() {
    let fixture = Fixture::new(&[]);
    let path = fixture.root().join("secret");
    let write = || Action::Write(Write { path: path.clone(), text: "hunter2\n".to_owned(), mode: 0o600 });
    Plan::of("x", vec![write()], "done").run(&fixture.context).result.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "hunter2\n");
    let plan = Plan::of("x", vec![write(), Action::Remove(path.clone())], "done");
    plan.print(&fixture.context.terminal).unwrap();
    assert_eq!(fixture.printed(), "# x\n# write ROOT/secret (1 lines, mode 600)\nrm -rf ROOT/secret\n");
    Plan::of("x", vec![Action::Remove(path.clone())], "done").run(&fixture.context).result.unwrap();
    assert!(!path.exists());
}

/// A phase of one command, and one command that undoes it.
fn phase(name: &'static str) -> Phase {
    Phase::new(name, format!("have {name}"), move |_| Ok(Plan::of(name, vec![run(name)], "done")))
}

fn undoing(name: &'static str) -> impl Fn() -> Result<Plan> {
    move || Ok(Plan::of(name, vec![run(&format!("undo-{name}"))], "undone"))
}

#[test]
fn a_failed_phase_is_undone_with_those_before_it_in_reverse() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("", says("")).on("three", fails(1, "no luck"));
    let phases = vec![
        phase("one").undo(undoing("one")),
        phase("two").finally(undoing("two")),
        phase("three").undo(undoing("three")),
        phase("four").undo(undoing("four")),
    ];
    let error = Rollout::new(phases).unwrap().run(&fixture.context).unwrap_err();
    assert!(error.to_string().contains("cannot do three"), "{error}");
    assert_eq!(fixture.runner.asked(), ["one", "two", "three", "undo-three", "undo-two", "undo-one"]);
}

#[test]
fn what_is_only_there_for_the_rollout_is_gone_after_it() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("", says(""));
    let phases = vec![phase("one").undo(undoing("one")), phase("two").finally(undoing("two")), phase("three")];
    Rollout::new(phases).unwrap().run(&fixture.context).unwrap();
    assert_eq!(fixture.runner.asked(), ["one", "two", "three", "undo-two"]);
}

#[test]
fn an_undo_that_fails_keeps_no_other_from_being_done_and_hides_no_cause() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("", says("")).on("two", fails(1, "no luck")).on("undo-two", fails(1, "stuck"));
    let phases = vec![phase("one").undo(undoing("one")), phase("two").undo(undoing("two"))];
    let error = Rollout::new(phases).unwrap().run(&fixture.context).unwrap_err();
    assert!(error.to_string().contains("cannot do two: two failed"), "{error}");
    assert!(fixture.said().contains("warning: cannot undo two"), "{}", fixture.said());
    assert_eq!(fixture.runner.asked().last().unwrap(), "undo-one");
}

#[test]
fn an_interrupted_rollout_is_undone_all_the_same() {
    let fixture = Fixture::new(&[]);
    let interrupt: Interrupt = fixture.context.interrupt.clone();
    fixture.runner.on("", says("")).on_and("two", says(""), move || interrupt.request(Exit::Interrupted));
    let phases = vec![phase("one").undo(undoing("one")), phase("two"), phase("three")];
    let error = Rollout::new(phases).unwrap().run(&fixture.context).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Interrupted as u8);
    assert_eq!(fixture.runner.asked(), ["one", "two", "undo-one"]);
}

#[test]
fn a_later_phase_uses_what_an_earlier_one_found_and_a_dry_run_shows_its_name() {
    let phases = |id: &Value<String>| {
        let (found, used) = (id.clone(), id.clone());
        let find = Phase::new("find", "know the deployment", move |_| {
            let keep = Action::keep(step("list"), &found, |said| Some(said.trim().to_owned()));
            Ok(Plan::of("find", vec![keep], "found"))
        });
        let wait = Phase::new("wait", "see it live", move |_| {
            Ok(Plan::of("wait", vec![Action::Run(step("status").arg(used.to_string()))], "live"))
        });
        vec![find, wait.undo(undoing("wait"))]
    };
    let fixture = Fixture::new(&[]);
    fixture.runner.on("list", says("abc\n")).on("status", says("SUCCESS"));
    Rollout::new(phases(&Value::new("deployment id"))).unwrap().run(&fixture.context).unwrap();
    assert_eq!(fixture.runner.asked(), ["list", "status abc"]);

    let dry = Fixture::dry(&[]);
    Rollout::new(phases(&Value::new("deployment id"))).unwrap().run(&dry.context).unwrap();
    assert!(dry.runner.asked().is_empty());
    let expected = "# phase 1, find: know the deployment\nlist\n\n# phase 2, wait: see it live\nstatus '<deployment id>'\n\
                    \n# if a later phase fails: undo wait\nundo-wait\n";
    assert_eq!(dry.printed(), expected);
}

#[test]
fn two_phases_of_one_name_are_a_mistake_that_is_found_before_anything_runs() {
    let error = Rollout::new(vec![phase("one"), phase("one")]).map(drop).unwrap_err();
    assert!(error.to_string().contains("two phases are named one"));
}

#[test]
fn a_check_is_given_what_it_needs_and_may_fail() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("ask", says("answer\n"));
    let heard = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&heard);
    let check = Action::check("ask", move |access| {
        access.cancel.check()?;
        *kept.lock().unwrap() = access.runner.read(&step("ask"))?.stdout;
        Ok(())
    });
    let refuse = Action::check("refuse", |_| bail!("refused"));
    let error = Plan::of("x", vec![check, refuse, run("never")], "done").run(&fixture.context).result.unwrap_err();
    assert_eq!((error.to_string().as_str(), heard.lock().unwrap().as_str()), ("refused", "answer\n"));
}
