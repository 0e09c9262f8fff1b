//! A stack in a word, and what is told of each service, for everything that an engine may see.

use super::*;
use crate::failure::exit_code;
use crate::fixture::Fixture;
use crate::fixture::servers::{Servers, free_block};
use crate::interrupt::CancelToken;
use crate::lock::Lock;
use crate::stack::ports::Ports;
use crate::stack::service::Service::{Backend, Postgres, Redis};
use crate::stack::watch::report::Phase;

fn state(wanted: &[Service], port: u16) -> State {
    let mut state = State::new(EngineKind::Host, Ports::block(port));
    state.want(wanted);
    state
}

fn seen(states: [RunState; 3]) -> View {
    View::of_each(|service| {
        let place = Service::USUAL.iter().position(|one| *one == service);
        Seen { state: place.map_or(RunState::Stopped, |place| states[place]), ..Seen::nothing(service) }
    })
}

fn failure_of(report: &Report) -> Failure {
    report.check().unwrap_err().downcast().unwrap()
}

#[test]
fn a_stack_is_in_a_word_what_its_wanted_services_are() {
    use Overall::{Degraded, Down, Up};
    use RunState::{Exited, Running, Stopped};
    let (fixture, block) = (Fixture::new(&[]), free_block());
    // PostgreSQL answers, and nobody else.
    let mut servers = Servers::default();
    servers.start(Postgres, Ports::block(block).of(Postgres));
    for (wanted, states, expected) in [
        ([].as_slice(), [Stopped; 3], Down),
        (&[Postgres], [Running, Stopped, Stopped], Up),
        (&[Postgres, Redis], [Running, Stopped, Stopped], Degraded),
        (&[Postgres, Redis], [Running, Exited, Stopped], Degraded),
        (&[Postgres, Redis], [Running, Running, Stopped], Degraded),
        (&[Postgres], [Exited, Stopped, Stopped], Degraded),
        // What nobody wants may be as it likes.
        (&[Postgres], [Running, Exited, Running], Up),
        (&[], [Running, Stopped, Stopped], Down),
    ] {
        let state = state(wanted, block);
        let report = Report::of(&fixture.context.project, Some(&state), None, &seen(states), None);
        assert_eq!(report.state, expected, "{wanted:?} {states:?}");
        assert_eq!(report.check().is_ok(), expected != Degraded);
    }
}

#[test]
fn processes_that_no_record_tells_of_are_named_with_what_ends_them() {
    let fixture = Fixture::new(&[]);
    let view = seen([RunState::Stopped; 3]).with_strays(vec![("redis-server".to_owned(), 77)]);
    let report = Report::of(&fixture.context.project, None, None, &view, None);
    assert_eq!(report.state, Overall::Degraded, "also where nothing should run");
    let failure = failure_of(&report);
    assert_eq!(failure.code(), Exit::Unhealthy as u8);
    assert_eq!(failure.evidence(), ["redis-server (process 77)"]);
    assert!(failure.hints()[0].starts_with("cargo xtask up") && failure.hints()[1].starts_with("cargo xtask down"));
}

#[test]
fn what_does_not_run_says_why() {
    let fixture = Fixture::new(&[]);
    let project = &fixture.context.project;
    let mut state = state(&[Redis], free_block());
    let of_redis = |state: &State, how: RunState, ended: Option<&str>| {
        let view =
            View::of_each(|service| Seen { state: how, ended: ended.map(str::to_owned), ..Seen::nothing(service) });
        let report = Report::of(project, Some(state), None, &view, None);
        let redis = report.services.into_iter().find(|one| one.name == Redis).unwrap();
        (redis.state, redis.detail.unwrap_or_default(), redis.port.is_some())
    };
    assert_eq!(of_redis(&state, RunState::Stopped, None), (RunState::Exited, "it is gone".to_owned(), true));
    assert_eq!(of_redis(&state, RunState::Exited, None), (RunState::Exited, "it ended by itself".to_owned(), true));
    assert_eq!(of_redis(&state, RunState::Exited, Some("no luck")), (RunState::Exited, "no luck".to_owned(), true));
    state.failure = Some("no compiler".to_owned());
    let why = "stopped, because the last start failed: no compiler".to_owned();
    assert_eq!(of_redis(&state, RunState::Exited, None), (RunState::Stopped, why, false));
    state.wanted.clear();
    assert_eq!(of_redis(&state, RunState::Stopped, None), (RunState::Stopped, String::new(), false));
}

#[test]
fn only_a_task_that_starts_things_is_a_start() {
    let fixture = Fixture::new(&[]);
    let state = state(&[Redis], free_block());
    for (task, expected) in [
        ("up", Overall::Starting),
        ("watch", Overall::Starting),
        ("restart", Overall::Starting),
        ("down", Overall::Degraded),
        ("clean", Overall::Degraded),
    ] {
        let path = fixture.stack().lock();
        let never = CancelToken::never();
        let _lock = Lock::take(&path, task, Duration::ZERO, &never, &fixture.context.terminal).unwrap();
        let view = seen([RunState::Stopped; 3]);
        let report = Report::of(&fixture.context.project, Some(&state), None, &view, Holder::of(&path));
        assert_eq!(report.state, expected, "{task}");
        assert_eq!(exit_code(&report.check().unwrap_err()), Exit::Unhealthy as u8);
    }
}

#[test]
fn a_first_start_is_starting_before_it_has_written_down_what_is_wanted() {
    let fixture = Fixture::new(&[]);
    let path = fixture.stack().lock();
    let _lock = Lock::take(&path, "up", Duration::ZERO, &CancelToken::never(), &fixture.context.terminal).unwrap();
    let view = seen([RunState::Stopped; 3]);
    let down = state(&[], free_block());
    for state in [None, Some(&down)] {
        let report = Report::of(&fixture.context.project, state, None, &view, Holder::of(&path));
        assert_eq!(report.state, Overall::Starting);
    }
}

#[test]
fn what_helps_is_what_the_watcher_says_where_it_says_something() {
    let (fixture, block) = (Fixture::new(&[]), free_block());
    let state = state(&[Backend], block);
    let hints_with = |watch: Option<Watch>| {
        let view =
            View::of_each(|service| Seen { state: RunState::Running, watch: watch.clone(), ..Seen::nothing(service) });
        let report = Report::of(&fixture.context.project, Some(&state), None, &view, None);
        let backend = report.services.iter().find(|one| one.name == Backend).unwrap().detail.clone().unwrap();
        (backend, failure_of(&report).hints().to_vec())
    };
    let logs = "cargo xtask logs backend";
    assert_eq!(hints_with(None), ("nothing listens there".to_owned(), vec!["cargo xtask restart".into(), logs.into()]));
    let says = |problem: Option<&str>| WatchReport {
        phase: Phase::Waiting,
        problem: problem.map(str::to_owned),
        hints: vec!["edit the query".to_owned()],
        reloads: 0,
    };
    let watch = Watch { running: true, says: Some(says(Some("the backend ended with signal 11"))) };
    let expected = ("the backend ended with signal 11".to_owned(), vec!["edit the query".into(), logs.into()]);
    assert_eq!(hints_with(Some(watch)), expected);
    let lost = Watch { running: false, says: None };
    assert_eq!(hints_with(Some(lost)).1, ["cargo xtask up", logs]);
}
