//! The variables of an environment: names are told, values never.

use crate::fixture::railway::Shipyard;
use crate::product::setting::{DATABASE_URL, GENERATED, HARMLESS};

const SECRET: &str = "postgres://owner:hunter2@db.example.com/x";

fn yard() -> Shipyard {
    let yard = Shipyard::new();
    yard.fixture.write(".env.production", &format!("{DATABASE_URL}={SECRET}\n{}=warn\n", HARMLESS.0));
    yard
}

#[test]
fn what_differs_is_told_by_name_and_what_is_missing_is_an_error() {
    let mut yard = yard();
    yard.fixture.xtask(&["env", "diff"]).expect(0).says(&[HARMLESS.0, "only in the file", "not in the file"]);
    yard.platform().variables.retain(|name| name != GENERATED[0]);
    let ran = yard.fixture.xtask(&["env", "diff"]).expect(3);
    ran.says(&[&format!("production lacks {}", GENERATED[0]), "cargo xtask env push --environment production"])
        .keeps_silent_about(&[SECRET, "hunter2"]);
    let document = yard.fixture.xtask(&["env", "diff", "--json"]).expect(3).json();
    assert_eq!(document["difference"]["missing"][0], GENERATED[0]);
    assert!(yard.platform().orders.is_empty());
}

#[test]
fn without_a_file_it_is_compared_with_what_the_backend_needs() {
    let mut yard = Shipyard::new();
    yard.platform().variables.push("OLD_KEY".to_owned());
    yard.fixture.xtask(&["env", "diff"]).expect(0).says(&["OLD_KEY", "read by nobody"]);
    yard.fixture.xtask(&["env", "diff", "--file", "/nowhere"]).expect(1).says(&["/nowhere"]);
}

#[test]
fn variables_are_set_in_one_request_through_stdin_and_without_a_deployment() {
    let mut yard = yard();
    let ran = yard.fixture.xtask(&["env", "push", "--confirm", "production"]).expect(0);
    ran.says(&[&format!("new: {}", HARMLESS.0), &format!("set again: {DATABASE_URL}"), "next deployment"])
        .keeps_silent_about(&[SECRET, "hunter2"]);
    assert_eq!(yard.orders(), ["variableCollectionUpsert"]);
    let commands = yard.fixture.runner.asked().join("\n");
    assert!(!commands.contains("hunter2") && commands.contains("--variables @-"), "{commands}");
    assert!(yard.platform().variables.iter().any(|name| name == HARMLESS.0));
}

#[test]
fn production_asks_for_its_name_and_a_dry_run_changes_nothing() {
    let mut yard = yard();
    yard.fixture.xtask(&["env", "push"]).expect(9).says(&["--confirm production"]);
    let dry = yard.fixture.xtask(&["env", "push", "--dry-run"]).expect(0);
    dry.says(&["printf '***' | ", "variableCollectionUpsert"]).keeps_silent_about(&["hunter2"]);
    assert!(yard.platform().orders.is_empty());
}

#[test]
fn a_file_with_empty_or_unknown_settings_is_not_pushed() {
    let mut yard = yard();
    yard.fixture.write(".env.production", &format!("{DATABASE_URL}=\nTYPO=1\n"));
    let ran = yard.fixture.xtask(&["env", "push", "--confirm", "production"]).expect(3);
    ran.says(&[&format!("{DATABASE_URL} has no value"), "TYPO is not a setting of the backend"]);
    yard.fixture.xtask(&["env", "push", "--environment", "staging"]).expect(3).says(&["there is no file .env.staging"]);
    assert!(yard.platform().orders.is_empty());
}
