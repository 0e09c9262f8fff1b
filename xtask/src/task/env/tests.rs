//! The local settings in every state that they are met in.

use serde_json::Value;

use super::run;
use crate::cli::{EnvCommand, Json};
use crate::failure::{Exit, Failure, exit_code};
use crate::file;
use crate::fixture::{Fixture, without};
use crate::interrupt::CancelToken;
use crate::lock::Lock;
use crate::runner::{fails, says};
use crate::settings::Settings;
use crate::stack::folder::StackFolder;
use crate::stack::ports::Ports;
use crate::stack::service::Service;
use crate::stack::state::{EngineKind, State};

const NO_PROBLEMS: &str = r#"{"problems":[]}"#;

fn init(fixture: &Fixture, force: bool) -> anyhow::Result<u8> {
    run(&fixture.context, EnvCommand::Init { force, add_missing: false })
}

fn add_missing(fixture: &Fixture) -> anyhow::Result<u8> {
    run(&fixture.context, EnvCommand::Init { force: false, add_missing: true })
}

fn check(fixture: &Fixture, json: bool) -> anyhow::Result<u8> {
    run(&fixture.context, EnvCommand::Check(Json { json }))
}

fn show(fixture: &Fixture, reveal: bool, json: bool) -> anyhow::Result<u8> {
    run(&fixture.context, EnvCommand::Show { reveal, output: Json { json } })
}

#[track_caller]
fn failure(outcome: anyhow::Result<u8>) -> Failure {
    outcome.unwrap_err().downcast().unwrap()
}

/// A checkout with settings of its own, and a backend that takes them.
fn ready() -> Fixture {
    let fixture = Fixture::new(&[]);
    init(&fixture, false).unwrap();
    fixture.runner.on("build --package backend", says("")).on("config --check --json", says(NO_PROBLEMS));
    fixture
}

fn value_of(text: &str, name: &str) -> String {
    Settings::parse(text).unwrap().get(name).unwrap().to_owned()
}

#[test]
fn new_settings_have_secrets_of_their_own_and_only_their_owner_reads_them() {
    let (one, other) = (ready(), ready());
    let text = one.read(".env.docker");
    assert!(!text.contains("<generated>=") && text.lines().all(|line| !line.ends_with("=<generated>")), "{text}");
    assert_eq!(value_of(&text, "JWT_SECRET").len(), 64);
    assert_ne!(value_of(&text, "JWT_SECRET"), value_of(&text, "JWT_REFRESH_SECRET"));
    assert_ne!(value_of(&text, "JWT_SECRET"), value_of(&other.read(".env.docker"), "JWT_SECRET"));
    assert!(!file::is_open_to_others(&one.context.project.settings()));
    assert_eq!(one.said(), "made .env.docker with secrets of its own; only you can read it\n");
}

#[test]
fn settings_that_are_there_stay_as_they_are() {
    let fixture = ready();
    let before = fixture.read(".env.docker");
    let failure = failure(init(&fixture, false));
    assert_eq!(failure.code(), Exit::Refused as u8);
    assert!(failure.hints().iter().any(|hint| hint.contains("--force")), "{:?}", failure.hints());
    assert_eq!(fixture.read(".env.docker"), before);
}

#[test]
fn settings_that_are_made_again_leave_the_old_ones_beside_them() {
    let fixture = ready();
    let before = fixture.read(".env.docker");
    assert_eq!(init(&fixture, true).unwrap(), 0);
    assert_eq!(fixture.read(".env.docker.old"), before);
    assert_ne!(value_of(&fixture.read(".env.docker"), "JWT_SECRET"), value_of(&before, "JWT_SECRET"));
    assert!(fixture.said().contains("the old settings are in .env.docker.old"), "{}", fixture.said());
    for name in [".env.docker", ".env.docker.old"] {
        assert!(!file::is_open_to_others(&fixture.root().join(name)), "{name}");
    }
}

#[test]
fn settings_that_the_stack_still_knows_are_written_again_unless_others_are_asked_for() {
    let fixture = Fixture::new(&[]);
    fixture.write(".stack/run/settings", "POSTGRES_PASSWORD=remembered-password\nLOG_LEVEL=debug\n");
    init(&fixture, false).unwrap();
    let text = fixture.read(".env.docker");
    assert_eq!(value_of(&text, "POSTGRES_PASSWORD"), "remembered-password");
    assert_eq!(value_of(&text, "LOG_LEVEL"), "debug");
    // What is not remembered is as in a new file, with the template's comments.
    assert_eq!(value_of(&text, "JWT_SECRET").len(), 64);
    assert!(text.contains("# The password of Redis."), "{text}");
    assert!(fixture.said().contains("settings that are still known"), "{}", fixture.said());
    init(&fixture, true).unwrap();
    assert_ne!(value_of(&fixture.read(".env.docker"), "POSTGRES_PASSWORD"), "remembered-password");
}

