//! When a service's containers are ready, and what is told of those that are not.

use super::*;
use crate::failure::exit_code;
use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::runner::{fails, says};
use crate::stack::docker::Docker;
use crate::stack::docker::form::Form;
use crate::stack::ports::Ports;

/// A client's question that was answered like this.
struct Answer(Result<(), &'static str>);

impl Probe for Answer {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        self.0.map_err(|seen| seen.to_owned().into())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it answers")
    }
}

fn compose(fixture: &Fixture) -> Compose {
    let form = Form { production: None, replicas: 1, watch: true, polls: false, user: None };
    Docker::open(&fixture.context).compose(&Ports::block(20_000), form)
}

/// Asks about a service of which compose says this and a client that.
fn look(fixture: &Fixture, service: Service, answer: Result<(), &'static str>) -> Result<(), Unready> {
    let containers = Arc::new(Containers::of(compose(fixture)));
    ContainerIsReady { service, containers, answers: Box::new(Answer(answer)) }.look(&fixture.runner)
}

#[track_caller]
fn not_yet(outcome: Result<(), Unready>) -> String {
    match outcome {
        Err(Unready::NotYet(seen)) => seen,
        Err(Unready::Failed(failure)) => panic!("it never will: {failure}"),
        Ok(()) => panic!("it is ready"),
    }
}

#[track_caller]
fn never(outcome: Result<(), Unready>) -> Failure {
    match outcome {
        Err(Unready::Failed(failure)) => failure,
        Err(Unready::NotYet(seen)) => panic!("not yet: {seen}"),
        Ok(()) => panic!("it is ready"),
    }
}

