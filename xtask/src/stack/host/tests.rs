//! The host engine, as far as it can be tested without processes: this very process stands for what runs.

use super::*;
use crate::fixture::Fixture;
use crate::runner::says;
use crate::stack::ports::Ports;
use crate::stack::service::Service::{Backend, Postgres, Redis};

/// A record of a process that is no more.
const GONE: &str = r#"{"pid":4000000,"started":"never","since":"2026-01-01T00:00:00Z"}"#;

fn request(polls: Option<bool>) -> Request {
    Request {
        services: Service::USUAL.to_vec(),
        origin: Origin::Auto,
        timeout: Duration::from_mins(1),
        production: false,
        replicas: 1,
        watch: None,
        polls,
    }
}

fn state(polls: bool) -> State {
    let mut state = State::new(EngineKind::Host, Ports::block(20_000));
    state.polls = polls;
    state
}

#[test]
fn the_binary_is_found_whatever_profile_ours_is_of() {
    for profile in ["xtask", "debug", "release"] {
        assert_eq!(binary_beside(&Path::new("/t").join(profile).join("xtask")), Path::new("/t/debug").join(BINARY));
    }
}

#[test]
fn a_service_stands_as_its_record_and_its_watcher_say() {
    use Standing::{Absent, Current, Outdated};
    type Prepare = fn(&Fixture);
    let serves: Prepare = |fixture| fixture.is(Backend);
    let is_watched: Prepare = |fixture| {
        fixture.is(Backend);
        fixture.is_watcher();
    };
    let watcher_alone: Prepare = Fixture::is_watcher;
    let gone: Prepare = |fixture| fixture.write(".stack/run/backend.json", GONE);
    let nothing: Prepare = |_| ();
    for (prepare, watch, polls, expected) in [
        (nothing, true, None, Absent),
        (gone, true, None, Absent),
        (serves, false, None, Current),
        (serves, true, None, Outdated),
        (is_watched, true, None, Current),
        (is_watched, false, None, Outdated),
        (watcher_alone, true, None, Current),
        (is_watched, true, Some(false), Current),
        (is_watched, true, Some(true), Outdated),
        // Who does not watch does not look at intervals either.
        (serves, false, Some(true), Current),
    ] {
        let (fixture, _servers) = Fixture::with_servers();
        prepare(&fixture);
        let host = Host::open(&fixture.context);
        let standing = host.standing(Some(&state(false)), &request(polls), watch).unwrap();
        assert_eq!(standing, [(Postgres, Absent), (Redis, Absent), (Backend, expected)], "{watch} {polls:?}");
    }
}

#[test]
fn a_server_in_no_other_form_stands_as_it_runs() {
    let (fixture, _servers) = Fixture::with_servers();
    fixture.is(Redis);
    let host = Host::open(&fixture.context);
    let standing = host.standing(None, &request(Some(true)), true).unwrap();
    assert_eq!(standing[1], (Redis, Standing::Current));
    assert_eq!(host.running(None).unwrap(), [Redis]);
}

#[test]
fn data_without_a_state_is_a_stack_that_is_down_and_nothing_at_all_is_none() {
    let (fixture, _servers) = Fixture::with_servers();
    let host = Host::open(&fixture.context);
    assert_eq!(host.rediscover().unwrap(), None);
    for path in [".stack/redis/redis-7/dump.rdb", ".stack/postgres/data/PG_VERSION"] {
        let (fixture, _servers) = Fixture::with_servers();
        fixture.write(path, "15");
        let found = Host::open(&fixture.context).rediscover().unwrap().unwrap();
        assert_eq!((found.engine, found.wanted.is_empty()), (EngineKind::Host, true), "{path}");
        assert_eq!(found.ports.of(Redis), fixture.port(Redis), "where it would listen first");
    }
}

#[test]
fn what_is_left_of_a_process_that_is_gone_is_removed_by_a_stop() {
    let (fixture, _servers) = Fixture::with_servers();
    fixture.write(".stack/run/redis.json", GONE);
    let host = Host::open(&fixture.context);
    let lanes = host.stop(None, &[Backend, Redis, Postgres]).unwrap();
    let shown: Vec<String> = lanes.iter().flat_map(|lane| &lane.actions).map(ToString::to_string).collect();
    assert_eq!(shown, [format!("rm -rf {}", fixture.stack().record(Redis).display())]);
}

