//! The whole way of an image, with recorded answers of Docker.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::run;
use crate::cli::{BuildProd, Json};
use crate::failure::{Exit, Failure, exit_code};
use crate::fixture::Fixture;
use crate::image::boot::tests::{docker, healthy_server};
use crate::product::SLUG;
use crate::runner::{fails, says};
use crate::step::Step;

const COMMIT: &str = "0123456789ab";

fn arguments() -> BuildProd {
    BuildProd { tag: None, push: false, no_cache: false, pull: false, output: Json { json: false } }
}

/// What `docker image inspect` says of an image that may ship.
fn description() -> Value {
    let labels = ["title", "licenses", "version", "revision"]
        .map(|label| (format!("org.opencontainers.image.{label}"), json!("x")))
        .into_iter()
        .collect::<serde_json::Map<_, _>>();
    json!([{ "Size": 9_000_000, "Config": {
        "User": "65532:65532", "StopSignal": "SIGTERM", "Healthcheck": {}, "Env": ["PORT=3000"], "Labels": labels,
    }}])
}

/// Unpacks archives that were never packed: the outer one has one layer, and the layer has these files.
fn unpacking(files: &'static [&'static str]) -> impl Fn(&Step) + Send + 'static {
    move |step| {
        let words = step.arguments();
        let into = PathBuf::from(&words[words.iter().position(|word| word == "-C").expect("a folder") + 1]);
        let write = |name: &str, text: &str| {
            let path = into.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        if into.ends_with("image") {
            write("manifest.json", r#"[{"Layers":["blobs/one"]}]"#);
        } else {
            for file in files {
                write(file, "harmless");
            }
        }
    }
}

/// A commit with nothing beside it, and a Docker on which everything goes well.
pub fn machine(fixture: &Fixture) {
    docker(fixture, healthy_server());
    fixture
        .runner
        .on("git", says(""))
        .on("rev-parse", says(&format!("{COMMIT}\n")))
        .on("remote get-url", says("https://me:token@example.com/x/y.git\n"))
        .on("docker compose version", says("2.30.1\n"))
        .on("docker version --format", says(r#"{"Server":{"Version":"28.2.2"}}"#))
        .on("docker image inspect", says(&description().to_string()))
        .on(
            "docker history",
            says("{\"CreatedBy\":\"COPY /image /\",\"Size\":\"8000000\"}\n{\"CreatedBy\":\"USER\",\"Size\":\"0\"}\n"),
        )
        .on_step("tar -xf", says(""), unpacking(&["usr/local/bin/app", "etc/passwd"]));
}

fn ready() -> Fixture {
    let fixture = Fixture::new(&["docker"]);
    machine(&fixture);
    fixture
}

#[track_caller]
fn failure(fixture: &Fixture, arguments: &BuildProd) -> Failure {
    run(&fixture.context, arguments).unwrap_err().downcast().unwrap()
}

/// The image's name, of version and commit.
/// The same as printed, where a test reads it with the product's name replaced.
fn shown_tag() -> String {
    tag().replace(SLUG, "product")
}

fn tag() -> String {
    format!("{SLUG}:{}-{COMMIT}", env!("CARGO_PKG_VERSION"))
}

#[test]
fn an_image_is_built_inspected_booted_and_reported_in_that_order() {
    let fixture = ready();
    assert_eq!(run(&fixture.context, &arguments()).unwrap(), 0, "{}", fixture.said());
    let asked = fixture.runner.asked();
    let place = |words: &[&str]| {
        let found = asked.iter().position(|command| words.iter().all(|word| command.contains(word)));
        found.unwrap_or_else(|| panic!("{words:?}: {asked:#?}"))
    };
    let order = [&["docker build", "--target production"], &["docker", "save"], &["docker run", "migrate"]]
        .map(|words: &[&str; 2]| place(words));
    assert!(order.is_sorted(), "{order:?}");
    assert!(!fixture.runner.was_asked("docker push"));
    let printed = fixture.printed();
    assert!(printed.starts_with(&format!("✓ {}\n", shown_tag())), "{printed}");
    assert!(printed.contains("9 MB of 15 MB at most") && printed.contains("8 MB COPY /image /"), "{printed}");
    assert!(!printed.contains("USER"), "a layer that holds nothing is not listed: {printed}");
    assert!(fixture.said().ends_with("next: cargo xtask up --production\n"), "{}", fixture.said());
}

#[test]
fn the_image_says_its_commit_and_where_its_source_is_without_credentials() {
    let fixture = ready();
    run(&fixture.context, &BuildProd { no_cache: true, pull: true, ..arguments() }).unwrap();
    let asked = fixture.runner.asked();
    let build = asked.iter().find(|command| command.contains("docker build")).unwrap();
    for words in [
        "--build-arg VERSION=".to_owned() + env!("CARGO_PKG_VERSION"),
        format!("--build-arg REVISION={COMMIT}"),
        "--build-arg SOURCE=https://example.com/x/y.git".to_owned(),
        format!("--tag {}", tag()),
        "--no-cache --pull .".to_owned(),
    ] {
        assert!(build.contains(&words), "{words}: {build}");
    }
}

#[test]
fn the_report_is_one_document() {
    let fixture = ready();
    run(&fixture.context, &BuildProd { output: Json { json: true }, ..arguments() }).unwrap();
    let document: Value = serde_json::from_str(&fixture.printed()).unwrap();
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["image"], shown_tag());
    assert_eq!(document["revision"], COMMIT);
    assert_eq!(document["size_bytes"], 9_000_000);
    assert_eq!(document["layers"], json!([{ "made_by": "COPY /image /", "size": 8_000_000 }]));
    assert_eq!(document["idle_memory_bytes"], 5_767_168);
    assert_eq!(document["pushed"], false);
}

#[test]
fn an_image_is_pushed_last_and_under_the_name_that_it_was_given() {
    let fixture = ready();
    let tag = "registry.example.com/app:1";
    run(&fixture.context, &BuildProd { tag: Some(tag.to_owned()), push: true, ..arguments() }).unwrap();
    let asked = fixture.runner.asked();
    let pushed = asked.iter().position(|command| command == &format!("docker push {tag}")).unwrap();
    let smoked = asked.iter().position(|command| command.contains("docker exec") && command.contains("smoke")).unwrap();
    assert!(smoked < pushed, "{asked:#?}");
    assert!(!fixture.said().contains("next:"), "{}", fixture.said());
}

#[test]
fn a_push_that_the_registry_refuses_says_what_to_do_and_leaves_no_container() {
    let fixture = ready();
    fixture.runner.on("docker push", fails(1, "denied: requested access to the resource is denied"));
    let failure = failure(&fixture, &BuildProd { push: true, ..arguments() });
    assert!(failure.to_string().starts_with(&format!("cannot push the image {}: ", tag())), "{failure}");
    assert_eq!(failure.hints()[0], "docker login, if the registry asks who you are");
    assert_eq!(failure.hints()[1], "--tag REGISTRY/NAME:TAG, if the name has no registry in it");
    assert!(fixture.runner.was_asked("docker rm --force") && fixture.printed().is_empty());
}

#[test]
fn without_docker_nothing_is_begun() {
    let fixture = Fixture::new(&[]);
    let failure = failure(&fixture, &arguments());
    assert_eq!((failure.code(), failure.to_string().as_str()), (Exit::Missing as u8, "Docker is not installed"));
    assert!(fixture.runner.asked().is_empty());
    assert!(!fixture.context.project.state().exists());
}

#[test]
fn files_that_no_commit_has_are_in_the_tag_and_are_never_pushed() {
    let fixture = ready();
    fixture.runner.on("status --porcelain", says(" M backend/src/main.rs\n"));
    let failure = failure(&fixture, &BuildProd { push: true, ..arguments() });
    assert_eq!(failure.code(), Exit::Refused as u8);
    assert_eq!(failure.hints(), ["git commit, then again"]);
    assert!(!fixture.runner.was_asked("docker build"));
    fixture.forget();
    assert_eq!(run(&fixture.context, &arguments()).unwrap(), 0);
    assert!(fixture.printed().starts_with(&format!("✓ {}-dirty\n", shown_tag())), "{}", fixture.printed());
    assert!(fixture.said().contains("warning: files differ from the commit"), "{}", fixture.said());
    assert!(fixture.runner.was_asked(&format!("--build-arg REVISION={COMMIT}-dirty")));
}

#[test]
fn where_git_does_not_tell_the_changes_the_image_is_taken_for_dirty() {
    let fixture = ready();
    fixture.runner.on("status --porcelain", fails(128, "fatal: index file corrupt"));
    assert_eq!(failure(&fixture, &BuildProd { push: true, ..arguments() }).code(), Exit::Refused as u8);
    let fixture = ready();
    fixture.runner.on("rev-parse", fails(128, "fatal: not a git repository"));
    assert_eq!(run(&fixture.context, &arguments()).unwrap(), 0);
    assert!(fixture.printed().contains("-unknown\n"), "{}", fixture.printed());
}

#[test]
fn an_image_that_breaks_the_policy_is_neither_booted_nor_pushed() {
    let fixture = ready();
    fixture.runner.on_step("tar -xf", says(""), unpacking(&["bin/sh", "app/.env"]));
    let failure = failure(&fixture, &BuildProd { push: true, ..arguments() });
    assert_eq!(failure.to_string(), format!("{} must not ship as it is", tag()));
    let mut evidence = failure.evidence().to_vec();
    evidence.sort();
    assert_eq!(evidence, ["/app/.env is a file for secrets", "/bin/sh is a tool that the service does not need"]);
    assert!(!fixture.runner.was_asked("docker run --name") && !fixture.runner.was_asked("docker push"));
}

#[test]
fn a_build_that_fails_comes_down_to_its_error_and_its_line() {
    let fixture = ready();
    let said = "#9 2.1 error[E0425]: cannot find value `x`\nDockerfile:36\n  36 | >>> RUN cargo build\nERROR: exit code: 101\n";
    fixture.runner.on("docker build", fails(1, said));
    let failure = failure(&fixture, &arguments());
    let evidence =
        ["error[E0425]: cannot find value `x`", "Dockerfile:36", "  36 | >>> RUN cargo build", "ERROR: exit code: 101"];
    assert_eq!(failure.evidence(), evidence);
    assert!(!fixture.runner.was_asked("docker save"));
}

#[test]
fn the_image_is_remembered_before_it_is_built_so_that_clean_finds_it_whatever_happens() {
    let fixture = ready();
    let context = fixture.context.project.state().join("stack.json");
    fixture.runner.on_and("docker build", fails(1, "disk full"), move || {
        assert!(std::fs::read_to_string(&context).unwrap().contains(COMMIT));
    });
    failure(&fixture, &arguments());
    assert!(fixture.read(".stack/stack.json").contains(&tag()));
}

#[test]
fn an_interrupted_build_is_no_failure_of_the_image() {
    let fixture = ready();
    let interrupt = fixture.context.interrupt.clone();
    fixture.runner.on_and("docker save", says(""), move || interrupt.request(Exit::Interrupted));
    assert_eq!(exit_code(&run(&fixture.context, &arguments()).unwrap_err()), Exit::Interrupted as u8);
    assert!(!fixture.runner.was_asked("docker run --name"));
}

#[test]
fn a_dry_run_shows_every_phase_and_changes_nothing() {
    let fixture = Fixture::dry(&["docker"]);
    machine(&fixture);
    assert_eq!(run(&fixture.context, &BuildProd { push: true, ..arguments() }).unwrap(), 0);
    let printed = fixture.printed();
    let phases: Vec<&str> = printed.lines().filter(|line| line.starts_with("# phase ")).collect();
    assert!(phases[0].contains("build") && phases[1].contains("inspect"), "{phases:?}");
    assert!(phases.last().unwrap().ends_with("push: give the image to the registry"), "{phases:?}");
    assert!(printed.contains(&format!("# inspect every layer of {}", shown_tag())), "{printed}");
    assert_eq!(fixture.runner.changes(), [""; 0]);
    assert!(!Path::new(&fixture.context.project.state()).exists());
}
