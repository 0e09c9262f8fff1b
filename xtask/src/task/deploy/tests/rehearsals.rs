//! The same phases on this machine, with a docker and an edge that are played.

use std::ffi::OsString;

use crate::cli::usage::parse;
use crate::failure::Exit;
use crate::fixture::Ran;
use crate::fixture::railway::{NEW, OLD};
use crate::fixture::rehearsal::{PORT, Stage};
use crate::product::{DEPLOY_LOCK, RELEASES};
use crate::runner::{fails, says};

fn rehearse(stage: &mut Stage, more: &[&str]) -> Ran {
    let mut words = vec!["deploy", "--rehearse", "--timeout", "60", "--lock-timeout", "0"];
    if !more.contains(&"--watch") {
        words.extend(["--watch", "0s"]);
    }
    words.extend(more);
    let ran = stage.fixture.xtask(&words);
    let asked = stage.fixture.runner.asked().join("\n");
    assert!(!asked.contains("railway"), "Railway was asked:\n{asked}");
    let secrets = std::fs::read_to_string(stage.folder().join("secrets.env")).unwrap_or_default();
    for (_, secret) in secrets.lines().filter_map(|line| line.split_once('=')) {
        for text in [&ran.stdout, &ran.stderr, &asked] {
            assert!(!text.contains(secret), "a secret is shown:\n{text}");
        }
    }
    ran
}

fn releases(stage: &Stage) -> serde_json::Value {
    let text = std::fs::read_to_string(stage.folder().join("environment.json")).unwrap();
    let environment: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(environment["shared"][DEPLOY_LOCK], "free");
    serde_json::from_str(environment["shared"][RELEASES].as_str().unwrap_or("null")).unwrap()
}

#[test]
fn a_commit_is_built_takes_over_answers_and_is_written_down() {
    let mut stage = Stage::new();
    let url = format!("http://127.0.0.1:{PORT}");
    rehearse(&mut stage, &[]).expect(0).says(&[NEW, "answers in rehearsal", &url, &format!("{OLD} is live")]);
    assert_eq!(stage.edge().orders, ["begin"]);
    assert_eq!(stage.edge().serving(), Some(NEW));
    let releases = releases(&stage);
    assert_eq!((&releases["entries"][0]["commit"], &releases["entries"][0]["verdict"]), (&NEW.into(), &"live".into()));
    let runner = &stage.fixture.runner;
    assert!(
        runner
            .was_asked(&format!("docker build --file infra/Dockerfile --target production --build-arg REVISION={NEW}"))
    );
    assert!(runner.was_asked(&format!("smoke --url {url}")));
    stage.fixture.xtask(&["releases", "--rehearse"]).expect(0).says(&[NEW, "live"]);
}

#[test]
fn images_of_versions_that_are_forgotten_go() {
    let mut stage = Stage::new();
    let repository = format!("rehearsal-of-{}", stage.fixture.context.project.name());
    let listed = [OLD, NEW, "forgotten"].map(|commit| format!("{repository}:{commit}\n")).concat();
    let runner = &stage.fixture.runner;
    runner.on(&format!("docker image ls {repository}"), says(&listed)).on(&format!("{repository}:forgotten"), says(""));
    rehearse(&mut stage, &[]).expect(0);
    let removed: Vec<String> =
        stage.fixture.runner.asked().into_iter().filter(|step| step.contains("image rm")).collect();
    assert_eq!(removed, [format!("docker image rm {repository}:forgotten")]);
}

#[test]
fn what_runs_has_the_declared_settings_and_the_variables_of_its_own_file() {
    let mut stage = Stage::new();
    stage.fixture.write(".env.rehearsal", "LOG_LEVEL=debug\n");
    rehearse(&mut stage, &[]).expect(0).says(&["deploy.overlapSeconds: null → 10"]);
    assert_eq!(stage.edge().deployments[1]["spec"]["manifest"]["deploy"]["drainingSeconds"], 15);
    stage.edge().course = ["SUCCESS"].into();
    rehearse(&mut stage, &[]).expect(0).keeps_silent_about(&["deploy.overlapSeconds"]);
}

#[test]
fn a_dry_run_shows_every_phase_and_starts_nothing() {
    let mut stage = Stage::new();
    rehearse(&mut stage, &["--dry-run"]).expect(0).says(&[
        "# phase 1, surroundings",
        "docker network create",
        "edge --folder",
        "serve --label",
        "# phase 2, preflight",
        "docker build",
        "printf '***' |",
        "# phase 8, verify-backend",
        "# at the end, whatever came of it: undo surroundings",
    ]);
    assert!(stage.edge().orders.is_empty());
    assert!(!stage.folder().exists(), "nothing is written");
}

