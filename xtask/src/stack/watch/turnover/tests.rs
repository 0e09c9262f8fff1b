//! What becomes of a watcher when servers come, go, crash or never come.

use super::super::build::{Outcome, Prepared};
use super::super::tests::{last, lines, prepared, with_watcher};
use super::*;

fn broken(summary: &str) -> Outcome {
    Outcome::Failed(Problem::of_source(summary.to_owned(), vec!["what the compiler says".to_owned()]))
}

#[test]
fn the_first_server_serves_and_each_after_it_is_a_reload() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        assert_eq!((watcher.told().phase, watcher.told().reloads), (Phase::Idle, 0));
        assert_eq!(last(fixture), "serving");
        watcher.edited = Some(Instant::now());
        watcher.serves();
        assert_eq!(watcher.told().reloads, 1);
        assert!(last(fixture).starts_with("reloaded 0."), "{}", last(fixture));
        watcher.take_over(1).unwrap();
        assert_eq!(watcher.told().reloads, 1, "an older one that is late takes nothing over");
    });
}

#[test]
fn a_build_that_fails_while_an_older_one_serves_is_told_and_changes_nothing() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        assert_eq!(watcher.comes_to(broken("1 error in backend/src/main.rs:7")), None);
        let report = watcher.told();
        assert_eq!((report.phase, report.problem.as_deref()), (Phase::Idle, Some("1 error in backend/src/main.rs:7")));
        let said = lines(fixture);
        assert_eq!(
            said[said.len() - 2..],
            ["1 error in backend/src/main.rs:7; the older build keeps serving", "what the compiler says"]
        );
        assert!(watcher.retry.is_none(), "only an edit helps");
        assert!(watcher.servers.is_serving());
    });
}

#[test]
fn a_failure_before_anything_served_ends_the_watcher_with_its_code() {
    with_watcher(true, |_, mut watcher| {
        assert_eq!(watcher.comes_to(broken("1 error")), Some(1));
    });
    for (how, code) in [("exit code 3", 3), ("exit code 5", 5), ("signal 9", 1)] {
        with_watcher(true, |_, mut watcher| {
            let first = prepared(&watcher);
            watcher.comes_to(Outcome::Prepared(first));
            assert_eq!(watcher.ended(1, how).unwrap(), Some(code), "{how}");
            let problem = watcher.told().problem.unwrap();
            assert_eq!(problem, format!("the new server ended with {how} before it was ready"));
            assert_eq!(watcher.told().hints, [LOGS]);
        });
    }
}

#[test]
fn a_new_server_that_dies_leaves_the_older_one_serving() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        let next = prepared(&watcher);
        watcher.comes_to(Outcome::Prepared(next));
        assert_eq!(watcher.ended(2, "exit code 101").unwrap(), None);
        assert_eq!(watcher.told().phase, Phase::Waiting);
        let said = lines(fixture);
        assert!(
            said.iter().any(|line| line.ends_with("before it was ready; the older build keeps serving")),
            "{said:?}"
        );
        assert!(said.contains(&format!("try: {LOGS}")), "{said:?}");
        assert_eq!(last(fixture), "it did not get ready; trying again in 500ms");
    });
}

#[test]
fn a_new_server_that_could_not_start_is_started_again_although_nothing_was_built_meanwhile() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        let next = prepared(&watcher);
        watcher.comes_to(Outcome::Prepared(next));
        watcher.ended(2, "exit code 1").unwrap();
        assert!(watcher.retry.is_some());
        let again = Prepared { is_another_binary: false, ..prepared(&watcher) };
        watcher.comes_to(Outcome::Prepared(again));
        assert_eq!(watcher.told().phase, Phase::Starting, "{:?}", last(fixture));
        watcher.take_over(3).unwrap();
        assert_eq!((watcher.told().phase, watcher.told().problem), (Phase::Idle, None));
        let same = Prepared { is_another_binary: false, ..prepared(&watcher) };
        watcher.comes_to(Outcome::Prepared(same));
        assert_eq!(last(fixture), "the build is the same; nothing to reload", "now it serves");
    });
}

#[test]
fn a_new_server_that_never_gets_ready_is_given_up_on_and_wrong_settings_are_at_once() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        for attempt in 0..=RETRIES {
            let next = Prepared { is_another_binary: attempt == 0, ..prepared(&watcher) };
            watcher.comes_to(Outcome::Prepared(next));
            watcher.ended(watcher.servers.last(), "exit code 1").unwrap();
            assert_eq!(watcher.retry.is_some(), attempt < RETRIES, "attempt {attempt}: {}", last(fixture));
            watcher.retry = None;
        }
        assert_eq!(watcher.told().phase, Phase::Idle);
    });
    with_watcher(true, |_, mut watcher| {
        watcher.serves();
        let next = prepared(&watcher);
        watcher.comes_to(Outcome::Prepared(next));
        watcher.ended(2, "exit code 3").unwrap();
        assert!(watcher.retry.is_none() && watcher.told().phase == Phase::Idle);
    });
}

