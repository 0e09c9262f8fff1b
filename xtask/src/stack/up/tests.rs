//! What a start starts, restarts, waits for and takes back, with a Docker daemon that a test has in mind.

use crate::failure::Exit;
use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::fixture::host::PASSWORDS;
use crate::fixture::servers::{Servers, UNHEALTHY};
use crate::runner::{fails, says};
use crate::stack::ports;
use crate::stack::service::Service::{self, Backend, Postgres, Redis};

/// The services that compose was told to start, command by command.
fn started(fixture: &Fixture) -> Vec<String> {
    words_after(fixture, "up --detach --no-build --no-deps --quiet-pull -- ")
}

/// The services that compose was told to stop or to remove.
fn stopped(fixture: &Fixture) -> Vec<String> {
    [words_after(fixture, "stop -- "), words_after(fixture, "rm --stop --force -- ")].concat()
}

fn words_after(fixture: &Fixture, words: &str) -> Vec<String> {
    let asked = fixture.runner.asked();
    asked.iter().filter_map(|command| Some(command.split_once(&format!(" {words}"))?.1.to_owned())).collect()
}

fn up() -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    (fixture, daemon)
}

#[test]
fn only_what_does_not_run_is_started() {
    type Case = (&'static [Service], &'static [&'static str]);
    let cases: [Case; 5] = [
        (&[], &[]),
        (&[Redis], &["redis"]),
        (&[Postgres, Redis], &["postgres redis"]),
        (&[Backend], &["backend"]),
        (&Service::USUAL, &["postgres redis", "backend"]),
    ];
    for (gone, expected) in cases {
        let (mut fixture, daemon) = up();
        {
            let mut model = daemon.model();
            let ports = gone.iter().map(|service| fixture.port(*service)).collect::<Vec<_>>();
            model.containers.retain(|one| !gone.contains(&one.service));
            for port in ports {
                model.servers.stop(port);
            }
        }
        fixture.xtask(&["up"]).expect(0);
        assert_eq!(started(&fixture), expected, "without {gone:?}");
        assert_eq!(daemon.running().len(), 3);
    }
}

#[test]
fn a_container_that_has_ended_is_started_again() {
    let (mut fixture, daemon) = up();
    daemon.put(Redis, "exited");
    let port = fixture.port(Redis);
    daemon.model().servers.stop(port);
    fixture.xtask(&["up"]).expect(0);
    assert_eq!(started(&fixture), ["redis"]);
}

#[test]
fn a_backend_in_another_form_is_replaced_and_nothing_else() {
    for words in [["up", "--no-watch"], ["up", "--poll"], ["up", "--production"]] {
        let (mut fixture, _daemon) = up();
        fixture.xtask(&words).expect(0);
        assert_eq!(started(&fixture), ["backend"], "{words:?}");
        fixture.xtask(&["restart", "redis"]).expect(0);
        assert_eq!(started(&fixture), ["redis"], "{words:?}: a restart keeps the form");
    }
}

#[test]
fn a_form_that_nobody_asks_for_stays_as_it_is() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "--no-watch"]).expect(0);
    fixture.xtask(&["up"]).expect(0).says(&["everything is running already"]);
    assert!(!fixture.state().watch);
    fixture.xtask(&["watch", "--dry-run"]).expect(0).says(&["-- backend"]);
}

#[test]
fn another_password_restarts_exactly_what_has_it_and_what_uses_it() {
    let cases = [
        ("POSTGRES_PASSWORD", "backend, postgres", ["postgres", "backend"]),
        ("REDIS_PASSWORD", "backend, redis", ["redis", "backend"]),
    ];
    for (setting, said, expected) in cases {
        let (mut fixture, daemon) = up();
        fixture.set(setting, "hunter-another");
        let ran = fixture.xtask(&["up"]).expect(0);
        ran.says(&[&format!("the settings have another password: restarting {said}")]);
        assert_eq!(started(&fixture), expected);
        assert_eq!(daemon.running().len(), 3);
        let alters_role = fixture.runner.was_asked("printf psql --no-psqlrc");
        assert_eq!(alters_role, setting == "POSTGRES_PASSWORD");
        let secrets = [PASSWORDS[0], PASSWORDS[1], "hunter-another"];
        assert!(fixture.runner.asked().iter().all(|command| !secrets.iter().any(|secret| command.contains(secret))));
        fixture.xtask(&["up"]).expect(0).says(&["everything is running already"]);
    }
}

