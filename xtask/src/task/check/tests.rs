//! Every check, with recorded tools and a database that only says it is ready.

use super::{CHECKS, run};
use crate::failure::{Exit, Failure, exit_code};
use crate::fixture::Fixture;
use crate::product::{DECLARATION, SCHEMA, TEMPLATE_DATABASE};
use crate::runner::{fails, says};

const MIGRATION: &str = "CREATE TABLE a (b int);\n";
/// What sqlx keeps of a query.
const QUERY: &str = "{\"query\":\"SELECT 1\"}";

/// A checkout in which every check passes.
fn clean() -> Fixture {
    let fixture = Fixture::new(&["hadolint", "pg_dump", "psql", "shellcheck", "squawk"]).with_installed_servers();
    fixture.write("backend/migrations/20260101000000_a.up.sql", MIGRATION);
    fixture.write("backend/migrations/20260101000000_a.down.sql", "");
    fixture.write("backend/.sqlx/query-1.json", QUERY);
    fixture.write("infra/start", "#!/bin/sh\n");
    fixture.write("docs/tasks.md", "");
    fixture
        .runner
        .on("fmt --all", says(""))
        .on("clippy", says(""))
        .on("deny", says(""))
        .on("hadolint", says(""))
        .on("shellcheck", says(""))
        .on("squawk", says("[]"))
        .on("psql", says("at 0\n"))
        .on("pg_dump", says(""))
        .on("migrate run", says(""))
        .on("migrate revert", says(""))
        .on("seed", says(""))
        .on("docker compose", says("2.30.1\n"))
        .on("git grep", says("infra/start\nREADME.md\n"))
        .on("build --package backend", says(""))
        .on("config --json", says(DECLARATION))
        .on_step("check --package backend --all-targets", says(""), |step| {
            let store = step.variables().find(|(name, _)| *name == "SQLX_OFFLINE_DIR").expect("a store").1;
            std::fs::write(std::path::Path::new(store).join("query-1.json"), QUERY).expect("the query");
        });
    // The pages are made by the first --fix; what it prints does not count.
    let outcome = run(&fixture.context, true);
    assert!(matches!(outcome, Ok(0)), "{}{}", fixture.printed(), fixture.said());
    fixture.forget();
    fixture
}

/// What the table says of a check.
#[track_caller]
fn verdict(fixture: &Fixture, name: &str) -> String {
    let printed = fixture.printed();
    let line = printed.lines().find(|line| line.split_whitespace().next() == Some(name));
    let words = line.unwrap_or_else(|| panic!("no {name} in {printed}")).split_whitespace().skip(1);
    words.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn failure(fixture: &Fixture, fix: bool) -> Failure {
    run(&fixture.context, fix).unwrap_err().downcast().unwrap()
}

#[test]
fn a_clean_checkout_passes_every_check() {
    let fixture = clean();
    assert_eq!(run(&fixture.context, false).unwrap(), 0, "{}{}", fixture.printed(), fixture.said());
    let printed = fixture.printed();
    let names: Vec<&str> = printed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, CHECKS.iter().map(|check| check.name).collect::<Vec<_>>());
    assert!(names.iter().all(|name| verdict(&fixture, name) == "passed"), "{printed}");
    assert!(!fixture.said().contains("skipped"), "{}", fixture.said());
}

#[test]
fn every_check_is_made_also_after_one_has_failed() {
    let fixture = clean();
    fixture.runner.on("fmt --all --check", fails(1, "Diff in main.rs")).on("clippy", fails(101, "error: unused"));
    let failure = failure(&fixture, false);
    assert_eq!((failure.code(), failure.to_string().as_str()), (Exit::Failed as u8, "2 of 11 checks failed"));
    assert_eq!(failure.hints(), ["cargo xtask check --fix"]);
    assert!(verdict(&fixture, "format").starts_with("failed cannot check the formatting: "));
    assert!(verdict(&fixture, "lint").starts_with("failed cannot lint: "));
    assert_eq!(verdict(&fixture, "generated"), "passed");
    // What each of them said, where it happened and again at a glance.
    let said = fixture.said();
    assert!(said.contains("  Diff in main.rs") && said.contains("  error: unused"), "{said}");
}

