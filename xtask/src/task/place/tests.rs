//! Another database than the stack's: what is asked before it is changed, and that no password is shown.

use serde_json::json;

use crate::failure::Exit;
use crate::fixture::Fixture;
use crate::fixture::railway::Shipyard;
use crate::product::MIGRATIONS;
use crate::product::setting::DATABASE_URL;
use crate::runner::{Output, fails, says};
use crate::tool::railway::PUBLIC_URL;

const PUBLIC: &str = "postgres://owner:hunter2@proxy.example.com:4711/railway";
const PRIVATE: &str = "postgres://owner:hunter2@postgres.railway.internal:5432/railway";

/// What the backend's program says of one migration in that state.
fn status(state: &str) -> Output {
    let at = (state != "pending").then_some("2026-01-01T00:00:00Z");
    let one = json!({ "version": 20_260_101_000_000_u64, "name": "first", "state": state, "applied_at": at });
    let text = json!({ "schema_version": 1, "hints": [], "migrations": [one] }).to_string();
    let code = if state == "pending" { Some(Exit::Migrations as i32) } else { Some(0) };
    Output { stdout: text, code, ..fails(0, "") }
}

/// A project whose database has these variables, and a migration in that state.
fn yard(variables: &[(&str, &str)], state: &str) -> Shipyard {
    let yard = Shipyard::new();
    let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    yard.platform().database_variables.extend(pairs);
    yard.fixture.runner.on("migrate status", status(state)).on("migrate run", says("applied it\n"));
    yard
}

/// A checkout with a database's URL in a variable, and a migration in that state.
fn elsewhere(state: &str) -> Fixture {
    let mut fixture = Fixture::new(&["pg_dump", "psql"]);
    fixture.write(&format!("{MIGRATIONS}/20260101000000_first.up.sql"), "SELECT 1;");
    fixture.write(&format!("{MIGRATIONS}/20260101000000_first.down.sql"), "");
    fixture.context.variables.insert("OTHER".to_owned(), PUBLIC.to_owned());
    fixture
        .runner
        .on("cargo build", says(""))
        .on("migrate status", status(state))
        .on("migrate run", says("applied it\n"))
        .on("migrate revert", says("reverted it\n"))
        .on("psql --dbname=railway", says("server\t15.18\t8000\ntable\tprograms\t3\t3\n"))
        .on("pg_dump", says("data"));
    fixture
}

fn was_run(fixture: &Fixture, words: &str) -> bool {
    fixture.runner.was_asked(words)
}

#[test]
fn production_is_migrated_when_its_name_was_typed() {
    let mut yard = yard(&[(DATABASE_URL, PRIVATE), (PUBLIC_URL, PUBLIC)], "pending");
    let words = ["migrate", "--environment", "production"];
    let ran = yard.fixture.xtask(&words).expect(9);
    ran.says(&["20260101000000 first", "--confirm production"]).keeps_silent_about(&["hunter2"]);
    yard.fixture.xtask(&["migrate", "--environment", "production", "--yes"]).expect(9).says(&["--confirm production"]);
    yard.fixture.xtask(&["migrate", "--environment", "production", "--confirm", "prod"]).expect(9);
    assert!(!was_run(&yard.fixture, "migrate run"));
    let ran = yard.fixture.xtask_answered(&words, Some("production\n")).expect(0);
    ran.says(&["Apply this migration to production (railway at proxy.example.com:4711)?"])
        .keeps_silent_about(&["hunter2", "owner"]);
    assert!(was_run(&yard.fixture, "migrate run"));
    let commands = yard.fixture.runner.asked().join("\n");
    assert!(!commands.contains("hunter2"), "{commands}");
}

#[test]
fn a_question_is_none_where_nothing_is_pending_and_a_status_never_asks() {
    let mut yard = yard(&[(PUBLIC_URL, PUBLIC)], "applied");
    yard.fixture.xtask(&["migrate", "--environment", "production"]).expect(0);
    let ran = yard.fixture.xtask(&["migrate", "status", "--environment", "production"]).expect(0);
    assert!(ran.stdout.contains("applied  20260101000000"), "{}", ran.stdout);
}