#[test]
fn no_settings_are_made_while_a_task_changes_the_stack() {
    let fixture = Fixture::new(&[]);
    let (lock, context) = (fixture.context.project.state().join("lock"), &fixture.context);
    let never = CancelToken::never();
    let held = Lock::take(&lock, "up", std::time::Duration::ZERO, &never, &context.terminal).unwrap();
    let failure = failure(init(&fixture, false));
    assert_eq!(failure.code(), Exit::Locked as u8);
    assert!(failure.to_string().starts_with("`up` (process "), "{failure}");
    assert!(!context.project.settings().exists());
    drop(held);
    assert_eq!(init(&fixture, false).unwrap(), 0);
}

#[test]
fn a_dry_run_makes_no_settings_and_shows_no_secret() {
    let fixture = Fixture::dry(&[]);
    assert_eq!(init(&fixture, false).unwrap(), 0);
    let lines = fixture.read(".env.docker.example").lines().count();
    assert_eq!(fixture.printed(), format!("# write .env.docker ({lines} lines, mode 600)\n"));
    assert!(!fixture.context.project.settings().exists());
}

#[test]
fn settings_that_a_file_lacks_are_added_with_their_comments_and_the_others_stay() {
    let fixture = ready();
    let before = fixture.read(".env.docker");
    let own =
        without(&without(&before, "LOG_FORMAT"), "REDIS_PASSWORD").replace("BACKEND_PORT=3000", "BACKEND_PORT=3001");
    // Not even a line end behind the last line.
    fixture.write(".env.docker", own.trim_end());
    assert_eq!(add_missing(&fixture).unwrap(), 0);
    let text = fixture.read(".env.docker");
    assert!(text.starts_with(own.trim_end()), "what was there stays");
    assert!(text.contains("\n# The password of Redis.\nREDIS_PASSWORD="), "{text}");
    assert!(
        text.contains("\n# json (one object a line) or pretty (for a person's eyes).\nLOG_FORMAT=pretty\n"),
        "{text}"
    );
    assert_eq!(value_of(&text, "REDIS_PASSWORD").len(), 64);
    assert!(fixture.said().ends_with("added REDIS_PASSWORD, LOG_FORMAT to .env.docker\n"), "{}", fixture.said());
    assert!(!file::is_open_to_others(&fixture.context.project.settings()));
    assert_eq!(add_missing(&fixture).unwrap(), 0);
    assert!(fixture.said().ends_with(".env.docker has every setting\n"), "{}", fixture.said());
    assert_eq!(fixture.read(".env.docker"), text);
}

#[test]
fn a_secret_that_is_empty_is_filled_where_it_stands() {
    let fixture = ready();
    let before = fixture.read(".env.docker");
    let secret = value_of(&before, "JWT_SECRET");
    fixture.write(".env.docker", &before.replace(&format!("JWT_SECRET={secret}"), "JWT_SECRET="));
    assert_eq!(add_missing(&fixture).unwrap(), 0);
    let text = fixture.read(".env.docker");
    assert_eq!(text.lines().count(), before.lines().count());
    let place = |text: &str| text.lines().position(|line| line.starts_with("JWT_SECRET=")).unwrap();
    assert_eq!(place(&text), place(&before));
    assert_eq!(value_of(&text, "JWT_SECRET").len(), 64);
    assert_eq!(value_of(&text, "JWT_REFRESH_SECRET"), value_of(&before, "JWT_REFRESH_SECRET"));
}

#[test]
fn a_dry_run_names_what_it_would_add() {
    let mut fixture = ready();
    let own = without(&fixture.read(".env.docker"), "LOG_FORMAT");
    fixture.write(".env.docker", &own);
    fixture.context.dry_run = true;
    assert_eq!(add_missing(&fixture).unwrap(), 0);
    assert_eq!(fixture.printed(), "# add LOG_FORMAT to .env.docker\n");
    assert_eq!(fixture.read(".env.docker"), own);
}