#[test]
fn lints_of_a_newer_rust_are_told_from_those_of_ci() {
    let fixture = clean();
    fixture.runner.on("clippy", fails(101, "error: unused"));
    let hint = format!("cargo +{} xtask check", env!("CARGO_PKG_RUST_VERSION"));
    for (version, is_newer) in [("rustc 1.999.0 (abc 2099-01-01)\n", true), ("rustc 1.95.3 (abc 2026-01-01)\n", false)]
    {
        fixture.runner.on("rustc --version", says(version));
        assert!(run(&fixture.context, false).is_err());
        assert_eq!(fixture.said().contains(&hint), is_newer, "{version}: {}", fixture.said());
        fixture.forget();
    }
}

#[test]
fn a_check_that_cannot_be_made_is_skipped_and_not_passed() {
    let fixture = clean();
    fixture.runner.on("deny --version", fails(101, "no such command: `deny`")).on("docker compose", fails(1, "no"));
    assert_eq!(run(&fixture.context, false).unwrap(), 0);
    assert!(verdict(&fixture, "dependencies").starts_with("skipped cargo-deny is not installed: cargo install"));
    assert!(verdict(&fixture, "advisories").starts_with("skipped cargo-deny is not installed"));
    assert_eq!(verdict(&fixture, "compose"), "skipped docker compose is not there");
    assert!(fixture.said().contains("3 skipped, which is not the same as passed"), "{}", fixture.said());
    assert!(!fixture.runner.was_asked("deny --all-features check bans"));
}

#[test]
fn a_network_that_is_away_is_told_from_a_known_hole() {
    let fixture = clean();
    fixture.runner.on("deny fetch db", fails(1, "network unreachable"));
    assert_eq!(run(&fixture.context, false).unwrap(), 0);
    assert_eq!(verdict(&fixture, "advisories"), "skipped their database cannot be fetched from here");
    assert_eq!(verdict(&fixture, "dependencies"), "passed");
    fixture.runner.on("deny fetch db", says("")).on("deny --disable-fetch advisories", fails(1, "RUSTSEC-2026-0001"));
    fixture.forget();
    assert_eq!(failure(&fixture, false).to_string(), "1 of 11 checks failed");
    assert!(fixture.said().contains("RUSTSEC-2026-0001"), "{}", fixture.said());
}

#[test]
fn what_is_stale_is_told_and_then_fixed_and_named() {
    let fixture = clean();
    fixture.write("docs/tasks.md", "stale\n");
    fixture.write("backend/.sqlx/query-2.json", "{}");
    let error = failure(&fixture, false);
    assert_eq!(error.to_string(), "2 of 11 checks failed");
    assert_eq!(verdict(&fixture, "queries"), "failed 1 files in backend/.sqlx do not fit the queries and migrations");
    assert_eq!(verdict(&fixture, "generated"), "failed generated files are not fresh");
    assert!(fixture.said().contains("  docs/tasks.md is not what the code says"), "{}", fixture.said());
    assert_eq!(fixture.read("docs/tasks.md"), "stale\n", "nothing is written without --fix");
    fixture.forget();

    assert_eq!(run(&fixture.context, true).unwrap(), 0);
    assert_eq!(verdict(&fixture, "queries"), "fixed 1 files in backend/.sqlx");
    assert_eq!(verdict(&fixture, "generated"), "fixed docs/tasks.md");
    assert!(fixture.read("docs/tasks.md").starts_with("# Tasks\n"));
    assert!(!fixture.root().join("backend/.sqlx/query-2.json").exists());
    assert_eq!(fixture.read("backend/.sqlx/query-1.json"), QUERY);
    assert!(fixture.runner.asked().iter().any(|command| command.ends_with(" fmt --all")), "it formats");
    fixture.forget();
    assert_eq!(run(&fixture.context, false).unwrap(), 0, "{}", fixture.printed());
}

#[test]
fn a_schema_that_is_stale_is_told_and_then_fixed_and_named() {
    let fixture = clean();
    assert!(fixture.read(SCHEMA).starts_with("-- What the migrations add up to."));
    fixture.write(SCHEMA, "stale\n");
    failure(&fixture, false);
    assert_eq!(verdict(&fixture, "schema"), "failed the migrations are not as they have to be");
    assert!(fixture.said().contains("is not what the migrations add up to"), "{}", fixture.said());
    fixture.forget();
    assert_eq!(run(&fixture.context, true).unwrap(), 0);
    assert_eq!(verdict(&fixture, "schema"), format!("fixed {SCHEMA}"));
    fixture.forget();
    fixture.runner.on("migrate revert --to 0", fails(5, "no way back"));
    failure(&fixture, false);
    assert!(verdict(&fixture, "schema").starts_with("failed cannot revert migrations"), "{}", fixture.printed());
}

