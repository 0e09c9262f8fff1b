//! What fails on the way, and what is live afterwards.

use super::{deploy, patient};
use crate::fixture::platform::{Fault, Platform};
use crate::fixture::railway::{NEW, OLD, Shipyard};
use crate::product::MIGRATIONS;
use crate::runner::{fails, says};
use crate::tool::railway::document;

fn course(words: &[&str]) -> std::collections::VecDeque<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn yard(change: impl FnOnce(&mut Platform)) -> Shipyard {
    Shipyard::new().with(change)
}

#[track_caller]
fn still_live(yard: &Shipyard) {
    assert_eq!(yard.platform().answering(), Some(OLD));
    assert!(!yard.orders().contains(&"deploymentRollback".to_owned()), "there is nothing to put back");
    assert_eq!(yard.lock(), "free");
}

#[track_caller]
fn put_back(yard: &Shipyard) {
    assert_eq!(yard.platform().answering(), Some(OLD));
    assert_eq!(yard.orders(), ["upload", "deploymentRollback"]);
    assert_eq!(yard.lock(), "free");
    let releases = yard.releases();
    assert_eq!(
        (&releases["entries"][1]["verdict"], &releases["entries"][1]["commit"]),
        (&"put_back".into(), &NEW.into())
    );
    let again = &releases["entries"][0];
    assert_eq!((&again["verdict"], &again["commit"]), (&"rolled_back".into(), &OLD.into()));
    assert_eq!(again["deployments"]["backend"], yard.platform().serving().unwrap().id);
}

#[test]
fn a_build_that_fails_is_told_with_its_step_and_the_end_of_its_log() {
    let mut yard = yard(|platform| platform.course = course(&["BUILDING", "FAILED"]));
    patient(&mut yard, &[]).expect(7).says(&[
        "bbbbbbbbbbbb was not deployed, and aaaaaaaaaaaa is still live",
        "build image: exit code: 101",
        "the end of the log of backend:",
        "| compiling",
        "railway logs new-1 --build",
    ]);
    still_live(&yard);
    assert_eq!(yard.releases()["entries"][0]["verdict"], "failed");
}

#[test]
fn every_other_end_of_a_deployment_is_a_failure_and_none_hangs() {
    for (status, words) in
        [("CRASHED", "crashed"), ("REMOVED", "was removed"), ("SKIPPED", "was skipped"), ("CANCELLED", "was cancelled")]
    {
        let mut yard = yard(|platform| platform.course = course(&["QUEUED", "DEPLOYING", status]));
        patient(&mut yard, &[]).expect(7).says(&[words]);
        still_live(&yard);
    }
}

#[test]
fn what_never_ends_is_ended_by_our_own_deadline_and_stopped() {
    for (status, words) in [
        ("NEEDS_APPROVAL", "it needs an approval in the dashboard"),
        ("BUILDING", "did not end within 0s: BUILDING"),
        ("TELEPORTING", "TELEPORTING, which is not known here"),
    ] {
        let mut yard = yard(|platform| platform.course = course(&[status, status, status]));
        deploy(&mut yard, &[]).expect(7).says(&[words]);
        assert_eq!(yard.orders(), ["upload", "deploymentCancel"]);
        assert_eq!(yard.platform().answering(), Some(OLD));
    }
}

#[test]
fn an_unknown_status_is_waited_for_like_any_other() {
    let mut yard = yard(|platform| platform.course = course(&["TELEPORTING", "TELEPORTING", "SUCCESS"]));
    patient(&mut yard, &[]).expect(0);
}

#[test]
fn railway_being_away_for_a_while_is_no_verdict() {
    for status in [429, 500, 502] {
        let fault = Fault { word: "deployment(id", times: Some(3), status, message: "busy" };
        let mut yard = yard(|platform| platform.faults.push(fault));
        patient(&mut yard, &[]).expect(0);
        assert_eq!(yard.platform().answering(), Some(NEW));
    }
}

