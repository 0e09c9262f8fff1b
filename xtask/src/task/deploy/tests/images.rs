//! An image that was built, inspected and booted here is what runs there.

use crate::fixture::Fixture;
use crate::fixture::railway::{NEW, OLD, Shipyard};
use crate::runner::{fails, says};
use crate::task::build_prod::tests::machine;

const REPOSITORY: &str = "registry.example.com/acme/api";

fn yard() -> Shipyard {
    let fixture = Fixture::new(&["railway", "docker"]);
    machine(&fixture);
    let yard = Shipyard::of(fixture);
    let digests = format!(r#"["other.example.com/x@sha256:00","{REPOSITORY}@sha256:11"]"#);
    yard.fixture.runner.on("docker image inspect --format RepoDigests", says(&digests)).on("docker push", says(""));
    yard.platform().answers_with = Some(NEW.to_owned());
    yard
}

fn deploy(yard: &mut Shipyard, more: &[&str]) -> crate::fixture::Ran {
    let words = ["deploy", "--confirm", "production", "--watch", "0s", "--image", REPOSITORY];
    yard.fixture.xtask(&[&words[..], more].concat())
}

#[test]
fn the_digest_of_what_was_booted_is_what_the_service_runs() {
    let mut yard = yard();
    deploy(&mut yard, &[]).expect(0).says(&["answers in production"]);
    assert_eq!(yard.orders(), ["environmentStageChanges", "environmentPatchCommitStaged", "serviceInstanceDeployV2"]);
    assert_eq!(yard.platform().settings["source"]["image"], format!("{REPOSITORY}@sha256:11"));
    let asked = yard.fixture.runner.asked();
    let place =
        |words: &str| asked.iter().position(|command| command.contains(words)).unwrap_or_else(|| panic!("{words}"));
    let order = [
        "projectToken",
        "docker build",
        "docker run",
        &format!("docker push {REPOSITORY}:{NEW}"),
        "environmentStageChanges",
    ];
    assert!(order.map(place).is_sorted(), "what is in the way is found before anything is built");
    assert!(!asked.iter().any(|command| command.contains("railway up")));
}

#[test]
fn an_image_that_fails_here_or_that_the_registry_does_not_take_changes_nothing_there() {
    let mut yard = yard();
    yard.fixture.runner.on("docker push", fails(1, "denied: requested access to the resource is denied"));
    deploy(&mut yard, &[]).expect(1).says(&["denied", "docker login"]);
    assert!(yard.platform().orders.is_empty());
    let mut yard = self::yard();
    yard.fixture.runner.on("docker image inspect --format RepoDigests", says("[]"));
    deploy(&mut yard, &[]).expect(1).says(&["the registry has no digest"]);
    assert!(yard.platform().orders.is_empty());
}

#[test]
fn it_is_put_back_as_any_other() {
    let mut yard = yard();
    // Inside of the container that is booted here the walk passes.
    yard.fixture.runner.on("smoke --url https://", fails(1, "no"));
    deploy(&mut yard, &[]).expect(8).says(&["aaaaaaaaaaaa was put back"]);
    assert_eq!(yard.platform().answering(), Some(OLD));
}

#[test]
fn an_order_whose_answer_was_lost_is_found_again() {
    let mut yard = yard().with(|platform| platform.unanswered = Some("serviceInstanceDeployV2"));
    deploy(&mut yard, &[]).expect(0).says(&["has begun the deployment image-1"]);
}

#[test]
fn what_is_no_repository_is_refused_before_anything_is_built() {
    for name in ["api", "registry.example.com/api:1", "registry.example.com/api@sha256:00", "registry.example.com/"] {
        let mut yard = yard();
        yard.fixture
            .xtask(&["deploy", "--confirm", "production", "--image", name])
            .expect(3)
            .says(&["is not REGISTRY/NAME"]);
        assert!(!yard.fixture.runner.was_asked("docker build"));
    }
}

#[test]
fn a_dry_run_shows_what_would_be_built_and_ordered() {
    let mut yard = yard();
    deploy(&mut yard, &["--dry-run"]).expect(0).says(&[
        "docker build",
        "docker push",
        "@<digest>",
        "serviceInstanceDeployV2",
    ]);
    assert!(yard.platform().orders.is_empty());
}