#[test]
fn a_backend_that_crashes_is_started_again_after_pauses_that_double_up_to_half_a_minute() {
    with_watcher(true, |fixture, mut watcher| {
        let pauses = ["500ms", "1s", "2s", "4s", "8s", "16s", "30s", "30s"];
        for (index, pause) in pauses.into_iter().enumerate() {
            // The same binary again, as after a crash.
            let same = Prepared { is_another_binary: false, ..prepared(&watcher) };
            watcher.comes_to(Outcome::Prepared(same));
            let number = watcher.servers.last();
            watcher.take_over(number).unwrap();
            assert!(watcher.retry.is_none());
            assert_eq!(watcher.ended(number, "signal 11").unwrap(), None);
            let times = if index == 0 { String::new() } else { format!(", {} times in a row", index + 1) };
            assert_eq!(last(fixture), format!("the backend ended with signal 11{times}; starting it again in {pause}"));
            let report = watcher.told();
            assert_eq!((report.phase, report.hints), (Phase::Waiting, vec![LOGS.to_owned()]));
            let wait = watcher.retry.unwrap().saturating_duration_since(Instant::now());
            assert!(wait <= LAST_BACKOFF);
        }
    });
}

#[test]
fn another_binary_begins_with_the_shortest_pause() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.crashes = 5;
        watcher.serves();
        watcher.ended(1, "signal 11").unwrap();
        assert!(last(fixture).ends_with("starting it again in 500ms"));
    });
}

#[test]
fn the_end_of_a_server_that_was_asked_to_end_is_nothing_to_tell() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        watcher.serves();
        let said = lines(fixture).len();
        assert_eq!(watcher.ended(1, "exit code 1").unwrap(), None);
        assert_eq!((lines(fixture).len(), watcher.told().phase), (said, Phase::Idle));
    });
}

#[test]
fn when_nothing_serves_any_more_a_failed_start_is_tried_again_and_a_failed_build_is_not() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        watcher.ended(1, "signal 11").unwrap();
        let next = Prepared { is_another_binary: false, ..prepared(&watcher) };
        watcher.comes_to(Outcome::Prepared(next));
        assert_eq!(watcher.ended(2, "exit code 1").unwrap(), None);
        assert_eq!(last(fixture), "nothing serves, 2 times in a row; trying again in 1s");
        assert_eq!(watcher.told().phase, Phase::Waiting);
        watcher.retry = None;
        assert_eq!(watcher.comes_to(broken("1 error")), None);
        assert!(watcher.retry.is_none(), "only an edit helps");
        assert_eq!(watcher.told().phase, Phase::Idle);
    });
}

#[test]
fn what_is_due_is_done_unless_something_is_under_way() {
    with_watcher(true, |_, mut watcher| {
        watcher.serves();
        watcher.ended(1, "signal 11").unwrap();
        let jobs = watcher.jobs;
        watcher.tick();
        assert_eq!(watcher.jobs, jobs, "it is not due yet");
        watcher.retry = Some(Instant::now());
        watcher.tick();
        assert_eq!((watcher.jobs, watcher.retry), (jobs + 1, None));
        watcher.retry = Some(Instant::now());
        watcher.tick();
        assert_eq!(watcher.jobs, jobs + 1, "one at a time");
    });
}

#[test]
fn a_problem_of_what_was_edited_since_outlives_a_server_that_comes_late() {
    with_watcher(true, |fixture, mut watcher| {
        watcher.serves();
        let next = prepared(&watcher);
        watcher.comes_to(Outcome::Prepared(next));
        // Edited again, and that does not compile.
        fixture.write("backend/src/main.rs", "broken");
        watcher.seen = watcher.sources.look();
        watcher.comes_to(broken("1 error"));
        watcher.take_over(2).unwrap();
        assert_eq!(watcher.told().problem.as_deref(), Some("1 error"));
        // What serves is what was edited last: nothing is wrong any more.
        let next = prepared(&watcher);
        watcher.comes_to(Outcome::Prepared(next));
        watcher.take_over(3).unwrap();
        assert_eq!((watcher.told().problem, watcher.told().hints), (None, Vec::new()));
    });
}
