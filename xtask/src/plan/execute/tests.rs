//! Services that start, or do not, and files that are put in their places.

use std::fmt;
use std::sync::Arc;

use super::*;
use crate::failure::exit_code;
use crate::fixture::Fixture;
use crate::plan::{Probe, ServiceProcess};
use crate::runner::{Processes, fails, says};
use crate::step::Step;
use crate::supervise::Stop;

/// Whatever the function says.
struct Looks(fn() -> Result<(), Unready>);

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it answers")
    }
}

impl Probe for Looks {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        (self.0)()
    }
}

fn asleep() -> Result<(), Unready> {
    Err(Unready::NotYet("asleep".to_owned()))
}

/// A service in the checkout's folder: its start, and the wait until it is ready.
fn service(fixture: &Fixture, look: fn() -> Result<(), Unready>, timeout: Duration) -> [Action; 2] {
    let (record, log) = (fixture.root().join("run/redis.json"), fixture.root().join("redis.log"));
    let step = Step::new("start Redis", "redis-server");
    let process = Some(ServiceProcess { record: record.clone(), log: log.clone() });
    [
        Action::Start(Launch { step, record, log: Some(log), socket: None }),
        Action::Await(Await { service: "redis".to_owned(), probe: Box::new(Looks(look)), timeout, process }),
    ]
}

fn run(fixture: &Fixture, actions: Vec<Action>) -> Outcome {
    Plan::of("redis", actions, "ready").run(&fixture.context)
}

#[track_caller]
fn failure(outcome: Outcome) -> Failure {
    outcome.result.unwrap_err().downcast().unwrap()
}

const LONG: Duration = Duration::from_mins(5);

#[test]
fn a_service_that_is_ready_is_among_those_that_were_started() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("redis-server", says(""));
    let outcome = run(&fixture, service(&fixture, || Ok(()), LONG).into());
    outcome.result.unwrap();
    assert_eq!(outcome.started.len(), 1);
    assert_eq!(outcome.started[0].record, fixture.root().join("run/redis.json"));
    assert!(fixture.said().contains("✓ redis  ready"), "{}", fixture.said());
}

#[test]
fn a_service_that_ends_at_once_is_told_with_what_it_said_this_time() {
    let fixture = Fixture::new(&[]);
    let log = fixture.root().join("redis.log");
    fixture.write("redis.log", "from yesterday\n");
    fixture.runner.on_and("redis-server", fails(1, ""), move || {
        std::fs::write(&log, "from yesterday\nBad directive\n").unwrap();
    });
    let outcome = run(&fixture, service(&fixture, asleep, LONG).into());
    assert_eq!(outcome.started.len(), 1, "what was started is known also where it failed");
    let failure = failure(outcome);
    assert_eq!(failure.to_string(), "redis ended with exit code 1 before it was ready");
    assert_eq!(failure.code(), Exit::Failed as u8);
    let log = fixture.root().join("redis.log").display().to_string();
    assert_eq!(failure.evidence(), [format!("the end of {log}:"), "| Bad directive".to_owned()]);
    assert_eq!(failure.hints(), ["cargo xtask logs redis"]);
}

#[test]
fn a_service_that_says_nothing_and_is_not_ready_in_time_is_unhealthy() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("redis-server", says(""));
    let failure = failure(run(&fixture, service(&fixture, asleep, Duration::ZERO).into()));
    assert_eq!(failure.to_string(), "redis was not ready within 0s: asleep");
    assert_eq!(failure.code(), Exit::Unhealthy as u8);
    assert!(failure.evidence()[0].ends_with("redis.log says nothing"), "{:?}", failure.evidence());
    assert!(failure.hints()[0].starts_with("--timeout SECONDS"), "{:?}", failure.hints());
}

#[test]
fn of_a_long_log_only_the_end_is_evidence() {
    let fixture = Fixture::new(&[]);
    let log = fixture.root().join("redis.log");
    let text = (0..100).fold(String::new(), |text, number| format!("{text}line {number}\n"));
    fixture.runner.on_and("redis-server", says(""), move || std::fs::write(&log, &text).unwrap());
    let failure = failure(run(&fixture, service(&fixture, asleep, Duration::ZERO).into()));
    assert_eq!(failure.evidence().len(), 1 + EVIDENCE_LINES);
    assert_eq!(failure.evidence().last().unwrap(), "| line 99");
}

#[test]
fn what_can_never_become_ready_is_not_waited_for() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("redis-server", says(""));
    let never = || Err(Unready::Failed(Failure::new(Exit::Migrations, "migrations were altered")));
    let failure = failure(run(&fixture, service(&fixture, never, LONG).into()));
    assert_eq!((failure.code(), failure.to_string().as_str()), (5, "migrations were altered"));
}

#[cfg(unix)]
#[test]
fn a_service_of_an_earlier_task_is_waited_for_as_long_as_its_process_lives() {
    let fixture = Fixture::new(&[]);
    let [_, wait] = service(&fixture, || Ok(()), LONG);
    let failure = failure(run(&fixture, vec![wait]));
    assert_eq!(failure.to_string(), "redis ended with an unknown exit code before it was ready");
    let ourselves = serde_json::to_string(&Record::of_ourselves().unwrap()).unwrap();
    fixture.write("run/redis.json", &ourselves);
    let [_, wait] = service(&fixture, || Ok(()), LONG);
    run(&fixture, vec![wait]).result.unwrap();
}

