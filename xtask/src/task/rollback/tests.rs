//! Going back, and what was released.

use crate::fixture::railway::{NEW, OLD, Shipyard};
use crate::product::RELEASES;
use crate::runner::{fails, says};

/// After a deploy, so that both versions are known.
fn deployed() -> Shipyard {
    let mut yard = Shipyard::new();
    deploy(&mut yard);
    yard
}

fn deploy(yard: &mut Shipyard) {
    yard.fixture.xtask(&["deploy", "--confirm", "production", "--watch", "0s"]).expect(0);
    yard.platform().orders.clear();
}

const BACK: [&str; 3] = ["rollback", "--confirm", "production"];

#[test]
fn the_newest_version_before_serves_again_and_is_asked_for_its_commit() {
    let mut yard = deployed();
    yard.fixture.runner.on("git rev-parse", says("cccccccccccc"));
    deploy(&mut yard);
    yard.fixture
        .xtask(&BACK)
        .expect(0)
        .says(&["backend goes back to bbbbbbbbbbbb", "serves, with the variables that it had"]);
    assert_eq!(yard.platform().answering(), Some(NEW));
    assert_eq!(yard.orders(), ["deploymentRollback"]);
    assert_eq!(yard.lock(), "free");
    assert_eq!(yard.releases()["entries"][0]["verdict"], "rolled_back");
    assert!(yard.fixture.runner.was_asked("healthcheck --url"));
}