#[test]
fn an_image_that_cannot_be_built_leaves_the_one_that_serves() {
    let mut stage = Stage::new();
    stage.fixture.runner.on("docker build", fails(1, "#9 1.0 error: cannot find value `x`\nERROR: no"));
    rehearse(&mut stage, &[]).expect(7).says(&["cannot find value `x`", &format!("{OLD} is still live")]);
    assert!(stage.edge().orders.is_empty());
}

#[test]
fn one_that_is_not_healthy_never_serves_and_its_last_words_are_told() {
    let mut stage = Stage::new();
    stage.edge().course = ["DEPLOYING", "FAILED"].into();
    stage.edge().reason = Some(["healthcheck", "/health did not answer 200 within 10 s"]);
    rehearse(&mut stage, &[]).expect(7).says(&[
        "healthcheck: /health did not answer 200",
        "no more room",
        "docker logs",
        "cargo xtask releases --rehearse",
    ]);
    assert_eq!(stage.edge().serving(), Some(OLD));
    assert_eq!(releases(&stage)["entries"][0]["verdict"], "failed");
}

#[test]
fn one_that_fails_its_walk_or_tells_another_commit_is_put_back() {
    let mut stage = Stage::new();
    stage.fixture.runner.on("smoke --url", fails(1, "a program cannot be made"));
    rehearse(&mut stage, &[]).expect(8).says(&["a program cannot be made", &format!("{OLD} was put back")]);
    assert_eq!(stage.edge().orders, ["begin", "roll_back"]);
    assert_eq!(stage.edge().serving(), Some(OLD));
    assert_eq!(releases(&stage)["entries"][0]["verdict"], "rolled_back");
    let mut stage = Stage::new();
    stage.edge().answers_with = Some("cccccccccccc");
    rehearse(&mut stage, &[]).expect(8).says(&["cccccccccccc answers"]);
}

#[test]
fn one_whose_error_rate_rises_is_put_back() {
    let mut stage = Stage::new();
    stage.edge().answers = [(1_000, 0), (100, 50)].into();
    rehearse(&mut stage, &["--watch", "1ms"]).expect(8).says(&["50.0 % of requests with 5xx"]);
    assert_eq!(stage.edge().serving(), Some(OLD));
}

#[test]
fn ctrl_c_leaves_what_serves_in_every_phase() {
    for (words, orders) in [
        ("docker build", &[][..]),
        ("docker network ls", &[]),
        ("edge --folder ask -", &[]),
        ("docker logs", &["begin", "stop"]),
        ("smoke --url", &["begin", "roll_back"]),
    ] {
        let mut stage = Stage::new();
        stage.edge().course = ["DEPLOYING", "DEPLOYING", "SUCCESS"].into();
        if orders.last() == Some(&"stop") {
            stage.edge().course = ["DEPLOYING"; 9].into();
        }
        let interrupt = stage.fixture.context.interrupt.clone();
        stage.fixture.runner.before(words, move || interrupt.request(Exit::Interrupted));
        rehearse(&mut stage, &[]).expect(130);
        assert_eq!(stage.edge().orders, orders, "{words}");
        assert_eq!(stage.edge().serving(), Some(OLD), "{words}");
    }
}

#[test]
fn it_can_be_gone_back_by_hand() {
    let mut stage = Stage::new();
    rehearse(&mut stage, &[]).expect(0);
    stage.fixture.xtask(&["rollback", "--rehearse", "--list"]).expect(0).says(&["rehearsal-1", "rehearsal-2", "live"]);
    stage.fixture.xtask(&["rollback", "--rehearse"]).expect(9).says(&["nobody recorded", "--without-check"]);
    stage.fixture.xtask(&["rollback", "--rehearse", "--without-check"]).expect(0).says(&["rehearsal-3 serves"]);
    assert_eq!(stage.edge().serving(), Some(OLD));
}

#[test]
fn flags_that_are_about_an_account_are_refused() {
    let is_refused = |line: &str| parse(line.split(' ').map(OsString::from)).is_err();
    for flags in ["--environment staging", "--image r/n", "--url http://x", "--preview pr-1", "--project p"] {
        assert!(is_refused(&format!("xtask deploy --rehearse {flags}")), "{flags}");
    }
    assert!(is_refused("xtask deploy --remove") && !is_refused("xtask deploy --rehearse --remove"));
    assert!(!is_refused("xtask deploy --preview pr-1 --remove"));
}
