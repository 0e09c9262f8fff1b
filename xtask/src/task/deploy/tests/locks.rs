//! Two who deploy to one environment.

use super::{deploy, patient};
use crate::fixture::railway::{NEW, OLD, Shipyard};
use crate::product::DEPLOY_LOCK;
use crate::runner::says;

fn held(nonce: &str, expires: u64) -> String {
    format!(
        r#"{{"owner":"Grace","run":"https://ci.example.com/7","nonce":"{nonce}","since":1,"heartbeat":1,"expires":{expires}}}"#
    )
}

/// Long after any test.
const LATER: u64 = 9_999_999_999;

fn locked(expires: u64) -> Shipyard {
    Shipyard::new().with(|platform| {
        platform.shared.insert(DEPLOY_LOCK.to_owned(), held("theirs", expires));
    })
}

#[test]
fn a_lock_that_is_held_is_waited_for_and_told_with_its_holder() {
    let mut yard = locked(LATER);
    patient(&mut yard, &[]).expect(6).says(&[
        "somebody else is deploying: Grace (https://ci.example.com/7)",
        "--lock-timeout",
        "--unlock",
    ]);
    assert_eq!(yard.lock(), held("theirs", LATER), "it is not ours to release");
    assert!(yard.orders().is_empty());
}

#[test]
fn a_lock_whose_time_is_over_is_taken_over_with_a_word_from_whom() {
    let mut yard = locked(2);
    patient(&mut yard, &[]).expect(0).says(&["took over the deploy lock of Grace"]);
    assert_eq!(yard.lock(), "free");
}

#[test]
fn what_stands_there_and_is_no_lock_is_free() {
    for text in ["", "free", "{}", "garbage"] {
        let mut yard = Shipyard::new().with(|platform| {
            platform.shared.insert(DEPLOY_LOCK.to_owned(), text.to_owned());
        });
        patient(&mut yard, &[]).expect(0);
    }
}

#[test]
fn of_two_who_write_at_once_the_last_has_it_and_the_other_gives_way() {
    let mut yard = Shipyard::new();
    let writes = |yard: &Shipyard| yard.platform().overwrite = Some((DEPLOY_LOCK, held("theirs", LATER)));
    writes(&yard);
    patient(&mut yard, &[]).expect(6).says(&["Grace"]);
    assert!(yard.orders().is_empty());
    assert_eq!(yard.lock(), held("theirs", LATER));
}

#[test]
fn a_lock_that_was_stolen_ends_it_before_the_upload_and_is_not_released() {
    let mut yard = Shipyard::new().with(|platform| platform.settings["deploy"]["drainingSeconds"] = 0.into());
    // Somebody takes it while the settings are applied.
    yard.platform().on_order = Some(("environmentPatchCommitStaged", DEPLOY_LOCK, held("theirs", LATER)));
    patient(&mut yard, &[])
        .expect(7)
        .says(&["the deploy lock was taken from us: Grace", "the declared settings may be staged or applied"]);
    assert!(!yard.orders().contains(&"upload".to_owned()));
    assert_eq!(yard.lock(), held("theirs", LATER));
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn a_deployment_that_begins_meanwhile_without_a_lock_is_seen_before_the_upload() {
    let mut yard = Shipyard::new().with(|platform| platform.settings["deploy"]["drainingSeconds"] = 0.into());
    yard.platform().begins_on = Some("environmentPatchCommitStaged");
    patient(&mut yard, &[]).expect(7).says(&["takes no lock is under way"]);
    assert!(!yard.orders().contains(&"upload".to_owned()));
}

#[test]
fn unlocking_asks_a_person_and_gives_back_only_its_own_in_ci() {
    let mut yard = locked(LATER);
    yard.fixture.xtask(&["deploy", "--unlock"]).expect(9).says(&["--confirm production"]);
    assert_eq!(yard.lock(), held("theirs", LATER));
    yard.fixture
        .xtask_answered(&["deploy", "--unlock"], Some("production\n"))
        .expect(0)
        .says(&["gave back the deploy lock of Grace"]);
    assert_eq!(yard.lock(), "free");
    yard.fixture.xtask(&["deploy", "--unlock"]).expect(0).says(&["nobody has the deploy lock"]);

    let run = |id: &str| {
        let mut yard = locked(LATER);
        for (name, value) in
            [("GITHUB_SERVER_URL", "https://ci.example.com"), ("GITHUB_REPOSITORY", "a/b"), ("GITHUB_RUN_ID", id)]
        {
            yard.fixture.context.variables.insert(name.to_owned(), value.to_owned());
        }
        let own =
            held("theirs", LATER).replace("https://ci.example.com/7", "https://ci.example.com/a/b/actions/runs/7");
        yard.platform().shared.insert(DEPLOY_LOCK.to_owned(), own);
        yard
    };
    let mut other = run("8");
    other.fixture.xtask(&["deploy", "--unlock"]).expect(0).says(&["another run's and stays"]);
    assert_ne!(other.lock(), "free");
    let mut own = run("7");
    own.fixture.xtask(&["deploy", "--unlock"]).expect(0);
    assert_eq!(own.lock(), "free");
}

#[test]
fn a_deploy_that_was_killed_leaves_a_lock_and_a_deployment_and_the_next_one_takes_both_into_account() {
    let mut yard = locked(LATER).with(|platform| platform.begin("half-done", NEW, "BUILDING", serde_json::json!({})));
    deploy(&mut yard, &[]).expect(6).says(&["Grace"]);
    // Its time is over, and the platform has ended what was under way.
    yard.platform().shared.insert(DEPLOY_LOCK.to_owned(), held("theirs", 2));
    deploy(&mut yard, &[]).expect(6).says(&["half-done of Ada, BUILDING"]);
    yard.platform().deployments.last_mut().unwrap().status = "FAILED".to_owned();
    yard.fixture.runner.on("git rev-parse", says("dddddddddddd"));
    patient(&mut yard, &[]).expect(0);
}