fn container(number: u16, state: &str, health: &str) -> String {
    format!(r#"{{"Name":"x-backend-{number}","Service":"backend","State":"{state}","Health":"{health}","ExitCode":3}}"#)
}

#[test]
fn both_forms_of_compose_s_answer_say_the_same() {
    let one = container(1, "running", "starting");
    for text in [format!("[{one}]"), one.clone(), format!("{one}\n"), format!("  [\n{one}\n]\n")] {
        let fixture = Fixture::new(&["docker"]);
        fixture.runner.on("docker compose ps --all --format json", says(&text));
        assert!(look(&fixture, Service::Backend, Ok(())).is_ok(), "{text}");
        assert_eq!(not_yet(look(&fixture, Service::Redis, Ok(()))), "its container is not there yet", "{text}");
    }
}

#[test]
fn a_container_that_runs_is_ready_when_its_clients_say_so_whatever_its_own_check_says() {
    for health in ["healthy", "unhealthy", "starting", ""] {
        let fixture = Fixture::new(&["docker"]);
        fixture.runner.on("docker compose ps", says(&container(1, "running", health)));
        assert!(look(&fixture, Service::Backend, Ok(())).is_ok());
        assert_eq!(not_yet(look(&fixture, Service::Backend, Err("asleep"))), "asleep");
    }
}

#[test]
fn several_containers_are_ready_when_each_is_healthy_by_its_own_check() {
    let fixture = Fixture::new(&["docker"]);
    let say = |healths: [&str; 3]| {
        let lines = healths.iter().zip(1..).map(|(health, number)| container(number, "running", health) + "\n");
        fixture.runner.on("docker compose ps", says(&lines.collect::<String>()));
    };
    say(["healthy", "starting", "healthy"]);
    assert_eq!(not_yet(look(&fixture, Service::Backend, Ok(()))), "2 of 3 containers are healthy");
    say(["healthy"; 3]);
    assert!(look(&fixture, Service::Backend, Err("one of them is busy")).is_ok());
}

#[test]
fn a_container_that_was_made_and_not_started_is_waited_for() {
    let fixture = Fixture::new(&["docker"]);
    fixture.runner.on("docker compose ps", says(&container(1, "created", "")));
    assert_eq!(not_yet(look(&fixture, Service::Backend, Ok(()))), "0 of 1 containers are healthy");
}

#[test]
fn a_container_that_has_ended_never_becomes_ready_and_says_how_it_ended() {
    let cases = [
        ("exited", r#"{"ExitCode":101}"#, "backend ended with exit code 101, before it was ready"),
        ("dead", r#"{"ExitCode":1}"#, "backend ended with exit code 1, before it was ready"),
        ("exited", "no answer", "backend ended with exit code 3, before it was ready"),
        ("restarting", r#"{"ExitCode":1}"#, "backend ended with exit code 1, again and again, before it was ready"),
        (
            "exited",
            r#"{"ExitCode":137,"OOMKilled":true}"#,
            "backend used more memory than it may, and was killed, before it was ready",
        ),
    ];
    for (state, found, expected) in cases {
        let fixture = Fixture::new(&["docker"]);
        fixture
            .runner
            .on("docker compose ps", says(&container(1, state, "")))
            .on("docker inspect x-backend-1", says(found))
            .on("docker logs --tail 25 x-backend-1", fails(0, "thread main panicked\n"));
        let failure = never(look(&fixture, Service::Backend, Ok(())));
        assert_eq!(failure.to_string(), expected);
        assert_eq!(failure.evidence(), ["the end of what x-backend-1 says:", "| thread main panicked"]);
        assert_eq!(failure.hints(), ["cargo xtask logs backend"]);
        assert_eq!(exit_code(&failure.into()), Exit::Failed as u8);
    }
}

#[test]
fn data_of_another_major_version_is_told_with_both_ways_out() {
    let fixture = Fixture::new(&["docker"]);
    let gone = r#"{"Name":"x-postgres-1","Service":"postgres","State":"restarting"}"#;
    let words = "FATAL:  database files are incompatible with server\n";
    fixture
        .runner
        .on("docker compose ps", says(gone))
        .on("docker inspect", says(r#"{"ExitCode":1}"#))
        .on("docker logs", says(words));
    let failure = never(look(&fixture, Service::Postgres, Ok(())));
    assert!(failure.hints()[0].starts_with("cargo xtask clean") && failure.hints()[1].contains("pg_dump"));
}

#[test]
fn the_evidence_of_a_timeout_is_what_the_check_and_the_container_said_last() {
    let fixture = Fixture::new(&["docker"]);
    let state = r#"{"ExitCode":0,"Health":{"Log":[{"Output":"older"},{"Output":"connection refused\n"}]}}"#;
    fixture
        .runner
        .on("docker compose ps", says(&container(1, "running", "unhealthy")))
        .on("docker inspect", says(state))
        .on("docker logs", says(""));
    let containers = Arc::new(Containers::of(compose(&fixture)));
    let probe = ContainerIsReady { service: Service::Backend, containers, answers: Box::new(Answer(Ok(()))) };
    assert_eq!(probe.evidence(&fixture.runner), ["its check says: connection refused", "x-backend-1 says nothing"]);
    assert_eq!(probe.to_string(), "it answers");
}

#[test]
fn an_answer_that_fails_or_makes_no_sense_is_not_yet_and_never_nothing_there() {
    let fixture = Fixture::new(&["docker"]);
    for (output, expected) in [
        (fails(1, "warning: x\nCannot connect to the Docker daemon"), "Cannot connect to the Docker daemon"),
        (fails(1, ""), "docker compose ps fails"),
        (says("{"), "docker compose ps says what cannot be understood: EOF while parsing an object at line 1 column 1"),
    ] {
        fixture.runner.on("docker compose ps", output);
        assert_eq!(not_yet(look(&fixture, Service::Backend, Ok(()))), expected);
    }
}

#[test]
fn services_that_are_waited_for_at_once_share_one_question() {
    let (fixture, daemon) = Fixture::with_docker();
    drop(daemon);
    let containers = Containers { maximum_age: Duration::from_hours(1), ..Containers::of(compose(&fixture)) };
    let containers = Arc::new(containers);
    for service in Service::ALL {
        let containers = Arc::clone(&containers);
        let probe = ContainerIsReady { service, containers, answers: Box::new(Answer(Ok(()))) };
        assert_eq!(not_yet(probe.look(&fixture.runner)), "its container is not there yet");
    }
    let questions = fixture.runner.asked().iter().filter(|command| command.contains(" ps ")).count();
    assert_eq!(questions, 1);
}

#[test]
fn what_was_seen_is_good_for_a_moment_only() {
    let (fixture, _daemon): (Fixture, Daemon) = Fixture::with_docker();
    let containers = Containers { maximum_age: Duration::ZERO, ..Containers::of(compose(&fixture)) };
    let containers = Arc::new(containers);
    let probe = ContainerIsReady { service: Service::Backend, containers, answers: Box::new(Answer(Ok(()))) };
    not_yet(probe.look(&fixture.runner));
    fixture.runner.on("docker compose ps", says(&container(1, "running", "")));
    assert!(probe.look(&fixture.runner).is_ok());
}