#[test]
fn an_address_that_only_the_environments_own_services_reach_is_told_as_such() {
    let mut yard = yard(&[(DATABASE_URL, PRIVATE)], "applied");
    let ran = yard.fixture.xtask(&["migrate", "status", "--environment", "production"]).expect(3);
    ran.says(&[
        "the postgres of production has only a private address",
        "railway connect --tunnel-only --environment production postgres",
        "--url-from VARIABLE",
    ])
    .keeps_silent_about(&["hunter2"]);
    assert!(!was_run(&yard.fixture, "migrate status"));
    yard.platform().database_variables.clear();
    yard.fixture.xtask(&["migrate", "status", "--environment", "production"]).expect(3).says(&["postgres has no"]);
}

#[test]
fn what_production_has_is_not_reverted() {
    let mut yard = yard(&[(PUBLIC_URL, PUBLIC)], "applied");
    let words = ["migrate", "revert", "--environment", "production", "--confirm", "production"];
    yard.fixture.xtask(&words).expect(9).says(&["cargo xtask migrate add NAME"]);
    assert!(!was_run(&yard.fixture, "migrate revert") && !was_run(&yard.fixture, "pg_dump"));
}

#[test]
fn another_database_is_asked_about_and_saved_before_anything_is_reverted() {
    let mut fixture = elsewhere("applied");
    let words = ["migrate", "revert", "--url-from", "OTHER"];
    fixture.xtask(&words).expect(9).says(&["--yes"]).keeps_silent_about(&["hunter2"]);
    assert!(!was_run(&fixture, "pg_dump") && !was_run(&fixture, "migrate revert"));
    let ran = fixture.xtask_answered(&words, Some("y\n")).expect(0);
    assert!(ran.stderr.contains("Revert this migration of railway at proxy.example.com:4711"), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("dumps/"), "{}", ran.stdout);
    let asked = fixture.runner.asked();
    let place = |word: &str| asked.iter().position(|command| command.contains(word)).unwrap();
    assert!(place("pg_dump") < place("migrate revert"), "{asked:?}");
    assert!(
        asked[place("pg_dump")].contains("PGHOST=proxy.example.com PGPORT=4711 PGUSER=owner PGPASSWORD=***"),
        "{asked:?}"
    );
}

#[test]
fn a_dry_run_asks_and_shows_and_changes_nothing() {
    let mut fixture = elsewhere("pending");
    let ran = fixture.xtask(&["migrate", "--url-from", "OTHER", "--dry-run"]).expect(0);
    assert!(ran.stdout.contains("DATABASE_URL=***") && ran.stdout.contains("migrate run"), "{}", ran.stdout);
    assert!(!was_run(&fixture, "migrate run"));
    ran.keeps_silent_about(&["hunter2"]);
}

#[test]
fn a_shell_of_another_database_is_read_only_until_writing_was_confirmed() {
    let mut fixture = elsewhere("applied");
    let ran = fixture.xtask(&["db", "shell", "--url-from", "OTHER", "--dry-run"]).expect(0);
    assert!(ran.stdout.contains("PGOPTIONS='-c default_transaction_read_only=on'"), "{}", ran.stdout);
    assert!(ran.stdout.contains("psql --dbname=railway"), "{}", ran.stdout);
    let ran = fixture.xtask(&["db", "shell", "--url-from", "OTHER", "--write", "--dry-run"]).expect(0);
    assert!(!ran.stdout.contains("read_only"), "{}", ran.stdout);
    fixture.xtask(&["db", "shell", "--url-from", "OTHER", "--write"]).expect(9).says(&["--yes"]);
    fixture.xtask(&["db", "shell", "--url", "-"]).expect(1).says(&["--url-from VARIABLE"]);
    let mut yard = yard(&[(PUBLIC_URL, PUBLIC)], "applied");
    yard.fixture.runner.also_has("psql");
    let words = ["db", "shell", "--environment", "production", "--write", "--yes"];
    yard.fixture.xtask(&words).expect(9).says(&["--confirm production"]);
}

#[test]
fn a_url_that_is_missing_or_wrong_is_told_before_anything_is_built() {
    let mut fixture = elsewhere("pending");
    fixture.xtask(&["migrate", "--url-from", "NOTHING"]).expect(3).says(&["NOTHING is not set"]);
    let ran = fixture.xtask(&["migrate", "--url", "postgres://owner:hunter2@"]).expect(1);
    ran.says(&["that is no URL", "postgres://USER:PASSWORD@HOST"]).keeps_silent_about(&["hunter2"]);
    assert!(!was_run(&fixture, "cargo build"));
}
