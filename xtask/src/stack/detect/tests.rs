//! Which engine is chosen, and why another is not.

use std::cell::Cell;

use super::*;
use crate::runner::{Output, Recorded, fails, says};
use crate::stack::ports::Ports;
use crate::stack::service::Service;

const BOTH: &str = r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"28.2.2"}}"#;

fn version(server: &str) -> Output {
    says(&format!(r#"{{"Client":{{"Version":"28.2.2"}},"Server":{{"Version":"{server}"}}}}"#))
}

fn silent(why: &str) -> Output {
    Output { stdout: r#"{"Client":{"Version":"28.2.2"},"Server":null}"#.to_owned(), ..fails(1, why) }
}

/// A Docker that a stack can run on.
fn docker() -> Recorded {
    let runner = Recorded::with(&["docker"]);
    runner
        .on("docker version --format", says(BOTH))
        .on("docker compose version --short", says("2.20.0\n"))
        .on("docker info", says("[]"))
        .on("docker context show", says("default\n"));
    runner
}

fn state(engine: EngineKind, wanted: &[Service]) -> State {
    let mut state = State::new(engine, Ports::block(20_000));
    state.want(wanted);
    state
}

#[expect(clippy::unnecessary_wraps, reason = "what it stands for may fail")]
fn there() -> Result<()> {
    Ok(())
}

#[test]
fn the_oldest_docker_that_is_good_enough_is_good_enough() {
    for (server, compose) in
        [("20.10.0", "2.20.0"), ("20.10.24", "v2.20.3"), ("28.2.2", "2.36.0-desktop.1"), ("29.0", "5.0.1")]
    {
        let runner = docker();
        runner.on("docker version --format", version(server)).on("docker compose version", says(compose));
        let found = look_for_docker(&runner).unwrap();
        assert_eq!((found.engine.as_str(), found.compose.as_str(), found.kind), (server, compose, None));
    }
}

#[test]
fn a_docker_that_no_stack_can_run_on_is_missing_with_the_reason_and_what_to_do() {
    let no_compose = || fails(1, "docker: 'compose' is not a docker command");
    let (daemon, compose) = ("docker version --format", "docker compose version");
    let cases = [
        (daemon, silent("Cannot connect to the Docker daemon"), "no Docker daemon answers", ""),
        (
            daemon,
            silent("permission denied while trying to connect"),
            "you may not use Docker: not in its group",
            "sudo usermod --append --groups docker",
        ),
        (daemon, version("19.3.15"), "Docker Engine 19.3.15 is too old; 20.10 or newer is needed", ""),
        (compose, says("2.19.1"), "Docker Compose 2.19 is too old; 2.20 or newer is needed", "compose plugin"),
        (compose, says("1.29.2"), "Docker Compose 1.29 is too old; 2.20 or newer is needed", "compose plugin"),
        (compose, no_compose(), "Docker has no Compose; 2.20 or newer is needed", "compose plugin"),
    ];
    for (words, output, expected, hint) in cases {
        let runner = docker();
        runner.on(words, output);
        let failure = look_for_docker(&runner).unwrap_err();
        assert_eq!((failure.to_string().as_str(), failure.code()), (expected, Exit::Missing as u8));
        assert!(failure.hints().iter().any(|one| one.contains(hint)), "{expected}: {:?}", failure.hints());
    }
    let runner = docker();
    runner.also_has("docker-compose");
    runner.on(compose, no_compose());
    let failure = look_for_docker(&runner).unwrap_err();
    assert!(failure.to_string().starts_with("docker-compose is version 1, which ended in 2023"), "{failure}");
}

#[test]
fn a_silent_daemon_of_another_context_is_told_with_its_name() {
    let runner = docker();
    runner.on("docker version --format", silent("Cannot connect")).on("docker context show", says("remote\n"));
    let failure = look_for_docker(&runner).unwrap_err();
    assert_eq!(failure.to_string(), "no Docker daemon answers (context remote)");
    assert!(failure.hints().iter().any(|hint| hint.starts_with("docker context use default")));
}

#[test]
fn a_machine_without_docker_is_asked_nothing() {
    let runner = Recorded::with(&[]);
    assert_eq!(look_for_docker(&runner).unwrap_err().to_string(), "Docker is not installed");
    assert!(runner.asked().is_empty());
}

#[test]
fn a_docker_that_hangs_is_missing_and_not_a_failure_of_ours() {
    // Nothing is recorded: no answer comes.
    let runner = Recorded::with(&["docker"]);
    let failure = look_for_docker(&runner).unwrap_err();
    assert!(failure.to_string().starts_with("Docker does not answer: "));
    assert_eq!(failure.code(), Exit::Missing as u8);
}

#[test]
fn an_unusual_reason_for_silence_is_told_in_the_clients_words() {
    let runner = docker();
    runner.on("docker version --format", silent("error during connect: tls: bad certificate"));
    assert_eq!(look_for_docker(&runner).unwrap_err().evidence(), ["error during connect: tls: bad certificate"]);
}

#[test]
fn what_is_special_about_a_daemon_is_told() {
    let runner = docker();
    runner.on("docker info", says(r#"["name=seccomp","name=rootless"]"#));
    let found = look_for_docker(&runner).unwrap();
    assert_eq!((found.kind, found.has_own_builder), (Some("rootless"), false));
    let podman = r#"{"Server":{"Version":"4.3.1","Components":[{"Name":"Podman Engine"}]}}"#;
    runner.on("docker version --format", says(podman));
    let found = look_for_docker(&runner).unwrap();
    assert_eq!(found.kind, Some("Podman behind Docker's interface"), "and is new enough");
    assert!(found.has_own_builder);
    let runner = docker();
    runner.on("docker info", fails(1, "busy"));
    assert_eq!(look_for_docker(&runner).unwrap().kind, None, "no answer changes nothing");
}

#[test]
fn auto_takes_docker_where_everything_is_there_and_says_how_to_do_without() {
    let (engine, why) = choose(EngineChoice::Auto, None, &docker(), &there).unwrap();
    assert_eq!((engine, why.as_deref()), (EngineKind::Docker, Some("engine: docker (--engine host runs without it)")));
}

#[cfg(unix)]
#[test]
fn auto_goes_on_without_docker_where_something_is_missing_and_says_what() {
    let old = docker();
    old.on("docker version --format", version("19.3.15"));
    let pull = || -> Result<()> { Err(Failure::new(Exit::Missing, "cannot fetch the image x").into()) };
    for (runner, fetch, expected) in [
        (Recorded::with(&[]), &there as &dyn Fn() -> Result<()>, "engine: host (Docker is not installed)"),
        (old, &there, "engine: host (Docker Engine 19.3.15 is too old; 20.10 or newer is needed)"),
        (docker(), &pull, "engine: host (cannot fetch the image x)"),
    ] {
        let (engine, why) = choose(EngineChoice::Auto, None, &runner, fetch).unwrap();
        assert_eq!((engine, why.as_deref()), (EngineKind::Host, Some(expected)));
    }
}

#[test]
fn images_are_fetched_only_where_docker_could_run_them() {
    let asked = Cell::new(0);
    let fetch = || {
        asked.set(asked.get() + 1);
        Ok(())
    };
    choose(EngineChoice::Auto, None, &Recorded::with(&[]), &fetch).unwrap();
    choose(EngineChoice::Host, None, &docker(), &fetch).unwrap();
    choose(EngineChoice::Docker, None, &docker(), &fetch).unwrap();
    assert_eq!(asked.get(), 0);
    choose(EngineChoice::Auto, None, &docker(), &fetch).unwrap();
    assert_eq!(asked.get(), 1);
}

#[test]
fn a_fetch_that_was_interrupted_is_no_reason_to_go_on_with_another_engine() {
    let fetch = || -> Result<()> { Err(Failure::new(Exit::Interrupted, "interrupted").into()) };
    let error = choose(EngineChoice::Auto, None, &docker(), &fetch).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Interrupted as u8);
}

#[test]
fn a_stack_that_is_up_keeps_its_engine_and_nobody_is_asked() {
    let silent = Recorded::with(&["docker"]);
    for kind in [EngineKind::Host, EngineKind::Docker] {
        let up = state(kind, &[Service::Redis]);
        let own = if kind == EngineKind::Host { EngineChoice::Host } else { EngineChoice::Docker };
        let other = if kind == EngineKind::Host { EngineChoice::Docker } else { EngineChoice::Host };
        for choice in [EngineChoice::Auto, own] {
            assert_eq!(choose(choice, Some(&up), &silent, &there).unwrap(), (kind, None));
        }
        let error = choose(other, Some(&up), &silent, &there).unwrap_err();
        assert!(error.to_string().starts_with(&format!("the stack is up on the {kind} engine")), "{error}");
        let failure = error.downcast::<Failure>().unwrap();
        assert_eq!((failure.code(), failure.hints()[0].as_str()), (1, "cargo xtask down, then again"));
    }
    assert!(silent.asked().is_empty());
}

#[test]
fn a_stack_that_is_down_stays_where_its_data_is() {
    for kind in [EngineKind::Host, EngineKind::Docker] {
        let (engine, why) = choose(EngineChoice::Auto, Some(&state(kind, &[])), &docker(), &there).unwrap();
        assert_eq!(engine, kind);
        let why = why.unwrap();
        assert!(why.contains("where this checkout's data is") && why.contains(&format!("--engine {}", kind.other())));
    }
}

#[test]
fn whoever_asks_for_the_other_engine_is_told_that_its_data_is_separate() {
    for (choice, before) in [(EngineChoice::Docker, EngineKind::Host), (EngineChoice::Host, EngineKind::Docker)] {
        let (engine, why) = choose(choice, Some(&state(before, &[])), &docker(), &there).unwrap();
        assert_eq!(engine, before.other());
        let expected =
            format!("engine: {engine}, with data of its own; what was stored so far is kept for --engine {before}");
        assert_eq!(why, Some(expected));
        let same = choose(choice, Some(&state(engine, &[])), &docker(), &there).unwrap();
        assert_eq!(same, (engine, None), "nothing changes");
        assert_eq!(choose(choice, None, &docker(), &there).unwrap(), (engine, None), "there was no data so far");
    }
}

#[test]
fn data_in_a_docker_that_does_not_answer_is_not_left_behind_in_silence() {
    let runner = Recorded::with(&[]);
    let down = state(EngineKind::Docker, &[]);
    let error = choose(EngineChoice::Auto, Some(&down), &runner, &there).unwrap_err();
    assert_eq!(error.to_string(), "this checkout's data is in Docker, and Docker is not installed");
    assert_eq!(exit_code(&error), Exit::Missing as u8);
    assert!(!error.downcast::<Failure>().unwrap().hints().is_empty());
    // Somebody who means it goes on with new data.
    assert_eq!(choose(EngineChoice::Host, Some(&down), &runner, &there).unwrap().0, EngineKind::Host);
}
