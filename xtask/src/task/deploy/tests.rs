//! Whole deploys against a Railway that the recorded runner plays: what each ends with, what was ordered, and what was
//! left.

mod failures;
mod images;
mod interruptions;
mod locks;
mod others;
mod preflight;
mod previews;
mod rehearsals;

use crate::fixture::Ran;
use crate::fixture::railway::{NEW, OLD, Shipyard, TOKEN};
use crate::product::setting::OPERATOR_TOKEN;

/// A deploy as CI does it, without a watch.
pub fn deploy(yard: &mut Shipyard, more: &[&str]) -> Ran {
    let mut words = vec!["deploy", "--confirm", "production", "--lock-timeout", "0"];
    for default in [["--watch", "0s"], ["--timeout", "0"]] {
        if !more.contains(&default[0]) {
            words.extend(default);
        }
    }
    words.extend(more);
    let ran = yard.fixture.xtask(&words);
    let commands = yard.fixture.runner.asked().join("\n");
    for text in [&ran.stdout, &ran.stderr, &commands] {
        for secret in [TOKEN, "hunter2hunter2", "never-shown-value"] {
            assert!(!text.contains(secret), "{secret} is shown:\n{text}");
        }
    }
    ran
}

/// The same with time for several looks at a deployment.
pub fn patient(yard: &mut Shipyard, more: &[&str]) -> Ran {
    deploy(yard, &[&["--timeout", "60"], more].concat())
}

#[test]
fn a_commit_is_uploaded_answers_is_written_down_and_the_lock_is_free_again() {
    let mut yard = Shipyard::new();
    patient(&mut yard, &[]).expect(0).says(&[NEW, "answers in production", "https://backend.example.com"]);
    assert_eq!(yard.orders(), ["upload"]);
    assert_eq!(yard.platform().answering(), Some(NEW));
    let releases = yard.releases();
    assert_eq!(releases["entries"][0]["commit"], NEW);
    assert_eq!(releases["entries"][0]["verdict"], "live");
    assert_eq!(releases["entries"][0]["owner"], "Ada");
    assert_eq!(releases["entries"][0]["migration"], 20_260_101_000_000_u64);
    assert_eq!(yard.lock(), "free");
    assert!(yard.fixture.runner.was_asked("smoke --url https://backend.example.com"));
    assert!(yard.fixture.runner.asked().iter().filter(|step| step.contains("healthcheck --url")).count() >= 9);
}

#[test]
fn the_walk_signs_in_with_the_token_of_the_environment_which_is_not_shown() {
    let mut yard = Shipyard::new();
    yard.fixture.context.variables.insert(OPERATOR_TOKEN.to_owned(), "a token of operators".to_owned());
    let ran = patient(&mut yard, &[]).expect(0);
    let asked = yard.fixture.runner.asked();
    let walk = asked.iter().find(|step| step.contains("smoke --url")).expect("a walk");
    assert!(walk.contains(&format!("{OPERATOR_TOKEN}=***")), "{walk}");
    ran.keeps_silent_about(&["a token of operators"]);
}

#[test]
fn what_it_did_is_one_document_and_a_file_for_ci() {
    let mut yard = Shipyard::new();
    let receipt = yard.fixture.root().join("receipt.json");
    let ran = patient(&mut yard, &["--json", "--receipt", receipt.to_str().unwrap()]).expect(0);
    let document = ran.json();
    assert_eq!((document["schema_version"].as_u64(), document["commit"].as_str()), (Some(1), Some(NEW)));
    assert_eq!(document["deployments"]["backend"], "new-1");
    assert_eq!(document["urls"]["backend"], "https://backend.example.com");
    assert_eq!(document["verdict"], "live");
    let kept: serde_json::Value = serde_json::from_str(&yard.fixture.read("receipt.json")).unwrap();
    assert_eq!(kept, document);
}

#[test]
fn settings_that_differ_are_staged_applied_without_a_deployment_and_read_back_before_the_upload() {
    let mut yard = Shipyard::new().with(|platform| platform.settings["deploy"]["drainingSeconds"] = 0.into());
    patient(&mut yard, &[]).expect(0).says(&["deploy.drainingSeconds: 0 → 15"]);
    assert_eq!(yard.orders(), ["environmentStageChanges", "environmentPatchCommitStaged", "upload"]);
    assert_eq!(yard.platform().settings["deploy"]["drainingSeconds"], 15);
    assert!(yard.fixture.runner.was_asked("workflowStatus"));
}

