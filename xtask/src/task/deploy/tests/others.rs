//! What somebody else does meanwhile, and questions that get no answer.

use super::{deploy, patient};
use crate::failure::Exit;
use crate::fixture::platform::{Fault, Platform};
use crate::fixture::railway::{NEW, OLD, Shipyard, lints};
use crate::product::{DEPLOY_LOCK, MIGRATIONS};
use crate::runner::{fails, says};

const THEIRS: &str = "cccccccccccc";
const LOCK: &str = r#"{"owner":"Grace","run":null,"nonce":"theirs","since":1,"heartbeat":1,"expires":9999999999}"#;

/// Somebody else's version serves from now on.
fn theirs_is_live(platform: &mut Platform) {
    let manifest = platform.settings.clone();
    platform.begin("theirs", THEIRS, "SUCCESS", manifest);
}

fn smoke_fails(yard: &Shipyard) {
    yard.fixture.runner.on("smoke --url", fails(1, "no"));
}

#[test]
fn what_was_released_while_the_lock_was_waited_for_is_what_is_put_back() {
    let mut yard = Shipyard::new();
    yard.platform().shared.insert(DEPLOY_LOCK.to_owned(), LOCK.to_owned());
    smoke_fails(&yard);
    // Preflight reads the shared variables twice, and the wait once more for each look.
    yard.at("variables(projectId", 6, |platform| {
        theirs_is_live(platform);
        platform.shared.insert(DEPLOY_LOCK.to_owned(), "free".to_owned());
    });
    let words = ["deploy", "--confirm", "production", "--watch", "0s", "--timeout", "60", "--lock-timeout", "60"];
    yard.fixture.xtask(&words).expect(8).says(&["somebody else has released meanwhile", "cccccccccccc was put back"]);
    assert_eq!(yard.platform().answering(), Some(THEIRS));
}

#[test]
fn nothing_is_put_back_over_somebody_elses_version() {
    let mut yard = Shipyard::new();
    smoke_fails(&yard);
    yard.at("smoke --url", 1, theirs_is_live);
    patient(&mut yard, &[])
        .expect(1)
        .says(&["the deployment theirs of somebody else serves by now", "not known what is live"]);
    assert_eq!(yard.orders(), ["upload"]);
    assert_eq!(yard.platform().answering(), Some(THEIRS));
}

#[test]
fn without_the_lock_nothing_is_put_back_and_nothing_is_recorded() {
    let mut yard = Shipyard::new();
    smoke_fails(&yard);
    yard.at("smoke --url", 1, |platform| {
        platform.shared.insert(DEPLOY_LOCK.to_owned(), LOCK.to_owned());
    });
    let ran = patient(&mut yard, &[]).expect(1);
    ran.says(&["the deploy lock was taken from us: Grace", "is live, failed, and was not put back", "is not recorded"]);
    assert_eq!(yard.orders(), ["upload"]);
    assert_eq!(yard.lock(), LOCK);
    assert_eq!(yard.releases(), serde_json::Value::Null);
}

#[test]
fn one_question_without_an_answer_undoes_nothing() {
    for look in 3..=4 {
        let mut yard = Shipyard::new();
        yard.at("deployment(id", look, |platform| {
            platform.faults.push(Fault { word: "deployment(id", times: Some(1), status: 429, message: "slow down" });
        });
        patient(&mut yard, &[]).expect(0);
    }
}

#[test]
fn an_error_rate_that_railway_does_not_tell_is_a_warning_and_no_verdict() {
    let fault = Fault { word: "httpMetricsGroupedByStatus", times: None, status: 200, message: "Not Authorized" };
    let mut yard = Shipyard::new().with(|platform| platform.faults.push(fault));
    patient(&mut yard, &["--watch", "1ms"]).expect(0).says(&["its share of 5xx is not watched"]);
}

