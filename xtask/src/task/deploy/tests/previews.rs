//! Environments for changes that are not merged yet.

use crate::fixture::Ran;
use crate::fixture::railway::Shipyard;

/// A project with `staging`, reached by a token of the workspace.
fn yard() -> Shipyard {
    let mut yard = Shipyard::new().with(|platform| platform.environment = "staging".to_owned());
    yard.fixture.context.variables = [("RAILWAY_API_TOKEN".to_owned(), "account-token".to_owned())].into();
    yard
}

fn preview(yard: &mut Shipyard, more: &[&str]) -> Ran {
    let words = ["deploy", "--preview", "pr-12", "--project", "p", "--watch", "0s"];
    yard.fixture.xtask(&[&words[..], more].concat())
}

#[test]
fn a_preview_is_a_copy_with_a_domain_and_is_deployed_to_without_a_question() {
    let mut yard = yard().with(|platform| platform.domain = None);
    preview(&mut yard, &[]).expect(0).says(&["backend: https://preview.example.com", "answers in pr-12"]);
    assert_eq!(yard.orders(), ["environmentCreate", "serviceDomainCreate", "upload"]);
}

#[test]
fn a_second_deploy_takes_the_preview_that_is_there_also_where_it_was_half_made() {
    let mut yard = yard();
    preview(&mut yard, &[]).expect(0);
    yard.platform().orders.clear();
    yard.platform().domain = None;
    preview(&mut yard, &[]).expect(0);
    assert_eq!(yard.orders(), ["serviceDomainCreate", "upload"], "only what was missing");
}

#[test]
fn what_the_copy_itself_deploys_is_waited_for() {
    let mut yard = yard().with(|platform| platform.begin("copied", "c", "BUILDING", serde_json::json!({})));
    preview(&mut yard, &[]).expect(4).says(&["the copy was not done within 2s: copied is BUILDING"]);
    assert_eq!(yard.orders(), ["environmentCreate"]);
}

#[test]
fn a_preview_is_removed_when_its_name_is_typed_and_removing_it_twice_is_no_failure() {
    let mut yard = yard();
    preview(&mut yard, &[]).expect(0);
    yard.platform().orders.clear();
    preview(&mut yard, &["--remove"]).expect(9).says(&["--confirm pr-12"]);
    preview(&mut yard, &["--remove", "--dry-run"]).expect(0).says(&["environmentDelete"]);
    assert!(yard.orders().is_empty());
    preview(&mut yard, &["--remove", "--confirm", "pr-12"]).expect(0).says(&["removed pr-12"]);
    preview(&mut yard, &["--remove", "--confirm", "pr-12"]).expect(0).says(&["nothing to remove"]);
    assert_eq!(yard.orders(), ["environmentDelete"]);
}

#[test]
fn nothing_but_a_preview_is_made_or_removed() {
    let mut yard = yard();
    for name in ["production", "staging", "PR 12", "", "../x"] {
        let words = ["deploy", "--preview", name, "--remove", "--confirm", name, "--project", "p"];
        yard.fixture.xtask(&words).expect(9).says(&["cargo xtask deploy --preview pr-12"]);
    }
    assert!(yard.platform().orders.is_empty());
}

#[test]
fn a_token_of_one_environment_cannot_make_another() {
    let mut yard = Shipyard::new();
    preview(&mut yard, &[]).expect(3).says(&["a project token is for one environment", "RAILWAY_API_TOKEN"]);
    let mut none = self::yard();
    none.fixture
        .xtask(&["deploy", "--preview", "pr-12", "--from", "prod", "--project", "p"])
        .expect(3)
        .says(&["no environment prod to copy; there is staging"]);
    assert!(yard.platform().orders.is_empty() && none.platform().orders.is_empty());
}

#[test]
fn an_environment_that_was_not_made_as_a_preview_is_neither_taken_for_one_nor_removed() {
    let mut yard = yard().with(|platform| platform.copies.push(("66666666".to_owned(), "pr-12".to_owned())));
    preview(&mut yard, &["--remove", "--confirm", "pr-12"]).expect(9).says(&["was not made as a preview"]);
    preview(&mut yard, &[]).expect(9).says(&["which is no preview of ours"]);
    assert!(yard.orders().is_empty());
}

#[test]
fn a_dry_run_of_a_preview_that_is_not_there_says_what_it_can() {
    let mut yard = yard();
    preview(&mut yard, &["--dry-run"])
        .expect(0)
        .says(&["make pr-12 as a copy of staging", "once the preview is there"]);
    assert!(yard.platform().orders.is_empty());
}
