//! What is found before anything is changed.

use super::{deploy, patient};
use crate::fixture::Fixture;
use crate::fixture::platform::{Fault, Platform};
use crate::fixture::railway::{NEW, Shipyard};
use crate::product::MIGRATIONS;
use crate::product::setting::{DATABASE_URL, GENERATED, PROXIES};
use crate::runner::{fails, says};

fn yard(change: impl FnOnce(&mut Platform)) -> Shipyard {
    Shipyard::new().with(change)
}

#[track_caller]
fn untouched(yard: &Shipyard) {
    assert!(yard.platform().orders.is_empty(), "{:?}", yard.platform().orders);
}

#[test]
fn everything_that_is_in_the_way_is_told_at_once() {
    let mut yard = yard(|platform| {
        platform.variables.retain(|name| name != DATABASE_URL && name != GENERATED[0]);
        platform.config_file = Some("/railway.toml".to_owned());
        platform.staged = serde_json::json!({ "services": { "x": { "deploy": { "numReplicas": 9 } } } });
        platform.begin("theirs", "c", "BUILDING", serde_json::json!({}));
    });
    yard.fixture
        .runner
        .on("git status --porcelain", says(" M backend/src/main.rs\n"))
        .on("git branch --remotes", says(""));
    deploy(&mut yard, &[]).expect(3).says(&[
        "6 things are in the way of this deployment, and nothing was changed",
        "1 files differ from the commit: backend/src/main.rs",
        "is on no branch of a remote",
        &format!("backend has no {DATABASE_URL}, {}", GENERATED[0]),
        "backend still reads /railway.toml",
        "services.x.deploy.numReplicas",
        "theirs of Ada, BUILDING",
    ]);
    untouched(&yard);
}

#[test]
fn a_service_that_does_not_know_of_the_proxies_in_front_is_a_warning() {
    let warning = format!("backend has no {PROXIES} in production");
    patient(&mut Shipyard::new(), &[]).expect(0).says(&[&warning]);
    let mut knows = yard(|platform| platform.variables.push(PROXIES.to_owned()));
    let said = patient(&mut knows, &[]).expect(0).stderr.clone();
    assert!(!said.contains(PROXIES), "{said}");
}

#[test]
fn one_thing_in_the_way_has_its_own_exit_code_and_its_own_next_step() {
    let mut dirty = yard(|_| ());
    dirty.fixture.runner.on("git status --porcelain", says("?? x\n"));
    deploy(&mut dirty, &[]).expect(9).says(&["one thing is in the way", "git commit, or --allow-dirty"]);
    let mut staged = yard(|platform| {
        platform.staged = serde_json::json!({ "sharedVariables": { "KEY": { "value": "secret-value" } } });
    });
    deploy(&mut staged, &[]).expect(9).says(&["sharedVariables.KEY"]).keeps_silent_about(&["secret-value"]);
    let mut theirs = yard(|platform| platform.begin("theirs", "c", "QUEUED", serde_json::json!({})));
    deploy(&mut theirs, &[]).expect(6).says(&["takes no lock is under way"]);
    for yard in [dirty, staged, theirs] {
        untouched(&yard);
    }
}

#[test]
fn what_is_in_no_commit_is_deployed_only_when_somebody_says_so() {
    let mut yard = yard(|_| ());
    yard.fixture.runner.on("git status --porcelain", says(" M Cargo.toml\n")).on("git branch --remotes", says(""));
    patient(&mut yard, &["--allow-dirty"]).expect(0);
    let first = yard.platform().answering().unwrap().to_owned();
    assert!(first.starts_with(NEW) && first.ends_with("-dirty") && first.len() == NEW.len() + 14, "{first}");
    yard.fixture.runner.on("git diff", says("another difference"));
    patient(&mut yard, &["--allow-dirty"]).expect(0);
    assert_ne!(yard.platform().answering(), Some(first.as_str()), "one cannot be taken for the other");
}

#[test]
fn a_typo_in_the_declaration_is_told_with_what_was_meant() {
    let mut yard = yard(|_| ());
    let text = yard.fixture.read("infra/railway.json").replace("healthcheckPath", "healtcheckPath");
    yard.fixture.write("infra/railway.json", &text);
    deploy(&mut yard, &[])
        .expect(3)
        .says(&["infra/railway.json: services[0].deploy.healtcheckPath is not known; is healthcheckPath meant?"]);
    untouched(&yard);
}