#[test]
fn another_password_for_what_does_not_run_restarts_nothing() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "redis"]).expect(0);
    fixture.set("POSTGRES_PASSWORD", "hunter-another");
    fixture.xtask(&["up", "redis"]).expect(0).says(&["everything is running already"]);
}

#[test]
fn a_service_whose_port_is_taken_moves_and_says_so_and_stays_there() {
    let (mut fixture, daemon) = Fixture::with_docker();
    let mut stranger = Servers::default();
    stranger.start(Redis, fixture.port(Postgres));
    let ran = fixture.xtask(&["up"]).expect(0).says(&["warning: port 5432, for postgres, is taken by"]);
    let ours = format!("(process {}", std::process::id());
    let place = ports::own_block(fixture.context.project.number()).of(Postgres);
    ran.says(&[&ours, &format!("postgres uses port {place} from now on"), "127.0.0.1:6379"]);
    assert_eq!(fixture.state().ports.of(Postgres), place);
    assert_eq!(fixture.state().ports.of(Backend), fixture.port(Backend), "the others stay where they are");

    drop(stranger);
    fixture.xtask(&["down"]).expect(0);
    fixture.xtask(&["up"]).expect(0).keeps_silent_about(&["warning:"]);
    assert_eq!(fixture.state().ports.of(Postgres), place, "it is remembered");
    assert_eq!(daemon.running(), Service::USUAL);
}

#[test]
fn a_service_that_moves_takes_along_what_was_told_its_old_port() {
    let (mut fixture, daemon) = up();
    {
        let mut model = daemon.model();
        model.containers.retain(|one| one.service != Postgres);
        // Somebody else has the port meanwhile.
        model.servers.start(Redis, fixture.port(Postgres));
    }
    fixture.xtask(&["up"]).expect(0).says(&["postgres uses port"]);
    assert_eq!(started(&fixture), ["postgres", "backend"]);
}

#[test]
fn a_port_that_is_edited_counts_from_the_next_start_of_that_service_on() {
    let (mut fixture, _daemon) = up();
    let another = fixture.port(Redis) + 3;
    fixture.set("REDIS_PORT", &another.to_string());
    let ran = fixture.xtask(&["up"]).expect(0);
    ran.says(&["REDIS_PORT has changed, which counts from `cargo xtask restart redis` on"]);
    assert_eq!(started(&fixture), Vec::<String>::new());
    fixture.xtask(&["restart", "redis"]).expect(0);
    assert_eq!(fixture.state().ports.of(Redis), another);
    assert_eq!(started(&fixture), ["redis", "backend"], "the backend was told the old port");
}

#[test]
fn what_runs_and_does_not_answer_is_waited_for_and_left_alone() {
    let (mut fixture, daemon) = up();
    let port = fixture.port(Redis);
    daemon.model().servers.stop(port);
    let ran = fixture.xtask(&["up", "--timeout", "0"]).expect(Exit::Unhealthy as u8);
    ran.says(&["redis was not ready within 0s: nothing listens there", "--timeout SECONDS"]);
    assert_eq!(started(&fixture), Vec::<String>::new());
    assert_eq!(stopped(&fixture), Vec::<String>::new());
    assert_eq!(daemon.running(), Service::USUAL);
}

#[test]
fn a_start_that_fails_stops_what_it_had_started_and_notes_why() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.runner.on("compose run --rm -build backend sh", fails(101, "error: no"));
    let ran = fixture.xtask(&["up"]).expect(1);
    ran.says(&[
        "cannot build the backend and check its settings: docker failed with exit code 101",
        "error: no",
        "stopped backend, redis, postgres",
    ]);
    assert_eq!(stopped(&fixture), ["backend redis postgres"]);
    assert!(daemon.running().is_empty());
    let state = fixture.state();
    assert!(state.wanted.is_empty());
    assert_eq!(
        state.failure.as_deref(),
        Some("cannot build the backend and check its settings: docker failed with exit code 101")
    );
    fixture.xtask(&["status"]).expect(0).says(&["Product is down", "the last start failed, and stopped"]);
}