#[test]
fn settings_that_are_in_order_are_counted() {
    let fixture = ready();
    assert_eq!(check(&fixture, false).unwrap(), 0);
    let count = Settings::parse(&fixture.read(".env.docker")).unwrap().iter().count();
    let said = fixture.said();
    assert!(said.ends_with(&format!(".env.docker has all {count} settings, and the backend takes them\n")), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn settings_that_others_can_read_are_warned_of() {
    let fixture = ready();
    file::set_mode(&fixture.context.project.settings(), 0o644).unwrap();
    assert_eq!(check(&fixture, false).unwrap(), 0);
    assert!(fixture.said().contains("warning: others can read .env.docker"), "{}", fixture.said());
    assert!(fixture.said().contains("chmod 600 .env.docker"), "{}", fixture.said());
}

#[test]
fn settings_that_are_not_there_are_a_missing_prerequisite_with_what_makes_them() {
    let fixture = Fixture::new(&[]);
    for outcome in [check(&fixture, false), show(&fixture, false, false)] {
        let failure = failure(outcome);
        assert_eq!(failure.code(), Exit::Missing as u8);
        assert_eq!(failure.hints(), ["cargo xtask env init"]);
    }
}

#[test]
fn what_is_wrong_in_a_file_is_told_all_at_once_before_anything_is_built() {
    let fixture = ready();
    let text = without(&fixture.read(".env.docker"), "POSTGRES_PASSWORD").replace("REDIS_PORT=6379", "REDIS_PORT=none");
    fixture.write(".env.docker", &format!("{text}TYPO=1\n"));
    let failure = failure(check(&fixture, false));
    assert_eq!(failure.code(), Exit::Missing as u8);
    assert_eq!(
        failure.evidence(),
        [
            "REDIS_PORT must be a whole number from 1 to 65535",
            "POSTGRES_PASSWORD is missing",
            "TYPO is not a setting that anything reads",
        ]
    );
    assert!(failure.hints().iter().any(|hint| hint == "cargo xtask env init --add-missing"), "{:?}", failure.hints());
    assert!(fixture.runner.asked().is_empty(), "{:?}", fixture.runner.asked());
}

#[test]
fn what_the_backend_does_not_take_is_told_in_its_words_and_as_json() {
    let said = r#"{"problems":[{"name":"LOG_LEVEL","problem":"is no filter"},{"name":"HOST","problem":"is empty"}]}"#;
    let fixture = ready();
    fixture.runner.on("config --check --json", crate::runner::Output { code: Some(3), ..says(said) });
    let failure = failure(check(&fixture, true));
    assert_eq!((failure.code(), failure.to_string().as_str()), (3, "settings are wrong in .env.docker"));
    assert_eq!(failure.evidence(), ["LOG_LEVEL is no filter", "HOST is empty"]);
    let document: Value = serde_json::from_str(&fixture.printed()).unwrap();
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["ok"], false);
    assert_eq!(document["problems"][0], "LOG_LEVEL is no filter");
}

#[test]
fn a_backend_that_does_not_say_what_is_wrong_is_a_failure_of_its_own() {
    let fixture = ready();
    fixture.runner.on("config --check --json", fails(101, "thread 'main' panicked"));
    let failure = failure(check(&fixture, false));
    assert!(failure.to_string().starts_with("cannot check the settings: "), "{failure}");
    assert!(failure.evidence().iter().any(|line| line.contains("panicked")), "{:?}", failure.evidence());
    assert!(failure.failed_command().unwrap().contains("JWT_SECRET=***"), "{:?}", failure.failed_command());
    let fixture = ready();
    fixture.runner.on("build --package backend", fails(101, "error[E0308]: mismatched types"));
    assert_eq!(exit_code(&check(&fixture, false).unwrap_err()), Exit::Failed as u8);
    assert!(!fixture.runner.was_asked("config --check --json"));
}

#[test]
fn no_secret_is_shown_unless_it_is_asked_for() {
    let fixture = ready();
    let text = fixture.read(".env.docker");
    let secrets: Vec<String> = Settings::parse(&text).unwrap().secrets().map(str::to_owned).collect();
    assert_eq!(secrets.len(), 5);
    for json in [false, true] {
        assert_eq!(show(&fixture, false, json).unwrap(), 0);
    }
    let printed = fixture.printed();
    assert!(secrets.iter().all(|secret| !printed.contains(secret)), "{printed}");
    for line in ["JWT_SECRET=***\n", "DATABASE_URL=***\n", "LOG_LEVEL=info\n", "BACKEND_PORT=3000\n", "FRONTEND_URL=\n"]
    {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert_eq!(show(&fixture, true, false).unwrap(), 0);
    let revealed = fixture.printed()[printed.len()..].to_owned();
    assert!(secrets.iter().all(|secret| revealed.contains(secret)), "{revealed}");
    assert!(revealed.contains("\nDATABASE_URL=postgres://product:"), "{revealed}");
}

#[test]
fn settings_as_json_say_where_each_comes_from() {
    let fixture = ready();
    assert_eq!(show(&fixture, false, true).unwrap(), 0);
    let document: Value = serde_json::from_str(&fixture.printed()).unwrap();
    let settings = &document["settings"];
    assert_eq!(settings["LOG_LEVEL"], serde_json::json!({ "value": "info", "from": ".env.docker" }));
    assert_eq!(settings["DATABASE_URL"], serde_json::json!({ "value": "***", "from": "the stack" }));
}

#[test]
fn a_port_that_the_stack_has_moved_is_shown_as_it_is_in_use() {
    let fixture = ready();
    let ports = Ports::of_each(|service| match service {
        Service::Backend => 20_000,
        Service::Postgres => 5432,
        Service::Redis => 6379,
        Service::Mail => 8025,
    });
    State::new(EngineKind::Host, ports).store(&StackFolder::of(&fixture.context.project, None)).unwrap();
    assert_eq!(show(&fixture, false, true).unwrap(), 0);
    let document: Value = serde_json::from_str(&fixture.printed()).unwrap();
    let moved = serde_json::json!({ "value": "20000", "from": "the stack, which moved it" });
    assert_eq!(document["settings"]["BACKEND_PORT"], moved);
    assert_eq!(document["settings"]["REDIS_PORT"]["from"], ".env.docker");
}
