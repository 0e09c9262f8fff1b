//! What compose is told: flags, files and variables, for every form of the backend.

use super::*;
use crate::failure::{Exit, exit_code};
use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::runner::says;
use crate::stack::state::EngineKind;

const DEVELOPED: Form<'_> = Form { production: None, replicas: 1, watch: true, polls: false, user: None };

/// The variables that compose is told besides the ports, and the compose file.
fn told(fixture: &Fixture, form: Form<'_>) -> (Vec<(&'static str, String)>, &'static str) {
    let compose = Docker::open(&fixture.context).compose(&Ports::block(20_000), form);
    assert_eq!(compose.variables[0], ("POSTGRES_PORT", "20001".to_owned()));
    assert_eq!(compose.variables[1], ("REDIS_PORT", "20002".to_owned()));
    assert_eq!(compose.variables[2], ("BACKEND_PORT", "20000".to_owned()));
    (compose.variables[3..].to_vec(), compose.file)
}

#[test]
fn each_form_of_the_backend_has_variables_of_its_own() {
    let (fixture, _daemon) = Fixture::with_docker();
    fixture.runner.on("git ls-tree", says("backend/migrations/1_a.up.sql\nbackend/migrations/1_a.down.sql\n"));
    let committed = ("COMMITTED_MIGRATIONS", "1".to_owned());
    let polling = ("WATCH_POLL", "true".to_owned());
    let alone = ("BACKEND_COMMAND", product::UNWATCHED.to_owned());
    let user = ("BACKEND_USER", "1000:1000".to_owned());
    let image = (product::IMAGE_VARIABLE, "app:1".to_owned());
    let ports = |range: &str| ("BACKEND_PORTS", range.to_owned());
    let shipped = Form { production: Some("app:1"), replicas: 1, watch: false, polls: false, user: None };
    for (form, expected, file) in [
        (DEVELOPED, vec![committed.clone()], DEVELOPMENT),
        (Form { user: Some("1000:1000"), ..DEVELOPED }, vec![user, committed.clone()], DEVELOPMENT),
        (Form { polls: true, ..DEVELOPED }, vec![polling.clone(), committed], DEVELOPMENT),
        (Form { watch: false, ..DEVELOPED }, vec![alone.clone()], DEVELOPMENT),
        (Form { watch: false, polls: true, ..DEVELOPED }, vec![polling, alone], DEVELOPMENT),
        (Form { user: Some("1000:1000"), ..shipped }, vec![image.clone(), ports("20000")], PRODUCTION),
        (Form { replicas: 3, ..shipped }, vec![image, ports("20000-20002")], PRODUCTION),
    ] {
        assert_eq!(told(&fixture, form), (expected, file), "{form:?}");
    }
}

#[test]
fn a_git_that_does_not_answer_takes_no_migration_for_a_committed_one() {
    let fixture = Fixture::new(&["docker"]);
    assert_eq!(told(&fixture, DEVELOPED).0, [("COMMITTED_MIGRATIONS", String::new())]);
}

#[test]
fn the_compose_files_read_what_they_are_told() {
    let development = include_str!("../../../../../infra/compose.yaml");
    let production = include_str!("../../../../../infra/compose.production.yaml");
    for name in [
        "BACKEND_USER",
        "BACKEND_COMMAND",
        "WATCH_POLL",
        "COMMITTED_MIGRATIONS",
        "BACKEND_PORT",
        "POSTGRES_PORT",
        "REDIS_PORT",
    ] {
        assert!(development.contains(&format!("${{{name}:-")), "{name}");
    }
    for name in [product::IMAGE_VARIABLE, "BACKEND_PORTS"] {
        assert!(production.contains(&format!("${{{name}:")), "{name}");
    }
    for (name, in_url) in PASSWORDS_IN_URLS {
        assert!(development.contains(&format!("${{{in_url}:-${{{name}:?}}}}")), "{name}");
    }
}

#[test]
fn a_password_that_a_url_cannot_hold_is_given_encoded_and_never_shown() {
    let (fixture, _daemon) = Fixture::with_docker();
    let docker = Docker::open(&fixture.context);
    let compose = || docker.compose(&Ports::block(20_000), DEVELOPED);
    assert_eq!(compose().secrets, Vec::new(), "hunter-postgres can stand in a URL");
    fixture.set("POSTGRES_PASSWORD", "p@ss/w:rd%1");
    assert_eq!(compose().secrets, [("POSTGRES_PASSWORD_IN_URL", "p%40ss%2Fw%3Ard%251".to_owned())]);
    fixture.set("REDIS_PASSWORD", "a+b");
    assert_eq!(compose().secrets[1], ("REDIS_PASSWORD_IN_URL", "a%2Bb".to_owned()));
    let shown = compose().up(&["redis"], None).to_string();
    assert!(shown.contains("POSTGRES_PASSWORD_IN_URL=*** REDIS_PASSWORD_IN_URL=*** docker compose"), "{shown}");
    let step = compose().up(&["redis"], None);
    let given: Vec<_> =
        step.variables().filter(|(name, _)| name.ends_with("_IN_URL")).map(|(_, value)| value).collect();
    assert_eq!(given, ["p%40ss%2Fw%3Ard%251", "a%2Bb"]);
}

#[test]
fn a_stack_with_such_a_password_starts_and_tells_it_nowhere() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.set("POSTGRES_PASSWORD", "p@ss/w:rd%1");
    let ran = fixture.xtask(&["up", "--dry-run"]).expect(0);
    ran.says(&["POSTGRES_PASSWORD_IN_URL=***"]).keeps_silent_about(&["p@ss", "p%40ss"]);
    let ran = fixture.xtask(&["up"]).expect(0);
    ran.keeps_silent_about(&["p@ss", "p%40ss"]);
    assert!(!fixture.read(".stack/stack.json").contains("p@ss"));
}

#[test]
fn compose_is_not_asked_with_settings_that_are_wrong() {
    let (fixture, daemon) = Fixture::with_docker();
    fixture.set("BACKEND_PORT", "0");
    let state = State::new(EngineKind::Docker, Ports::block(20_000));
    let error = Docker::open(&fixture.context).current(&state).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Missing as u8);
    drop::<Daemon>(daemon);
    assert!(fixture.runner.asked().is_empty());
}

#[test]
fn what_is_told_now_is_what_the_state_says() {
    let mut state = State::new(EngineKind::Docker, Ports::block(20_000));
    state.containers.production = Some("app:1".to_owned());
    state.containers.replicas = 2;
    (state.watch, state.polls) = (true, true);
    state.containers.user = Some("1000:1000".to_owned());
    let form = Form::of(&state);
    assert_eq!((form.production, form.replicas, form.watch, form.polls), (Some("app:1"), 2, true, true));
    assert_eq!(form.user, Some("1000:1000"));
}