#[test]
fn a_start_that_fails_leaves_alone_what_ran_before() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "redis"]).expect(0);
    fixture.runner.on("compose run --rm -build backend sh", fails(101, "error: no"));
    fixture.xtask(&["up"]).expect(1).says(&["stopped backend, postgres\n"]);
    assert_eq!(daemon.running(), [Redis]);
    assert_eq!(fixture.state().wanted, [Redis]);
    fixture.xtask(&["status"]).expect(0).says(&["Product is up"]);
}

#[test]
fn an_older_backend_that_serves_is_not_stopped_by_a_failed_replacement() {
    let (mut fixture, daemon) = up();
    fixture.runner.on("compose run --rm -build backend sh", fails(101, "error: no"));
    fixture.xtask(&["up", "--no-watch"]).expect(1).keeps_silent_about(&["stopped backend"]);
    assert_eq!(daemon.running(), Service::USUAL);
    assert_eq!(fixture.state().wanted, Service::USUAL);

    // One that does not serve is no use to anybody.
    let (mut fixture, daemon) = up();
    fixture.runner.on("compose run --rm -build backend sh", fails(101, "error: no"));
    let port = fixture.port(Backend);
    daemon.model().servers.answer(port, UNHEALTHY);
    fixture.xtask(&["up", "--no-watch"]).expect(1).says(&["stopped backend\n"]);
    assert_eq!(daemon.running(), [Postgres, Redis]);
}

#[test]
fn the_backends_own_exit_codes_are_those_of_the_task() {
    for (code, expected) in [(1, 1), (3, 3), (4, 4), (5, 5), (6, 6), (9, 9), (101, 1)] {
        let (mut fixture, daemon) = Fixture::with_docker();
        fixture.runner.on("compose run --rm -build backend sh", fails(code, "its words"));
        fixture.xtask(&["up"]).expect(expected).says(&["its words"]);
        assert!(daemon.running().is_empty(), "{code}");
    }
}

#[test]
fn migrations_that_are_altered_end_a_start_on_this_machine_with_their_code() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.runner.on("migrate run", fails(5, "migration 1 differs from its file"));
    let ran = fixture.xtask(&["up"]).expect(Exit::Migrations as u8);
    ran.says(&[
        "cannot apply migrations",
        "migration 1 differs from its file",
        "cargo xtask migrate status",
        "stopped",
    ]);
    assert!(!fixture.runner.was_asked("watch-backend"), "nothing serves on such a database");
    assert!(fixture.state().wanted.is_empty());
    assert!(fixture.state().failure.unwrap().starts_with("cannot apply migrations"));
}

#[test]
fn data_that_could_not_be_made_is_not_there() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.runner.on("initdb --pgdata", fails(1, "no space left on device"));
    fixture.xtask(&["up", "postgres"]).expect(1).says(&["cannot create the data folder", "no space left on device"]);
    assert!(!fixture.stack().postgres_data().exists());
    assert!(!fixture.runner.was_asked("postgres -D listen_addresses"));
}

#[test]
fn a_backend_that_does_not_become_healthy_is_unhealthy_with_its_last_words() {
    let (mut fixture, daemon) = Fixture::with_docker();
    daemon.model().mute.push(Backend);
    let ran = fixture.xtask(&["up", "--timeout", "0"]);
    // Redis and PostgreSQL answer at the first question, or the first of them that is asked too early is the failure.
    let ran = ran.expect(Exit::Unhealthy as u8);
    ran.says(&["was not ready within 0s", "stopped backend, redis, postgres"]);
    assert!(daemon.running().is_empty());
}

#[test]
fn a_container_that_ends_before_it_is_ready_is_told_at_once() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    let gone = r#"{"Name":"x-backend-1","Service":"backend","State":"exited","ExitCode":101}"#;
    let there = |service: &str| format!(r#"{{"Name":"x-{service}-1","Service":"{service}","State":"running"}}"#);
    let all = [there("postgres"), there("redis"), gone.to_owned()].join("\n");
    fixture.runner.on("compose ps --all --format json", says(&all));
    fixture.runner.on("docker inspect", fails(1, "no such container"));
    let ran = fixture.xtask(&["up", "--timeout", "600"]).expect(1);
    ran.says(&[
        "backend ended with exit code 101, before it was ready",
        "| its last words",
        "cargo xtask logs backend",
    ]);
}