#[test]
fn what_a_killed_task_left_half_done_is_put_in_order() {
    let (fixture, _servers) = Fixture::with_servers();
    for path in [
        ".stack/run/redis.launch",
        ".stack/run/redis.stopping",
        ".stack/run/servers/3.json",
        ".stack/postgres.removed/data/PG_VERSION",
        ".stack/.stack.json.4000000.draft",
        ".env.docker.4000000.kept",
    ] {
        fixture.write(path, GONE);
    }
    fixture.write(".stack/run/redis.json", GONE);
    let draft = format!(".stack/run/.redis.json.{}.draft", std::process::id());
    fixture.write(&draft, "");
    Host::open(&fixture.context).settle(None).unwrap();
    for gone in ["run/redis.launch", "run/redis.stopping", "run/redis.json", "run/servers/3.json", "postgres.removed"] {
        assert!(!fixture.has(&format!(".stack/{gone}")), "{gone}");
    }
    assert!(!fixture.has(".stack/.stack.json.4000000.draft"));
    assert!(fixture.has(&draft), "somebody who lives is writing it");
    assert!(fixture.has(".env.docker.4000000.kept"), "no draft of ours");
}

#[test]
fn a_server_that_serves_outlives_the_watcher_that_was_killed() {
    let (fixture, _servers) = Fixture::with_servers();
    fixture.is(Backend);
    let current = fixture.read(".stack/run/backend.json");
    fixture.write(".stack/run/servers/1.json", &current);
    fixture.write(".stack/run/servers/2.json", GONE);
    Host::open(&fixture.context).settle(None).unwrap();
    assert!(fixture.has(".stack/run/backend.json"), "and this process as well");
    assert!(!fixture.has(".stack/run/servers/1.json") && !fixture.has(".stack/run/servers/2.json"));
}

#[test]
fn only_what_was_launched_is_taken_back() {
    let (fixture, _servers) = Fixture::with_servers();
    let host = Host::open(&fixture.context);
    let settings = Settings::load(&fixture.context.project).unwrap();
    let (request, ports, state) = (request(None), Ports::block(20_000), state(false));
    let start = Start {
        request: &request,
        settings: &settings,
        ports: &ports,
        starting: Service::USUAL.to_vec(),
        outdated: Vec::new(),
        waiting: Vec::new(),
        watch: true,
        polls: false,
        before: None,
    };
    let launch = |record: PathBuf| Launch { step: Step::new("x", "x"), record, log: None, socket: None };
    let watcher = launch(fixture.stack().watch().watcher());
    let redis = launch(fixture.stack().record(Redis));
    assert_eq!(host.take_back(&start, &state, &[]).unwrap(), []);
    assert_eq!(host.take_back(&start, &state, std::slice::from_ref(&redis)).unwrap(), [Redis]);
    assert_eq!(host.take_back(&start, &state, &[redis, watcher]).unwrap(), [Backend, Redis], "users first");
}

#[test]
fn a_watcher_that_is_wanted_and_gone_is_seen_and_one_that_nobody_wants_is_not() {
    let (fixture, _servers) = Fixture::with_servers();
    let host = Host::open(&fixture.context);
    let mut state = state(false);
    state.watch = true;
    assert_eq!(host.see_watch(Some(&state)), None, "the backend is not wanted");
    state.want(&[Backend]);
    assert!(!host.see_watch(Some(&state)).unwrap().running);
    fixture.is_watcher();
    let watch = host.see_watch(None).unwrap();
    assert!(watch.running && watch.says.is_some());
}

#[test]
fn servers_of_this_machine_are_taken_by_what_they_say_of_themselves() {
    let cases = [
        ("postgres", "postgres --version", "postgres (PostgreSQL) 14.9\n", "is 14.9, and 15 or newer is needed"),
        ("postgres", "postgres --version", "segmentation fault\n", "does not run"),
        ("redis", "redis-server --version", "Redis server v=6.2.1 sha=0\n", "is 6.2.1, and 7 or newer is needed"),
        ("redis", "redis-server --version", "", "does not run"),
    ];
    for (service, words, said, expected) in cases {
        let (mut fixture, _servers) = Fixture::with_servers();
        fixture.runner.on(words, says(said));
        let ran = fixture.xtask(&["up", service, "--servers", "system"]).expect(3);
        ran.says(&["can be had here", "looked at ROOT/programs", expected, "once the Docker engine is there"]);
        assert_eq!(fixture.runner.changes(), Vec::<String>::new());
    }
}

#[test]
fn data_is_served_by_its_own_major_version_only() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.write(".stack/postgres/data/PG_VERSION", "17\n");
    let ran = fixture.xtask(&["up", "postgres", "--servers", "system"]).expect(3);
    ran.says(&["the data was made by PostgreSQL 17", "and 17 is needed", "the data is untouched"]);
    fixture.runner.on("postgres --version", says("postgres (PostgreSQL) 17.2\n"));
    let ran = fixture.xtask(&["up", "postgres", "--servers", "system", "--dry-run"]).expect(0);
    ran.says(&["postgres -D ROOT/.stack/postgres/data"]).keeps_silent_about(&["initdb"]);
}

#[test]
fn data_without_its_version_is_not_taken_for_none() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.write(".stack/postgres/data/base/1/1", "rows");
    let ran = fixture.xtask(&["up", "postgres"]).expect(1);
    ran.says(&["has no PG_VERSION", "nothing was changed"]);
    assert_eq!(fixture.read(".stack/postgres/data/base/1/1"), "rows");
}
