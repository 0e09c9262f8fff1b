//! Settings, ports and the folder of a stack before anything starts.

use super::*;
use crate::failure::exit_code;
use crate::fixture::Fixture;
use crate::fixture::servers::{Servers, free_block};
use crate::stack::service::Service::{Backend, Mail, Postgres, Redis};
use crate::stack::state::EngineKind;

fn settled() -> (Fixture, Settings) {
    let fixture = Fixture::new(&[]);
    fixture.settle(free_block());
    let settings = Settings::load(&fixture.context.project).unwrap();
    (fixture, settings)
}

fn assign(fixture: &Fixture, state: Option<&State>, settings: &Settings, starting: &[Service]) -> PortAssignment {
    let mut claims = Claims::new(true);
    assign_ports(&fixture.context, state, settings, starting, &mut claims).unwrap()
}

/// A stack that was started with these settings.
fn started(settings: &Settings, wanted: &[Service]) -> State {
    let ports = Ports::from_settings(settings, &Service::USUAL).unwrap();
    let mut state = State::new(EngineKind::Host, ports.clone());
    state.asked = Some(ports);
    state.want(wanted);
    state
}

#[test]
fn ports_are_those_that_the_settings_ask_for() {
    let (fixture, settings) = settled();
    let assignment = assign(&fixture, None, &settings, &Service::USUAL);
    assert_eq!(assignment.ports, Ports::from_settings(&settings, &Service::USUAL).unwrap());
    assert_eq!((assignment.asked, fixture.said()), (assignment.ports, String::new()));
}

#[test]
fn a_taken_port_is_told_with_its_holder_and_moves_that_service_alone() {
    let (fixture, settings) = settled();
    let mut stranger = Servers::default();
    stranger.start(Backend, fixture.port(Redis));
    let assignment = assign(&fixture, None, &settings, &Service::USUAL);
    let place = ports::own_block(fixture.context.project.number()).of(Redis);
    assert_eq!(assignment.ports.of(Redis), place);
    assert_eq!(assignment.ports.of(Postgres), fixture.port(Postgres));
    let said = fixture.said();
    assert!(said.starts_with("warning: port 6379, for redis, is taken by "), "{said}");
    assert!(said.contains(&format!("redis uses port {place} from now on")), "{said}");
    assert_eq!(assignment.asked.of(Redis), fixture.port(Redis), "what was asked for is still known");
}

#[test]
fn what_is_not_started_stays_where_it_is_whoever_listens_there() {
    let (fixture, settings) = settled();
    let mut ourselves = Servers::default();
    ourselves.start(Redis, fixture.port(Redis));
    let state = started(&settings, &Service::USUAL);
    let assignment = assign(&fixture, Some(&state), &settings, &[Backend]);
    assert_eq!((assignment.ports, fixture.said()), (state.ports, String::new()));
}

#[test]
fn a_port_that_a_service_moved_to_is_kept_until_its_setting_is_edited() {
    let (fixture, settings) = settled();
    let mut state = started(&settings, &[]);
    let moved = fixture.port(Redis) + 5;
    state.ports.set(Redis, moved);
    assert_eq!(assign(&fixture, Some(&state), &settings, &Service::USUAL).ports.of(Redis), moved);
    fixture.set("REDIS_PORT", &(moved + 1).to_string());
    let edited = Settings::load(&fixture.context.project).unwrap();
    assert_eq!(assign(&fixture, Some(&state), &edited, &Service::USUAL).ports.of(Redis), moved + 1);
    // One that runs goes on where it is, and is told.
    state.want(&[Redis]);
    let assignment = assign(&fixture, Some(&state), &edited, &[Backend]);
    assert_eq!((assignment.ports.of(Redis), assignment.asked.of(Redis)), (moved, fixture.block_port(2)));
    assert!(fixture.said().contains("counts from `cargo xtask restart redis` on"), "{}", fixture.said());
}

#[test]
fn a_linked_worktree_leaves_the_usual_ports_to_the_main_checkout() {
    let fixture = Fixture::new(&[]);
    let usual = Settings::template(&fixture.context.project).unwrap();
    let own = ports::own_block(fixture.context.project.number());
    assert_eq!(asked_for(&fixture.context, &usual).unwrap().of(Redis), 6379);
    fixture.write(".git", "gitdir: ../main/.git/worktrees/x");
    let asked = asked_for(&fixture.context, &usual).unwrap();
    assert_eq!(Ports::of_each(|service| asked.of(service)), own);
    assert_eq!(asked.of(Mail), own.of(Backend) + 3, "also what is off is asked for in the block");
    assert_eq!(usual_ports(&fixture.context), own, "also before there are settings");
    fixture.settle(free_block());
    let edited = Settings::load(&fixture.context.project).unwrap();
    assert_eq!(
        asked_for(&fixture.context, &edited).unwrap().of(Redis),
        fixture.port(Redis),
        "its settings say otherwise"
    );
}

#[test]
fn a_full_disk_is_told_before_anything_is_made() {
    let (fixture, _) = settled();
    let root = fixture.stack().root().to_owned();
    assert!(check(&[&root], 1).is_ok());
    let error = check(&[&root], u64::MAX).unwrap_err();
    assert!(error.to_string().starts_with("the disk is full: "), "{error}");
    assert_eq!(exit_code(&error), Exit::Failed as u8);
    assert!(!root.exists());
}

#[test]
fn new_settings_have_secrets_of_their_own_that_are_never_printed() {
    let fixture = Fixture::new(&[]);
    let folder = fixture.stack();
    let (settings, write) = settings(&fixture.context, &folder).unwrap();
    assert!(matches!(write, Some(Action::Write(Write { mode: 0o600, .. }))));
    for secret in settings.secrets() {
        assert_eq!(fixture.context.terminal.redact(secret), "***");
    }
    assert!(settings.secrets().count() >= 4);
    assert!(!fixture.has(".env.docker"), "it is only planned");
}

#[test]
fn the_backend_is_given_the_time_that_the_settings_say_also_where_they_are_broken() {
    let (fixture, settings) = settled();
    assert_eq!(shutdown_timeout(&settings), Duration::from_secs(10));
    fixture.set("SHUTDOWN_TIMEOUT", "25");
    assert_eq!(shutdown_timeout_of(&fixture.context), Duration::from_secs(25));
    fixture.set("REDIS_PORT", "none");
    assert_eq!(shutdown_timeout_of(&fixture.context), Duration::from_secs(10));
}
