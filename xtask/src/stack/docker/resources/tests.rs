//! What there is of a checkout in Docker, and when nobody has to be asked.

use super::*;
use crate::failure::{Exit, exit_code};
use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::product::{POSTGRES_IMAGE, REDIS_IMAGE};
use crate::runner::fails;
use crate::stack::ports::Ports;

fn state(exist: bool, images: &[&str]) -> State {
    let mut state = State::new(EngineKind::Docker, Ports::block(20_000));
    state.containers.exist = exist;
    state.containers.images = images.iter().map(|image| (*image).to_owned()).collect();
    state
}

#[test]
fn a_stack_that_was_never_in_containers_asks_nobody() {
    let (fixture, _daemon) = Fixture::with_docker();
    assert_eq!(all(&fixture.context, Some(&state(false, &[]))).unwrap(), []);
    assert!(fixture.runner.asked().is_empty());
    let without = Fixture::new(&[]);
    assert_eq!(all(&without.context, None).unwrap(), [], "nor does a machine without Docker");
}

#[test]
fn a_silent_daemon_is_an_error_where_there_are_containers_and_nothing_where_there_never_were() {
    let (fixture, _daemon) = Fixture::with_docker();
    Daemon::fall_silent(&fixture);
    let error = all(&fixture.context, Some(&state(true, &[]))).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Missing as u8);
    assert_eq!(all(&fixture.context, None).unwrap(), []);
    assert_eq!(all(&fixture.context, Some(&state(false, &["app:1"]))).unwrap(), []);
}

#[test]
fn a_question_that_fails_halfway_is_an_error_and_never_nothing_there() {
    for words in ["docker ps --all", "docker volume ls", "docker network ls", "docker image ls --format"] {
        let (fixture, _daemon) = Fixture::with_docker();
        fixture.runner.on(words, fails(1, "the daemon went away"));
        let error = all(&fixture.context, Some(&state(true, &[]))).unwrap_err();
        assert!(error.to_string().starts_with("cannot look for what belongs to the stack"), "{words}: {error}");
    }
}

#[test]
fn images_that_were_built_here_and_are_still_there_belong_to_it() {
    let (fixture, daemon) = Fixture::with_docker();
    daemon.model().images.insert("app:2".to_owned());
    let found = all(&fixture.context, Some(&state(true, &["app:1", "app:2"]))).unwrap();
    assert_eq!(found, [(Kind::Image, "app:2".to_owned())]);
}

#[test]
fn what_is_removed_goes_in_one_command_a_kind_and_volumes_after_their_containers() {
    let named = |kind, name: &str| (kind, name.to_owned());
    let found =
        [named(Kind::Volume, "v"), named(Kind::Image, "i"), named(Kind::Container, "c"), named(Kind::Volume, "w")];
    let commands: Vec<String> = removal(&found).iter().map(ToString::to_string).collect();
    assert_eq!(commands, ["docker rm --force --volumes c", "docker volume rm v w", "docker image rm i"]);
    assert!(removal(&[]).is_empty());
}

#[test]
fn only_images_that_are_needed_and_not_there_are_missing() {
    let (fixture, daemon) = Fixture::with_docker();
    let missing = || missing_images(&fixture.context, &Service::USUAL).unwrap();
    assert_eq!(missing(), Vec::<&str>::new());
    daemon.model().images.clear();
    assert_eq!(missing(), [POSTGRES_IMAGE, REDIS_IMAGE, RUST_IMAGE]);
    assert_eq!(missing_images(&fixture.context, &[Service::Redis]).unwrap(), [REDIS_IMAGE]);
    // The development image has its base in it.
    daemon.model().images.insert(format!("{}-backend", fixture.context.project.name()));
    assert_eq!(missing(), [POSTGRES_IMAGE, REDIS_IMAGE]);
    fixture.runner.on("docker image ls --quiet", fails(1, "busy"));
    assert!(missing_images(&fixture.context, &Service::USUAL).is_err(), "no answer is not a no");
}

#[test]
fn an_image_is_remembered_once_also_where_there_is_no_stack() {
    let (fixture, _daemon) = Fixture::with_docker();
    for _ in 0..2 {
        remember_image(&fixture.context, "app:1").unwrap();
    }
    assert_eq!(fixture.state().containers.images, ["app:1"]);
    assert!(fixture.state().wanted.is_empty() && !fixture.state().containers.exist);
}