#[test]
fn an_interrupted_start_stops_what_it_had_started() {
    let (mut fixture, daemon) = Fixture::with_docker();
    let interrupt = fixture.context.interrupt.clone();
    fixture.runner.on_and("compose run --rm -build backend sh", says(""), move || interrupt.request(Exit::Interrupted));
    fixture.xtask(&["up"]).expect(130).says(&["stopped backend, redis, postgres"]);
    assert!(daemon.running().is_empty());
    assert_eq!(fixture.state().failure.as_deref(), Some("it was interrupted"));
}

#[test]
fn what_could_not_be_stopped_after_a_failure_is_told() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.runner.on("compose run --rm -build backend sh", fails(101, "error: no"));
    fixture.runner.on("compose .env.docker stop --", fails(1, "the daemon is gone"));
    let ran = fixture.xtask(&["up"]).expect(1);
    ran.says(&[
        "warning: not everything could be stopped: cannot stop the containers",
        "error: cannot build the backend",
    ]);
}

#[test]
fn a_builder_that_was_left_behind_is_removed() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.runner.on("docker ps --all --quiet --filter name= -build", says("0123456789ab\n"));
    fixture.xtask(&["up"]).expect(0);
    assert!(fixture.runner.was_asked("docker rm --force --volumes -build"));
}

#[test]
fn half_made_data_is_made_again() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "postgres"]).expect(0);
    assert!(!fixture.has(".stack/run/docker-postgres.making"), "it is whole");
    fixture.xtask(&["down"]).expect(0);
    fixture.xtask(&["up", "postgres"]).expect(0);
    let removes = |fixture: &Fixture, name: &str| {
        fixture.runner.asked().iter().any(|command| command.starts_with(&format!("docker volume rm {name}")))
    };
    assert!(!removes(&fixture, ""), "whole data is kept");
    fixture.xtask(&["down"]).expect(0);
    fixture.write(".stack/run/docker-postgres.making", "");
    fixture.xtask(&["up", "postgres"]).expect(0);
    let volume = format!("{}_postgres", fixture.context.project.name());
    assert!(removes(&fixture, &volume));
    assert!(daemon.model().volumes.contains(&volume));
}

#[cfg(target_os = "linux")]
#[test]
fn the_volumes_of_the_build_are_given_away_when_they_are_new_and_not_again() {
    let (mut fixture, daemon) = Fixture::with_docker();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(fixture.context.project.settings(), Some(12_345), Some(54_321)).unwrap();
    }
    let gives = "compose run --rm --user 0:0 backend chown --recursive";
    fixture.xtask(&["up"]).expect(0);
    assert!(fixture.runner.was_asked(gives), "{:?}", fixture.runner.asked());
    let user = fixture.state().containers.user.expect("somebody");
    assert!(fixture.runner.was_asked(&format!("BACKEND_USER={user} compose up backend")));
    fixture.xtask(&["restart", "backend"]).expect(0);
    assert!(!fixture.runner.was_asked(gives), "{:?}", fixture.runner.asked());
    fixture.xtask(&["down"]).expect(0);
    daemon.model().volumes.clear();
    fixture.xtask(&["up"]).expect(0);
    assert!(fixture.runner.was_asked(gives), "somebody has removed them: {:?}", fixture.runner.asked());
}

#[test]
fn podman_builds_the_image_by_itself() {
    let podman =
        r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"4.3.1","Components":[{"Name":"Podman Engine"}]}}"#;
    for (version, builder) in [(None, "DOCKER_BUILDKIT=1"), (Some(podman), "DOCKER_BUILDKIT=0")] {
        let (mut fixture, _daemon) = Fixture::with_docker();
        if let Some(version) = version {
            fixture.runner.on("docker version --format", says(version));
        }
        fixture.xtask(&["up", "--engine", "docker"]).expect(0);
        assert!(fixture.runner.was_asked(&format!("{builder} docker compose --progress plain build")));
    }
}