#[test]
fn a_green_platform_with_the_old_commit_answering_is_put_back() {
    let mut yard = yard(|platform| platform.answers_with = Some("cccccccccccc".to_owned()));
    patient(&mut yard, &[]).expect(8).says(&["bbbbbbbbbbbb did not answer", "cccccccccccc answers"]);
    put_back(&yard);
}

#[test]
fn too_few_instances_are_put_back() {
    let mut yard = yard(|platform| platform.instances = 1);
    yard.platform().deployments[0].running = 2;
    patient(&mut yard, &[]).expect(8).says(&["not every instance of backend runs: 1 of 2 run"]);
    put_back(&yard);
}

#[test]
fn settings_that_come_back_different_end_it_before_the_upload() {
    let mut yard = yard(|platform| {
        platform.changes_settings = |settings| settings["deploy"]["overlapSeconds"] = 0.into();
        platform.settings["deploy"]["drainingSeconds"] = 0.into();
    });
    patient(&mut yard, &[])
        .expect(7)
        .says(&["settings of backend came back different", "deploy.overlapSeconds is 0 and not 10"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
    assert!(!yard.orders().contains(&"upload".to_owned()));
}

#[test]
fn settings_that_the_deployment_did_not_run_with_are_put_back() {
    let mut yard = yard(|platform| platform.manifest = Some(serde_json::json!({ "deploy": { "overlapSeconds": 0 } })));
    patient(&mut yard, &[])
        .expect(8)
        .says(&["did not run with the declared settings", "deploy.overlapSeconds was 0 and not 10"]);
    put_back(&yard);
}

#[test]
fn a_walk_that_fails_is_put_back_and_tells_what_failed() {
    let mut yard = yard(|_| ());
    yard.fixture.runner.on("smoke --url", fails(1, "POST /api/v1/reports is 500"));
    patient(&mut yard, &[]).expect(8).says(&[
        "POST /api/v1/reports is 500",
        "aaaaaaaaaaaa was put back",
        "with the variables that it had",
    ]);
    put_back(&yard);
}

#[test]
fn where_no_way_leads_back_it_says_that_the_new_version_is_live() {
    let mut yard = yard(|platform| platform.deployments[0].can_rollback = false);
    yard.fixture.runner.on("smoke --url", fails(1, "no"));
    patient(&mut yard, &[]).expect(1).says(&["is live, failed, and was not put back", "no longer keeps the image"]);
    assert_eq!(yard.platform().answering(), Some(NEW));
    assert_eq!(yard.releases()["entries"][0]["verdict"], "broken");
}

#[test]
fn a_rollback_that_railway_refuses_is_not_taken_for_one() {
    let fault = Fault { word: "deploymentRollback", times: None, status: 200, message: "Image was removed" };
    let mut yard = yard(|platform| platform.faults.push(fault));
    yard.fixture.runner.on("smoke --url", fails(1, "no"));
    patient(&mut yard, &[]).expect(1).says(&["Image was removed", "was not put back"]);
    assert_eq!(yard.platform().answering(), Some(NEW));
}

#[test]
fn an_upload_that_is_refused_changes_nothing() {
    let mut yard = yard(|platform| platform.upload = (413, false));
    patient(&mut yard, &[]).expect(7).says(&["413", "the upload is too large"]);
    still_live(&yard);
    assert_eq!(yard.releases(), serde_json::Value::Null, "nothing was uploaded");
}

#[test]
fn an_upload_whose_answer_was_lost_is_found_again_and_not_repeated() {
    let mut yard = yard(|platform| platform.upload = (504, true));
    patient(&mut yard, &[]).expect(0).says(&["was not answered, but has begun the deployment new-1"]);
    assert_eq!(yard.orders(), ["upload"]);
    assert_eq!(yard.platform().answering(), Some(NEW));
}

#[test]
fn a_backup_that_fails_ends_it_before_anything_serves() {
    let mut yard = incompatible();
    yard.platform().workflow = "Error";
    patient(&mut yard, &[]).expect(7).says(&["the backup failed"]);
    assert_eq!(yard.orders(), ["backup"]);
}

/// A release with a migration that the live version cannot go on with.
fn incompatible() -> Shipyard {
    with_incompatible(Shipyard::new())
}

fn with_incompatible(yard: Shipyard) -> Shipyard {
    for direction in ["up", "down"] {
        yard.fixture.write(&format!("{MIGRATIONS}/20270101000000_drop.{direction}.sql"), "DROP TABLE one;\n");
    }
    crate::fixture::railway::lints(&yard.fixture, "20270101000000_drop.up.sql", "ban-drop-table");
    yard
}

#[test]
fn a_migration_without_a_way_back_is_backed_up_first_and_never_rolled_back_over() {
    let mut yard = incompatible();
    patient(&mut yard, &[]).expect(0).says(&["cannot go on with migration 20270101000000 (ban-drop-table)"]);
    assert_eq!(yard.orders(), ["backup", "upload"]);
    assert_eq!(yard.releases()["entries"][0]["backup"], "before-bbbbbbbbbbbb");
    assert_eq!(yard.releases()["entries"][0]["incompatible"][0], 20_270_101_000_000_u64);

    let mut yard = Shipyard::new();
    patient(&mut yard, &[]).expect(0);
    let mut yard = with_incompatible(yard);
    yard.platform().orders.clear();
    yard.fixture.runner.on("git rev-parse", says("dddddddddddd")).on("smoke --url", fails(1, "no"));
    patient(&mut yard, &[]).expect(1).says(&["was not put back", "the backup before-dddddddddddd was made before"]);
    assert_eq!(yard.orders(), ["backup", "upload"], "no rollback over it");
    let list = yard.fixture.xtask(&["rollback", "--confirm", "production"]).expect(9);
    list.says(&["cannot go on with migration 20270101000000", "deploy a fix instead"]);
}

#[test]
fn without_a_database_to_back_up_it_is_refused_until_somebody_says_that_there_is_a_backup() {
    let mut yard = incompatible();
    let declaration = yard.fixture.read("infra/railway.json").replace("\"database\": \"postgres\",", "");
    yard.fixture.write("infra/railway.json", &declaration);
    patient(&mut yard, &[]).expect(9).says(&["nothing can be backed up", "--without-backup"]);
    assert!(yard.orders().is_empty());
    patient(&mut yard, &["--without-backup"]).expect(0);
    assert_eq!(yard.orders(), ["upload"]);
}

/// What a deploy can do without: how it is told, and what is only asked where something else has failed.
const DISPENSABLE: [&str; 11] = [
    "EVENTS",
    "BUILD_LOG",
    "DEPLOY_LOG",
    "STATUS_CODES",
    "SET_VARIABLES",
    "ROLLBACK",
    "CANCEL",
    "DEPLOY",
    "CREATE_ENVIRONMENT",
    "DELETE_ENVIRONMENT",
    "CREATE_DOMAIN",
];

#[test]
fn no_call_that_fails_for_good_ends_in_green_or_in_a_hang() {
    let answers = [(401, "Not Authorized"), (429, "slow down"), (500, "oops"), (200, "Problem processing request")];
    for (name, document) in document::ALL {
        let root = document.text.split_once('{').unwrap().1.split_inclusive(['(', '{']).next().unwrap();
        for (status, message) in answers {
            let mut yard = yard(|platform| {
                platform.settings["deploy"]["drainingSeconds"] = 0.into();
                platform.faults.push(Fault { word: root, times: None, status, message });
                platform.course = course(&["SUCCESS"]);
            });
            let ran = deploy(&mut yard, &[]);
            assert_eq!(ran.code == 0, DISPENSABLE.contains(name), "{name} {status}: {}\n{}", ran.code, ran.stderr);
            if ran.code != 0 {
                assert!(ran.stderr.contains(message), "{name} {status} is not told why:\n{}", ran.stderr);
                assert!([1, 3, 4, 7, 8].contains(&ran.code), "{name} {status}: {}", ran.code);
            }
        }
    }
}