#[test]
fn a_dry_run_asks_everything_shows_what_it_would_do_and_changes_nothing() {
    let mut yard = Shipyard::new().with(|platform| platform.settings["deploy"]["drainingSeconds"] = 0.into());
    let ran = deploy(&mut yard, &["--dry-run"]).expect(0);
    for words in [
        "# phase 1, preflight",
        "deploy.drainingSeconds: 0 → 15",
        "environmentStageChanges",
        "railway up '<folder>' --path-as-root --detach --json",
        "healthcheck --url https://backend.example.com/health",
        "deploymentRollback",
        "# at the end, whatever came of it: undo lock",
    ] {
        let is_there = ran.stdout.contains(words) || ran.stderr.contains(words);
        assert!(is_there, "it does not say {words:?}:\n{}\n{}", ran.stdout, ran.stderr);
    }
    assert!(yard.platform().orders.is_empty());
    assert_eq!(yard.lock(), "");
}

#[test]
fn production_asks_for_its_name_after_showing_what_would_happen_and_another_word_changes_nothing() {
    let words = ["deploy", "--watch", "0s", "--timeout", "60"];
    let mut yard = Shipyard::new();
    yard.fixture.xtask(&words).expect(9).says(&["preflight  nothing is in the way", "--confirm production"]);
    yard.fixture.xtask_answered(&words, Some("prod\n")).expect(9).says(&["that is not production"]);
    assert!(yard.platform().orders.is_empty());
    yard.fixture.xtask_answered(&words, Some("production\n")).expect(0);
    let mut yard = Shipyard::new().with(|platform| platform.environment = "staging".to_owned());
    let staging = [&words[..], &["--environment", "staging"]].concat();
    yard.platform().settings["deploy"]["numReplicas"] = 1.into();
    yard.fixture.xtask(&staging).expect(0).says(&["answers in staging"]);
}

#[test]
fn the_first_deploy_has_nothing_to_compare_with() {
    let mut yard = Shipyard::new().with(|platform| platform.deployments.clear());
    patient(&mut yard, &[]).expect(0).says(&["nothing is live", "one migration: 20260101000000"]);
    let mut yard = Shipyard::new().with(|platform| {
        platform.deployments.clear();
        platform.course = ["BUILDING", "FAILED"].map(str::to_owned).into();
    });
    patient(&mut yard, &[]).expect(7).says(&["nothing is still live"]);
}

#[test]
fn a_version_that_is_broken_never_keeps_its_fix_from_being_shipped() {
    let mut yard = Shipyard::new().with(|platform| platform.deployments[0].status = "CRASHED".to_owned());
    patient(&mut yard, &[]).expect(0);
    assert_eq!(yard.platform().answering(), Some(NEW));
}

#[test]
fn the_logs_of_a_build_are_shown_as_they_come_and_once() {
    let mut yard = Shipyard::new().with(|platform| {
        platform.course =
            ["BUILDING", "BUILDING", "BUILDING", "BUILDING", "DEPLOYING", "SUCCESS"].map(str::to_owned).into();
    });
    let ran = patient(&mut yard, &[]).expect(0);
    assert_eq!(ran.stderr.matches("backend build │ compiling").count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("backend deploy │ listening").count(), 1, "{}", ran.stderr);
}

#[test]
fn an_error_rate_that_stays_is_no_reason_to_go_back() {
    let watched = ["--watch", "1ms"];
    let mut yard = Shipyard::new().with(|platform| platform.answers = [(1_000, 20), (100, 2), (100, 2)].into());
    patient(&mut yard, &watched).expect(0);
    assert_eq!(yard.platform().answering(), Some(NEW));
    let mut yard = Shipyard::new().with(|platform| platform.answers = [(1_000, 0), (100, 50), (100, 50)].into());
    patient(&mut yard, &watched).expect(8).says(&["50.0 %", OLD, "was put back"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn github_gets_an_annotation_of_a_failure_and_a_summary_of_each_deploy() {
    let mut yard = Shipyard::new();
    let summary = yard.fixture.root().join("summary.md").display().to_string();
    for (name, value) in [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", &summary), ("GITHUB_ACTOR", "grace")] {
        yard.fixture.context.variables.insert(name.to_owned(), value.to_owned());
    }
    patient(&mut yard, &[]).expect(0).keeps_silent_about(&["::error"]);
    assert_eq!(yard.releases()["entries"][0]["owner"], "grace");
    yard.fixture.runner.on("smoke --url", crate::runner::fails(1, "POST is 500"));
    yard.fixture.runner.on("git rev-parse", crate::runner::says("dddddddddddd"));
    let ran = patient(&mut yard, &[]).expect(8);
    ran.says(&["::error title=dddddddddddd Add a thing in production%3A failed%2C put back::", "%0APOST is 500"]);
    let text = yard.fixture.read("summary.md");
    for words in [
        "### bbbbbbbbbbbb Add a thing in production: live",
        "| ship backend | 0 |",
        "<https://backend.example.com>",
        "POST is 500",
    ] {
        assert!(text.contains(words), "{text}");
    }
}