#[test]
fn a_version_that_crashes_while_it_is_watched_is_put_back() {
    let mut yard = Shipyard::new();
    yard.at("httpMetricsGroupedByStatus", 1, |platform| {
        platform.deployments.iter_mut().for_each(|one| "CRASHED".clone_into(&mut one.status));
    });
    patient(&mut yard, &["--watch", "1ms"]).expect(8).says(&["the deployment new-1 of backend crashed"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn a_version_that_nobody_asks_is_asked_once_more_at_the_end_of_the_watch() {
    let mut yard = Shipyard::new();
    yard.at("httpMetricsGroupedByStatus", 2, |platform| platform.deployments[1].commit = THEIRS.to_owned());
    patient(&mut yard, &["--watch", "1ms"]).expect(8).says(&["bbbbbbbbbbbb did not answer"]);
}

#[test]
fn a_deployment_that_cannot_be_stopped_leaves_nobody_in_the_belief_that_the_old_one_stays() {
    let fault = Fault { word: "deploymentCancel", times: None, status: 200, message: "Not Authorized" };
    let mut yard = Shipyard::new().with(|platform| {
        platform.course = std::iter::repeat_n("BUILDING".to_owned(), 9).collect();
        platform.faults.push(fault);
    });
    deploy(&mut yard, &[]).expect(1).says(&["it is not known what is live", "could not be stopped"]);
}

#[test]
fn a_deployment_that_serves_before_it_can_be_stopped_is_put_back() {
    let mut yard = Shipyard::new().with(|platform| platform.course = ["BUILDING", "SUCCESS"].map(str::to_owned).into());
    deploy(&mut yard, &[]).expect(8).says(&["did not end within 0s", "aaaaaaaaaaaa was put back"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn ctrl_c_during_the_upload_stops_the_deployment_that_it_has_begun() {
    let mut yard = Shipyard::new().with(|platform| platform.course = ["BUILDING"; 9].map(str::to_owned).into());
    let interrupt = yard.fixture.context.interrupt.clone();
    yard.at("railway up --path-as-root", 1, move |platform| {
        drop(platform.receive(NEW));
        interrupt.request(Exit::Interrupted);
    });
    patient(&mut yard, &[]).expect(130).says(&["the deployment new-1 was stopped"]);
    assert_eq!(yard.orders(), ["upload", "deploymentCancel"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn a_refused_upload_takes_nobody_elses_deployment_for_its_own() {
    let mut yard = Shipyard::new().with(|platform| platform.upload = (413, false));
    yard.at("railway up --path-as-root", 1, |platform| {
        platform.begin("theirs", THEIRS, "BUILDING", serde_json::json!({}));
    });
    patient(&mut yard, &[]).expect(7);
    assert_eq!(yard.orders(), ["upload"]);
    let mut yard = Shipyard::new().with(|platform| platform.upload = (504, true));
    yard.at("railway up --path-as-root", 1, |platform| {
        platform.begin("theirs", THEIRS, "BUILDING", serde_json::json!({}));
    });
    patient(&mut yard, &[]).expect(1).says(&["one of these may be ours"]);
    assert!(!yard.orders().contains(&"deploymentRollback".to_owned()));
}

#[test]
fn a_rollback_whose_answer_was_lost_is_waited_for() {
    let mut yard = Shipyard::new().with(|platform| platform.unanswered = Some("deploymentRollback"));
    smoke_fails(&yard);
    patient(&mut yard, &[]).expect(8);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

/// With a migration that drops a table.
fn dropping(yard: Shipyard) -> Shipyard {
    for direction in ["up", "down"] {
        yard.fixture.write(&format!("{MIGRATIONS}/20270101000000_drop.{direction}.sql"), "DROP TABLE one;\n");
    }
    lints(&yard.fixture, "20270101000000_drop.up.sql", "ban-drop-table");
    yard
}

#[test]
fn a_version_that_crashed_has_data_to_lose_all_the_same() {
    let mut yard = Shipyard::new();
    patient(&mut yard, &[]).expect(0);
    let mut yard = dropping(yard);
    yard.platform().deployments.iter_mut().for_each(|one| "CRASHED".clone_into(&mut one.status));
    yard.platform().orders.clear();
    yard.fixture.runner.on("git rev-parse", says("dddddddddddd"));
    patient(&mut yard, &[]).expect(0);
    assert_eq!(yard.orders(), ["backup", "upload"]);
}

#[test]
fn where_nobody_knows_the_migrations_there_is_a_backup_and_no_way_back() {
    let mut yard = dropping(Shipyard::new());
    yard.fixture.runner.on("git ls-tree", fails(128, "fatal: not a tree object"));
    smoke_fails(&yard);
    patient(&mut yard, &[])
        .expect(1)
        .says(&["nobody knows whether it can go on with the new migrations", "the backup before-bbbbbbbbbbbb"]);
    assert_eq!(yard.orders(), ["backup", "upload"]);
}

#[test]
fn a_failed_deployment_says_which_migrations_may_be_applied() {
    let mut yard = dropping(Shipyard::new()).with(|platform| {
        platform.course = ["DEPLOYING", "FAILED"].map(str::to_owned).into();
    });
    patient(&mut yard, &[])
        .expect(7)
        .says(&["it may have applied migration 20270101000000; the backup before-bbbbbbbbbbbb"]);
}

#[test]
fn changes_that_a_deploy_of_ours_has_left_staged_are_not_somebody_elses() {
    let fault = Fault { word: "environmentPatchCommitStaged", times: Some(1), status: 500, message: "oops" };
    let mut yard = Shipyard::new().with(|platform| {
        platform.settings["deploy"]["drainingSeconds"] = 0.into();
        platform.faults.push(fault);
    });
    patient(&mut yard, &[]).expect(7).says(&["may be staged or applied"]);
    patient(&mut yard, &[]).expect(0);
    assert_eq!(yard.platform().settings["deploy"]["drainingSeconds"], 15);
}

#[test]
fn a_deployment_that_is_not_stopped_at_once_is_stopped_again() {
    let mut yard = Shipyard::new().with(|platform| {
        platform.course = std::iter::repeat_n("BUILDING".to_owned(), 9).collect();
        platform.faults.push(Fault { word: "deploymentCancel", times: Some(1), status: 503, message: "busy" });
    });
    deploy(&mut yard, &[]).expect(7).says(&["the deployment new-1 was stopped"]);
}

#[test]
fn a_rollback_that_never_arrived_is_ordered_again() {
    let mut yard = Shipyard::new().with(|platform| {
        platform.faults.push(Fault { word: "deploymentRollback", times: Some(1), status: 503, message: "busy" });
    });
    smoke_fails(&yard);
    patient(&mut yard, &[]).expect(8);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn a_version_that_served_for_a_moment_and_ended_the_one_before_is_undone() {
    let mut yard =
        Shipyard::new().with(|platform| platform.course = ["DEPLOYING", "CRASHED"].map(str::to_owned).into());
    yard.at("deployment(id", 2, |platform| "REMOVED".clone_into(&mut platform.deployments[0].status));
    patient(&mut yard, &[]).expect(8).says(&["nothing serves now", "aaaaaaaaaaaa was put back"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn what_is_checked_out_meanwhile_is_not_shipped_under_the_first_name() {
    let mut yard = Shipyard::new();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    yard.fixture.runner.by("git rev-parse", move |_| {
        let first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        says(if first { NEW } else { "dddddddddddd" })
    });
    patient(&mut yard, &[]).expect(7).says(&["what is checked out has changed since this deploy began"]);
    assert!(yard.orders().is_empty());
}

#[test]
fn a_commit_that_lacks_a_migration_of_the_live_version_is_refused_as_a_rollback_would_be() {
    let live = format!("{MIGRATIONS}/20260101000000_first.up.sql\n{MIGRATIONS}/20260201000000_drop.up.sql\n");
    let mut yard = Shipyard::new();
    yard.fixture.runner.on("git ls-tree", says(&live));
    patient(&mut yard, &[]).expect(9).says(&["this commit lacks migration 20260201000000", "--older"]);
    assert!(yard.orders().is_empty());
    patient(&mut yard, &["--older"]).expect(0);
}

#[test]
fn a_lock_that_came_with_the_copy_of_an_environment_is_nobodys() {
    let copied = LOCK.replace("\"nonce\"", "\"environment\":\"another\",\"nonce\"");
    let mut yard = Shipyard::new().with(|platform| {
        platform.shared.insert(DEPLOY_LOCK.to_owned(), copied);
    });
    patient(&mut yard, &[]).expect(0);
}