#[test]
fn a_version_of_which_nobody_knows_the_migrations_since_is_gone_back_to_only_when_somebody_says_so() {
    let mut yard = deployed();
    yard.fixture.xtask(&BACK).expect(9).says(&["nobody recorded which migrations came after live", "--without-check"]);
    assert!(yard.orders().is_empty());
    yard.fixture.xtask(&[&BACK[..], &["--without-check"]].concat()).expect(0);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn what_cannot_be_gone_back_to_is_an_error_and_never_a_silent_success() {
    let mut yard = deployed();
    yard.fixture
        .xtask(&[&BACK[..], &["--to", "nothing"]].concat())
        .expect(1)
        .says(&["cannot go back to nothing", "--list"]);
    yard.fixture.xtask(&[&BACK[..], &["--to", "new-1"]].concat()).expect(9).says(&["new-1 serves already"]);
    yard.platform().deployments[0].can_rollback = false;
    yard.fixture.xtask(&BACK).expect(1).says(&["there is no deployment that backend can go back to"]);
    assert!(yard.orders().is_empty());
}

#[test]
fn a_commit_names_its_deployment() {
    let mut yard = deployed();
    yard.fixture.runner.on("git rev-parse", says("cccccccccccc"));
    deploy(&mut yard);
    yard.fixture.xtask(&[&BACK[..], &["--to", NEW]].concat()).expect(0);
    assert_eq!(yard.platform().answering(), Some(NEW));
}

#[test]
fn a_version_that_does_not_answer_after_the_rollback_fails_it() {
    let mut yard = deployed();
    yard.fixture.runner.on("git rev-parse", says("cccccccccccc"));
    deploy(&mut yard);
    yard.fixture.runner.on("healthcheck --url", fails(1, "connection refused"));
    yard.fixture.xtask(&BACK).expect(4).says(&["bbbbbbbbbbbb did not answer", "connection refused"]);
}

#[test]
fn a_list_and_a_dry_run_change_nothing() {
    let mut yard = deployed();
    let listed = yard.fixture.xtask(&["rollback", "--list"]).expect(0);
    listed.says(&["new-1", NEW, "Add a thing", "live", "unknown"]);
    let document = yard.fixture.xtask(&["rollback", "--list", "--json"]).expect(0).json();
    assert_eq!(document["services"][0]["service"], "backend");
    assert_eq!(document["services"][0]["deployments"][0]["is_live"], true);
    let dry = yard.fixture.xtask(&["rollback", "--dry-run", "--without-check"]).expect(0);
    dry.says(&["# phase 1, choose", "deploymentRollback", "\"id\":\"live\""]);
    assert!(yard.orders().is_empty());
    assert_eq!(yard.platform().answering(), Some(NEW));
}

#[test]
fn production_asks_for_its_name() {
    let mut yard = deployed();
    yard.fixture.xtask(&["rollback", "--without-check"]).expect(9).says(&["--confirm production"]);
    assert!(yard.orders().is_empty());
}

#[test]
fn releases_are_listed_with_who_and_what_came_of_them() {
    let mut yard = Shipyard::new();
    yard.fixture.xtask(&["releases"]).expect(0).says(&["nothing was released to production"]);
    deploy(&mut yard);
    yard.fixture.xtask(&["releases"]).expect(0).says(&[NEW, "live", "Ada", "migration 20260101000000", "Add a thing"]);
    let document = yard.fixture.xtask(&["releases", "--json"]).expect(0).json();
    assert_eq!(document["releases"][0]["deployments"]["backend"], "new-1");
    yard.platform().shared.insert(RELEASES.to_owned(), "garbage".to_owned());
    yard.fixture.xtask(&["releases"]).expect(1).says(&[RELEASES, "cannot be read"]);
}

#[test]
fn a_second_rollback_goes_on_backwards_and_never_to_what_was_left() {
    let mut yard = deployed();
    for commit in ["cccccccccccc", "dddddddddddd"] {
        yard.fixture.runner.on("git rev-parse", says(commit));
        deploy(&mut yard);
    }
    yard.fixture.xtask(&BACK).expect(0);
    assert_eq!(yard.platform().answering(), Some("cccccccccccc"));
    yard.fixture.xtask(&BACK).expect(0);
    assert_eq!(yard.platform().answering(), Some(NEW));
}

#[test]
fn after_a_put_back_the_version_that_serves_is_not_gone_back_to() {
    let mut yard = deployed();
    yard.fixture.runner.on("git rev-parse", says("cccccccccccc")).on("smoke --url", fails(1, "no"));
    yard.fixture.xtask(&["deploy", "--confirm", "production", "--watch", "0s"]).expect(8);
    yard.fixture.runner.on("smoke --url", says("fine"));
    yard.fixture.xtask(&[&BACK[..], &["--without-check"]].concat()).expect(0);
    assert_eq!(yard.platform().answering(), Some(OLD), "the one before the one that serves");
}

#[test]
fn a_commit_that_was_rolled_back_by_hand_is_not_shipped_again_unless_somebody_says_so() {
    let mut yard = deployed();
    yard.fixture.runner.on("git rev-parse", says("cccccccccccc"));
    deploy(&mut yard);
    yard.fixture.xtask(&BACK).expect(0);
    let again = ["deploy", "--confirm", "production", "--watch", "0s"];
    yard.fixture.xtask(&again).expect(9).says(&["--again"]);
    yard.fixture.xtask(&[&again[..], &["--again"]].concat()).expect(0);
}

#[test]
fn over_a_deployment_that_nobody_recorded_nothing_is_rolled_back_without_a_word() {
    let mut yard = deployed();
    let manifest = yard.platform().settings.clone();
    yard.platform().begin("by-hand", "eeeeeeeeeeee", "SUCCESS", manifest);
    yard.fixture.xtask(&BACK).expect(9).says(&["nobody recorded which migrations came after new-1"]);
}

#[test]
fn a_rollback_that_fails_to_answer_says_what_serves_and_is_recorded() {
    let mut yard = deployed();
    yard.fixture.runner.on("git rev-parse", says("cccccccccccc"));
    deploy(&mut yard);
    yard.fixture.runner.on("smoke --url", fails(1, "no"));
    yard.fixture.xtask(&BACK).expect(1).says(&["serves now"]);
    assert_eq!(yard.releases()["entries"][0]["verdict"], "rolled_back");
}

#[test]
fn over_a_deployment_that_failed_and_may_have_migrated_nothing_is_rolled_back_without_a_word() {
    let mut yard = deployed();
    yard.fixture.runner.on("git rev-parse", says("cccccccccccc"));
    deploy(&mut yard);
    yard.platform().begin("killed", "eeeeeeeeeeee", "FAILED", serde_json::json!({}));
    yard.fixture.xtask(&BACK).expect(9).says(&["nobody recorded which migrations came after new-1"]);
}