#[test]
fn an_interruption_ends_a_wait_at_once_and_is_told_as_what_it_is() {
    let fixture = Fixture::new(&[]);
    let interrupt = fixture.context.interrupt.clone();
    fixture.runner.on_and("redis-server", says(""), move || interrupt.request(Exit::Interrupted));
    let outcome = run(&fixture, service(&fixture, asleep, LONG).into());
    assert_eq!(outcome.started.len(), 1);
    assert_eq!(exit_code(&outcome.result.unwrap_err()), Exit::Interrupted as u8);
    assert!(fixture.said().contains("✗ redis  stopped"), "{}", fixture.said());
}

#[test]
fn a_failure_beside_a_wait_ends_the_wait_and_is_the_one_that_is_told() {
    let fixture = Fixture::new(&[]);
    fixture.runner.on("redis-server", says("")).on("broken", fails(3, "no luck"));
    let lane = |name: &str, actions: Vec<Action>| Lane { name: name.to_owned(), actions, result: String::new() };
    let broken = Action::Run(Step::new("do it", "broken"));
    let lanes = vec![
        lane("redis", service(&fixture, asleep, LONG).into()),
        lane("after", vec![Action::After("redis".to_owned())]),
        lane("broken", vec![broken]),
    ];
    let outcome = Plan { lanes }.run(&fixture.context);
    assert_eq!(outcome.result.unwrap_err().to_string(), "cannot do it: broken failed with exit code 3");
}

#[test]
fn a_folder_is_put_in_its_place_unless_somebody_was_faster() {
    let fixture = Fixture::new(&[]);
    let path = |name: &str| fixture.root().join(name);
    fixture.write("draft/a", "ours");
    run(&fixture, vec![Action::Install(path("draft"), path("place"))]).result.unwrap();
    assert_eq!(fixture.read("place/a"), "ours");
    fixture.write("draft/a", "later");
    run(&fixture, vec![Action::Install(path("draft"), path("place"))]).result.unwrap();
    assert_eq!(fixture.read("place/a"), "ours");
    assert!(!path("draft").exists());
    let error = run(&fixture, vec![Action::Install(path("draft"), path("elsewhere"))]).result.unwrap_err();
    assert!(error.to_string().starts_with("cannot put ") && error.to_string().ends_with("in its place"), "{error}");
    let error = run(&fixture, vec![Action::Rename(path("draft"), path("x"))]).result.unwrap_err();
    assert!(error.to_string().starts_with("cannot rename "), "{error}");
}

#[test]
fn a_list_of_links_that_cannot_be_read_is_an_error() {
    let fixture = Fixture::new(&[]);
    for text in [None, Some("not JSON"), Some(r#"[{"source":"a"}]"#)] {
        if let Some(text) = text {
            fixture.write("native/links.json", text);
        }
        let list = fixture.root().join("native/links.json");
        let error = run(&fixture, vec![Action::Links(list)]).result.unwrap_err();
        assert!(error.to_string().starts_with("cannot read "), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_gets_its_permissions_also_where_it_was_there() {
    let fixture = Fixture::new(&[]);
    let path = fixture.root().join("a/b");
    for mode in [0o755, 0o700] {
        let folder = Folder { path: path.clone(), mode, owner: None };
        run(&fixture, vec![Action::Folder(folder)]).result.unwrap();
        assert_eq!(file::is_open_to_others(&path), mode == 0o755);
    }
}

#[test]
fn a_stop_is_done_also_after_everything_else_was_ended() {
    let fixture = Fixture::new(&[]);
    fixture.write("run/redis.json", r#"{"pid":4294967295,"started":"x","since":"2026-01-01T00:00:00Z"}"#);
    let stop = Stop { service: "redis".to_owned(), record: fixture.root().join("run/redis.json"), signals: Vec::new() };
    fixture.context.interrupt.request(Exit::Interrupted);
    stop_all(&[Action::Run(Step::new("do it", "never")), Action::Stop(stop)], &|text| panic!("{text}")).unwrap();
    assert!(!fixture.root().join("run/redis.json").exists());
    assert!(fixture.runner.asked().is_empty(), "only what stops is done");
}

#[cfg(unix)]
#[test]
fn ctrl_c_waits_for_a_step_that_is_indivisible_and_for_no_other() {
    for is_indivisible in [true, false] {
        let mut fixture = Fixture::new(&[]);
        let (interrupt, root) = (fixture.context.interrupt.clone(), fixture.root().to_owned());
        fixture.context.runner =
            Box::new(Processes::new(Arc::clone(&fixture.context.terminal), CancelToken::on(&interrupt), false));
        let script = ": >begun; until [ -e go ]; do :; done; : >done";
        let step = Step::new("wait", "sh").args(["-c", script]).folder(&root).timeout(LONG);
        let step = if is_indivisible { step.indivisible() } else { step };
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                let has_begun =
                    || Ok(if root.join("begun").exists() { Poll::Ready(()) } else { Poll::Pending(String::new()) });
                wait::until(LONG, &CancelToken::never(), has_begun).unwrap();
                interrupt.request(Exit::Interrupted);
                if is_indivisible {
                    std::fs::write(root.join("go"), "").unwrap();
                }
            });
            run(&fixture, vec![Action::Run(step)])
        });
        assert_eq!((outcome.result.is_ok(), fixture.has("done")), (is_indivisible, is_indivisible));
    }
}