#[test]
fn each_wrong_token_has_its_own_message() {
    let mut wrong = yard(|platform| platform.takes_project_tokens = false);
    deploy(&mut wrong, &[])
        .expect(3)
        .says(&["does not take RAILWAY_TOKEN: Project Token not found", "RAILWAY_API_TOKEN"]);
    let mut other = yard(|platform| platform.environment = "staging".to_owned());
    deploy(&mut other, &[]).expect(3).says(&["RAILWAY_TOKEN is for the environment staging, and not for production"]);
    let mut project = yard(|_| ());
    deploy(&mut project, &["--project", "another"]).expect(3).says(&["for another project"]);
    let mut none = yard(|_| ());
    none.fixture.context.variables.clear();
    deploy(&mut none, &[]).expect(3).says(&["no project is named", "--project ID", "RAILWAY_TOKEN"]);
    let refuse = |platform: &mut Platform| {
        platform.faults.push(Fault { word: "project(", times: None, status: 200, message: "Not Authorized" });
    };
    let mut account = yard(refuse);
    account.fixture.context.variables = [("RAILWAY_API_TOKEN".to_owned(), "account-token".to_owned())].into();
    let ran = deploy(&mut account, &["--project", "p"]).expect(3);
    ran.says(&["Not Authorized", "RAILWAY_API_TOKEN"]).keeps_silent_about(&["account-token"]);
    let mut login = yard(refuse);
    login.fixture.context.variables.clear();
    deploy(&mut login, &["--project", "p"]).expect(3).says(&["Not Authorized", "railway login"]);
    for yard in [wrong, other, project, none, account, login] {
        untouched(&yard);
    }
}

#[test]
fn a_service_or_an_environment_that_is_not_there_is_told_with_those_that_are() {
    let mut service = yard(|_| ());
    let text = service.fixture.read("infra/railway.json").replace("\"name\": \"backend\"", "\"name\": \"backnd\"");
    service.fixture.write("infra/railway.json", &text);
    deploy(&mut service, &[]).expect(3).says(&["the project shop has no service backnd; it has backend, postgres"]);
    let mut environment = yard(|_| ());
    environment.fixture.context.variables = [("RAILWAY_API_TOKEN".to_owned(), "account-token".to_owned())].into();
    let ran = environment.fixture.xtask(&["deploy", "--environment", "stagng", "--project", "p"]).expect(3);
    ran.says(&["the project shop has no environment stagng; it has production"]);
}

#[test]
fn without_a_cli_that_can_do_it_nobody_is_asked() {
    let mut none = Shipyard::of(Fixture::new(&[]));
    deploy(&mut none, &[]).expect(3).says(&["the Railway CLI is not on PATH", "npm install --global @railway/cli"]);
    let mut old = yard(|_| ());
    old.fixture.runner.on("railway --version", says("railway 4.9.0\n"));
    deploy(&mut old, &[]).expect(3).says(&["railway 4.9.0 is too old: 5.41"]);
    assert!(!old.fixture.runner.was_asked("railway api"));
    let mut odd = yard(|_| ());
    odd.fixture.runner.on("railway --version", fails(127, "no such file"));
    deploy(&mut odd, &[]).expect(1);
}

#[test]
fn a_commit_that_was_put_back_is_not_shipped_again_unless_somebody_says_so() {
    let mut yard = yard(|_| ());
    yard.fixture.runner.on("smoke --url", fails(1, "no"));
    patient(&mut yard, &[]).expect(8);
    yard.fixture.runner.on("smoke --url", says("fine"));
    patient(&mut yard, &[]).expect(9).says(&["bbbbbbbbbbbb was released before, failed, and was put back", "--again"]);
    patient(&mut yard, &["--again"]).expect(0);
    assert_eq!(yard.platform().answering(), Some(NEW));
}

#[test]
fn a_migration_that_locks_a_table_is_found_before_it_is_shipped() {
    let mut yard = yard(|_| ());
    for direction in ["up", "down"] {
        yard.fixture
            .write(&format!("{MIGRATIONS}/20270101000000_index.{direction}.sql"), "CREATE INDEX i ON one (id);\n");
    }
    crate::fixture::railway::lints(&yard.fixture, "20270101000000_index.up.sql", "require-concurrent-index-creation");
    deploy(&mut yard, &[])
        .expect(5)
        .says(&["20270101000000_index.up.sql:1 require-concurrent-index-creation", "cargo xtask migrate lint"]);
    untouched(&yard);
}

#[test]
fn a_live_commit_that_git_lacks_is_looked_up_in_what_was_written_down() {
    let mut yard = yard(|_| ());
    yard.fixture.runner.on("git ls-tree", fails(128, "fatal: not a tree object"));
    patient(&mut yard, &["--without-backup"]).expect(0).says(&["does not say which migrations it has"]);
    // That one was written down with its newest migration.
    yard.fixture.runner.on("git rev-parse", says("dddddddddddd"));
    patient(&mut yard, &[]).expect(0).keeps_silent_about(&["does not say which migrations", "one migration"]);
}

#[test]
fn autodeploy_is_named_and_not_in_the_way() {
    let mut yard = yard(|platform| platform.deploys_by_itself = true);
    patient(&mut yard, &[]).expect(0).says(&["backend also deploys by itself"]);
}

#[test]
fn a_service_without_a_domain_is_told_before_anything_is_deployed() {
    let mut yard = yard(|platform| platform.domain = None);
    deploy(&mut yard, &[]).expect(3).says(&["backend has no domain", "railway domain --service backend"]);
    untouched(&yard);
    patient(&mut yard, &["--url", "https://other.example.com/"]).expect(0);
    assert!(yard.fixture.runner.was_asked("healthcheck --url https://other.example.com/health"));
}
