//! Deploys, what they end with, and what is left.

use crate::platform::Fault;
use crate::support::is_alive;
use crate::yard::{OLD, TOKEN, Yard};

fn course(words: &[&str]) -> std::collections::VecDeque<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
#[ignore = "needs the real Railway CLI: cargo xtask ci ship"]
fn a_commit_is_deployed_and_only_tracked_files_of_the_image_are_uploaded() {
    let yard = Yard::with(|platform| platform.settings["deploy"]["drainingSeconds"] = 0.into());
    yard.deploy(&[]).expect(0).says(&["deploy.drainingSeconds: 0 → 15", "nothing is in the way"]);
    assert_eq!(yard.orders(), ["environmentStageChanges", "environmentPatchCommitStaged", "upload"]);
    assert_eq!(yard.server.platform().answering(), Some(yard.new.as_str()));
    assert_eq!(yard.lock(), "free");
    let uploaded = yard.server.uploaded();
    let expected = [
        ".dockerignore",
        "Cargo.lock",
        "Cargo.toml",
        "backend/COMMIT",
        "backend/migrations/20260101000000_first.down.sql",
    ];
    assert_eq!(uploaded[..5], expected, "{uploaded:?}");
    assert!(uploaded.contains(&"infra/Dockerfile".to_owned()) && uploaded.contains(&"backend/src/main.rs".to_owned()));
    assert!(!uploaded.iter().any(|name| name.contains("railway") || name.contains("secret")), "{uploaded:?}");
    yard.server.expect_nothing_wrong(TOKEN);
    let releases = yard.run(&["releases", "--json"]).expect(0).json();
    assert_eq!(releases["releases"][0]["commit"], yard.new);
}

#[test]
#[ignore = "needs the real Railway CLI: cargo xtask ci ship"]
fn a_build_that_fails_leaves_the_version_before_and_a_walk_that_fails_puts_it_back() {
    let yard = Yard::with(|platform| platform.course = course(&["BUILDING", "FAILED"]));
    yard.deploy(&[]).expect(7).says(&["build image: exit code: 101", "| compiling", "is still live"]);
    assert_eq!(yard.orders(), ["upload"]);
    yard.checkout.write("smoke.txt", "POST /api/v1/reports is 500\n");
    yard.deploy(&["--allow-dirty"]).expect(8).says(&["POST /api/v1/reports is 500", "aaaaaaaaaaaa was put back"]);
    assert_eq!(yard.orders(), ["upload", "upload", "deploymentRollback"]);
    assert_eq!(yard.server.platform().answering(), Some(OLD));
    yard.server.expect_nothing_wrong(TOKEN);
}

#[test]
#[ignore = "needs the real Railway CLI: cargo xtask ci ship"]
fn every_end_of_a_deployment_ends_the_deploy() {
    for status in ["CRASHED", "REMOVED", "SKIPPED", "CANCELLED"] {
        let yard = Yard::with(|platform| platform.course = course(&["QUEUED", status]));
        yard.deploy(&[]).expect(7).says(&[&status.to_lowercase()]);
        assert_eq!(yard.server.platform().answering(), Some(OLD));
        yard.server.expect_nothing_wrong(TOKEN);
    }
    for status in ["NEEDS_APPROVAL", "TELEPORTING"] {
        let yard = Yard::with(|platform| platform.course = course(&[status; 50]));
        yard.deploy(&["--timeout", "3"]).expect(7).says(&["did not end within 3s"]);
        assert_eq!(yard.orders(), ["upload", "deploymentCancel"]);
    }
}

#[test]
#[ignore = "needs the real Railway CLI: cargo xtask ci ship"]
fn answers_of_the_api_that_are_errors_are_told_apart_as_the_real_cli_tells_them() {
    for (status, message, word, code) in [
        (200, "Not Authorized", "project(", 3),
        (401, "Unauthorized", "environmentStagedChanges", 1),
        (200, "Problem processing request", "variableUpsert", 1),
    ] {
        let yard = Yard::with(|platform| platform.faults.push(Fault { word, times: None, status, message }));
        yard.deploy(&[]).expect(code).says(&[message]);
        assert!(yard.orders().is_empty(), "{:?}", yard.orders());
    }
    let busy = |status| Fault { word: "deployment(id", times: Some(2), status, message: "busy" };
    for status in [429, 500] {
        let yard = Yard::with(|platform| platform.faults.push(busy(status)));
        yard.deploy(&[]).expect(0);
    }
    let yard = Yard::with(|platform| platform.takes_project_tokens = false);
    yard.deploy(&[]).expect(3).says(&["does not take RAILWAY_TOKEN: Project Token not found"]);
}

#[test]
#[ignore = "needs the real Railway CLI: cargo xtask ci ship"]
fn an_upload_that_is_refused_and_one_whose_answer_is_lost() {
    let yard = Yard::with(|platform| platform.upload = (413, false));
    yard.deploy(&[]).expect(7).says(&["cannot upload backend"]);
    assert_eq!(yard.server.platform().answering(), Some(OLD));
    let yard = Yard::with(|platform| platform.upload = (502, true));
    yard.deploy(&[]).expect(0).says(&["was not answered, but has begun the deployment"]);
    assert_eq!(yard.orders(), ["upload"]);
}

#[test]
#[ignore = "needs the real Railway CLI: cargo xtask ci ship"]
fn values_are_pushed_in_one_request_and_shown_nowhere() {
    let yard = Yard::new();
    yard.checkout.write("secrets.env", "DATABASE_URL=postgres://x:hunter2@db/x\n");
    yard.run(&["env", "push", "--file", "secrets.env", "--confirm", "production"])
        .expect(0)
        .says(&["set again: DATABASE_URL"]);
    assert_eq!(yard.orders(), ["variableCollectionUpsert"]);
    yard.run(&["env", "diff", "--json"]).expect(0);
    yard.server.expect_nothing_wrong(TOKEN);
}

#[test]
#[ignore = "needs the real Railway CLI: cargo xtask ci ship"]
fn ctrl_c_during_the_build_stops_the_deployment_and_leaves_nothing_running() {
    let yard = Yard::with(|platform| platform.course = course(&["BUILDING"; 200]));
    let deploy = yard.deploy_until("deployment new-1");
    deploy.signal("INT");
    deploy.end().expect(130).says(&["the deployment new-1 was stopped", "is still live"]);
    assert_eq!(yard.orders(), ["upload", "deploymentCancel"]);
    assert_eq!(yard.lock(), "free");
    crate::support::until("nothing works in the checkout", || yard.checkout.inhabitants().is_empty());
}

#[test]
#[ignore = "needs the real Railway CLI: cargo xtask ci ship"]
fn after_a_kill_the_next_deploy_says_who_has_the_lock_and_what_is_under_way() {
    let yard = Yard::with(|platform| platform.course = course(&["BUILDING"; 200]));
    let deploy = yard.deploy_until("deployment new-1");
    let pid = deploy.child.id();
    deploy.kill_and_wait();
    assert!(!is_alive(pid));
    yard.deploy(&[]).expect(6).says(&["somebody else is deploying"]);
    yard.run(&["deploy", "--unlock", "--confirm", "production"]).expect(0).says(&["gave back the deploy lock"]);
    yard.deploy(&[]).expect(6).says(&["new-1", "takes no lock is under way"]);
    let mut platform = yard.server.platform();
    platform.course.clear();
    platform.deployments.last_mut().expect("a deployment").status = "FAILED".to_owned();
    drop(platform);
    yard.deploy(&[]).expect(0);
}
