//! Ctrl-C in each phase.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::patient;
use crate::failure::Exit;
use crate::fixture::platform::{BACKEND, Platform};
use crate::fixture::railway::{OLD, Shipyard};

/// Interrupts the deploy as soon as something that reads like this is asked.
fn interrupted(yard: &mut Shipyard, words: &'static str, exit: Exit) -> crate::fixture::Ran {
    let interrupt = yard.fixture.context.interrupt.clone();
    yard.on_command(words, move || interrupt.request(exit));
    patient(yard, &[])
}

#[test]
fn before_anything_is_changed_it_leaves_nothing() {
    let mut yard = Shipyard::new();
    interrupted(&mut yard, "serviceInstanceAutoDeployStatus", Exit::Interrupted).expect(130);
    assert!(yard.platform().orders.is_empty());
}

#[test]
fn while_it_takes_the_lock_it_gives_it_back() {
    let mut yard = Shipyard::new();
    interrupted(&mut yard, "variableUpsert", Exit::Terminated).expect(143);
    assert_eq!(yard.lock(), "", "it was never written");
    assert!(yard.orders().is_empty());
}

#[test]
fn while_the_settings_are_applied_it_says_that_they_are() {
    let mut yard = Shipyard::new().with(|platform| platform.settings["deploy"]["drainingSeconds"] = 0.into());
    interrupted(&mut yard, "environmentPatchCommitStaged", Exit::Interrupted)
        .expect(130)
        .says(&["is still live", "the declared settings may be staged or applied"]);
    assert_eq!(yard.lock(), "free");
    assert!(!yard.orders().contains(&"upload".to_owned()));
}

#[test]
fn while_it_is_built_the_deployment_is_stopped() {
    let mut yard = Shipyard::new().with(|platform: &mut Platform| {
        platform.course = ["BUILDING", "BUILDING", "BUILDING", "BUILDING"].map(str::to_owned).into();
    });
    interrupted(&mut yard, "deployment(id", Exit::Interrupted)
        .expect(130)
        .says(&["the deployment new-1 was stopped", "is still live"]);
    assert_eq!(yard.orders(), ["upload", "deploymentCancel"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
    assert_eq!(yard.lock(), "free");
}

#[test]
fn after_the_switch_and_before_it_is_verified_the_version_before_is_put_back() {
    let mut yard = Shipyard::new();
    let (interrupt, asked) = (yard.fixture.context.interrupt.clone(), AtomicUsize::new(0));
    yard.on_command("healthcheck --url", move || {
        // The first is preflight's.
        if asked.fetch_add(1, Ordering::Relaxed) == 3 {
            interrupt.request(Exit::Interrupted);
        }
    });
    patient(&mut yard, &[]).expect(130).says(&["aaaaaaaaaaaa was put back"]);
    assert_eq!(yard.orders(), ["upload", "deploymentRollback"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
    assert_eq!(yard.lock(), "free");
}

#[test]
fn the_services_are_named_by_their_ids_wherever_something_is_changed() {
    let mut yard = Shipyard::new();
    patient(&mut yard, &[]).expect(0);
    let upload = yard.fixture.runner.asked().into_iter().find(|step| step.contains("railway up")).unwrap();
    assert!(upload.contains(&format!("--service {BACKEND}")) && upload.contains("DO_NOT_TRACK=1"), "{upload}");
}