#[test]
fn without_a_client_of_postgresql_no_schema_passes_for_checked() {
    let fixture = Fixture::new(&[]).with_installed_servers();
    fixture.write("backend/migrations/20260101000000_a.up.sql", MIGRATION);
    fixture.write("backend/migrations/20260101000000_a.down.sql", "");
    assert!(matches!(super::schema::check(&fixture.context, false).unwrap(), super::Verdict::Skipped(_)));
}

#[test]
fn with_fix_a_failure_does_not_advise_what_was_just_done() {
    let fixture = clean();
    fixture.runner.on("clippy", fails(101, "error: unused"));
    assert!(failure(&fixture, true).hints().is_empty());
}

#[test]
fn queries_are_asked_of_a_database_with_all_migrations_whose_password_is_not_shown() {
    let fixture = clean();
    fixture.runner.on("check --package backend --all-targets", fails(101, "error: no such column"));
    failure(&fixture, false);
    assert!(fixture.runner.was_asked("DATABASE_URL=*** check --package backend --all-targets"));
    assert!(fixture.runner.was_asked(&format!("programs/postgres --single -j {TEMPLATE_DATABASE}")));
    assert!(fixture.said().contains("  error: no such column"), "{}", fixture.said());
    // The throw-away stack is gone, whatever came of it.
    assert!(!fixture.context.project.state().exists());
}

#[test]
fn a_template_that_lacks_a_setting_is_not_fixed_by_writing_pages() {
    let fixture = clean();
    let template = fixture.read(".env.docker.example").replace("\nLOG_LEVEL=", "\n# LOG_LEVEL=");
    fixture.write(".env.docker.example", &template);
    failure(&fixture, true);
    assert!(fixture.said().contains("LOG_LEVEL is missing in .env.docker.example"), "{}", fixture.said());
}

#[test]
fn scripts_are_the_tracked_files_that_begin_as_scripts() {
    let fixture = clean();
    assert_eq!(run(&fixture.context, false).unwrap(), 0);
    let linted = fixture.runner.asked().into_iter().rfind(|command| command.contains("shellcheck")).unwrap();
    assert!(linted.ends_with("--severity=warning infra/start"), "{linted}");
    fixture.runner.on("git grep", crate::runner::Output { code: Some(1), ..says("") });
    fixture.forget();
    assert_eq!(run(&fixture.context, false).unwrap(), 0);
    assert_eq!(verdict(&fixture, "scripts"), "passed", "no script is nothing wrong");
    fixture.runner.on("git grep", fails(128, "fatal: not a git repository"));
    fixture.forget();
    failure(&fixture, false);
    assert_eq!(verdict(&fixture, "scripts"), "failed git does not tell its files: fatal: not a git repository");
}

#[test]
fn both_compose_files_are_checked_with_the_template() {
    let fixture = clean();
    fixture.runner.on("compose.production.yaml config", fails(15, "services.backend: bad"));
    assert_eq!(failure(&fixture, false).to_string(), "1 of 11 checks failed");
    assert!(fixture.runner.was_asked("infra/compose.yaml --env-file .env.docker.example config --quiet"));
    assert!(fixture.said().contains("services.backend: bad"), "{}", fixture.said());
}

#[test]
fn an_interruption_ends_the_checks_at_once() {
    let fixture = clean();
    let interrupt = fixture.context.interrupt.clone();
    fixture.runner.on_and("clippy", says(""), move || interrupt.request(Exit::Interrupted));
    let error = run(&fixture.context, false).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Interrupted as u8);
    assert!(fixture.runner.asked().last().unwrap().contains("clippy"), "{:?}", fixture.runner.asked());
    assert_eq!(fixture.printed(), "", "no table of half the checks");
}

#[test]
fn a_dry_run_shows_the_commands_and_runs_none_that_changes_anything() {
    let mut fixture = clean();
    fixture.context.dry_run = true;
    assert_eq!(run(&fixture.context, true).unwrap(), 0);
    let printed = fixture.printed();
    for words in ["fmt --all", "clippy --workspace", "deny fetch db", "hadolint", "initdb --pgdata", "config --quiet"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    assert_eq!(fixture.runner.changes(), [""; 0]);
    assert!(!printed.contains("passed"), "{printed}");
}
