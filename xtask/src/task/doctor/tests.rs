//! What `doctor` finds on machines of every kind, and whether it stands in the way.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;

use super::run;
use crate::failure::{Exit, Failure};
use crate::fixture::{Fixture, without};
use crate::runner::{Output, fails, says};
use crate::settings::Settings;
use crate::tool::cargo;

const DAEMON: &str = r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"28.2.2"}}"#;

/// A machine that has everything.
fn complete() -> Fixture {
    let cargo = cargo::program().display().to_string();
    let fixture = Fixture::new(&["rustc", "cc", "git", "docker", "railway", &cargo]).with_installed_servers();
    fixture
        .runner
        .on("rustc --version", says("rustc 1.99.0 (59807616e 2026-04-14)\n"))
        .on("git --version", says("git version 2.47.3\n"))
        .on("nextest --version", says("cargo-nextest 0.9.101 (abc 2026-01-01)\n"))
        .on("railway --version", says("railway 5.71.0\n"))
        .on("docker", says(""))
        .on("docker version --format", says(DAEMON))
        .on("docker compose version", says("2.30.1\n"));
    let text = Settings::generate(&fixture.context.project).unwrap();
    // Ports that nobody has, whatever runs on this machine.
    let listeners = [0, 0, 0].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    let [one, two, three] = listeners.map(|listener| listener.local_addr().unwrap().port().to_string());
    let text = text.replace("=3000", &format!("={one}")).replace("=5432", &format!("={two}"));
    fixture.write(".env.docker", &text.replace("=6379", &format!("={three}")));
    fixture
}

/// A machine that has nothing, not even a way to fetch something.
fn empty() -> Fixture {
    let fixture = Fixture::new(&[]);
    fixture.write("infra/servers/package-lock.json", r#"{"packages":{}}"#);
    fixture.write("infra/servers/requirements.txt", "");
    fixture
}

/// The failure, which is there.
#[track_caller]
fn failure(fixture: &Fixture) -> Failure {
    run(&fixture.context, false).unwrap_err().downcast().unwrap()
}

/// The line of the table about it.
#[track_caller]
fn line(fixture: &Fixture, name: &str) -> String {
    let printed = fixture.printed();
    let line = printed.lines().find(|line| line.trim_start_matches(['✓', '✗', '!', ' ']).starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in {printed}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The check of that name in the JSON document.
#[track_caller]
fn check(document: &Value, name: &str) -> Value {
    let checks = document["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {document}")).clone()
}

fn document(fixture: &Fixture) -> Value {
    serde_json::from_str(&fixture.printed()).unwrap()
}

#[test]
fn a_machine_that_has_everything_is_told_so_and_nothing_is_asked_of_it() {
    let fixture = complete();
    assert_eq!(run(&fixture.context, false).unwrap(), 0, "{}", fixture.said());
    for (name, found) in [
        ("Rust", "✓ Rust 1.99.0"),
        ("C compiler", "✓ C compiler ROOT/programs/cc"),
        ("git", "✓ git 2.47.3"),
        ("cargo-nextest", "✓ cargo-nextest 0.9.101"),
        ("PostgreSQL ", "✓ PostgreSQL PostgreSQL 15.18 (in ROOT/programs)"),
        ("Redis ", "✓ Redis Redis 7.0.15 (in ROOT/programs/redis-server)"),
        ("Docker", "✓ Docker Engine 28.2.2, Compose 2.30.1"),
        ("Railway CLI", "✓ Railway CLI 5.71.0"),
        ("settings", "✓ settings .env.docker is in order"),
    ] {
        assert_eq!(line(&fixture, name), found);
    }
    let printed = fixture.printed();
    assert!(!printed.contains("needs ") && !printed.contains('✗') && !printed.contains('!'), "{printed}");
    assert_eq!(fixture.said(), "");
}

#[test]
fn the_document_says_of_each_check_what_was_found_and_what_is_needed() {
    let fixture = complete();
    assert_eq!(run(&fixture.context, true).unwrap(), 0);
    let document = document(&fixture);
    assert_eq!((&document["schema_version"], &document["ok"]), (&Value::from(1), &Value::from(true)));
    for check in document["checks"].as_array().unwrap() {
        assert_eq!(check["status"], "ok", "{check}");
        assert_eq!(check["fix"], Value::Array(Vec::new()), "{check}");
        assert!(check["found"].is_string() && check["required"].is_boolean(), "{check}");
    }
    assert_eq!(check(&document, "Rust")["minimum"], env!("CARGO_PKG_RUST_VERSION"));
    assert_eq!(check(&document, "PostgreSQL")["minimum"], "15");
    assert_eq!(check(&document, "git")["minimum"], Value::Null);
}

#[test]
fn a_machine_that_has_nothing_is_told_all_that_is_in_the_way_with_what_fixes_it() {
    let fixture = empty();
    let failure = failure(&fixture);
    assert_eq!(failure.code(), Exit::Missing as u8);
    assert_eq!(failure.to_string(), "the stack cannot start: Rust, C compiler, PostgreSQL, Redis");
    assert_eq!(failure.hints()[0], "https://rustup.rs");
    // A way out for each of the four.
    assert!(failure.hints().len() >= 4, "{:?}", failure.hints());
    assert_eq!(line(&fixture, "Rust"), format!("✗ Rust not found needs {}", env!("CARGO_PKG_RUST_VERSION")));
    assert!(line(&fixture, "PostgreSQL ").starts_with("✗ PostgreSQL no PostgreSQL can be had here needs 15"));
    // What is good to have is no reason to fail, and its fix stands below the table.
    assert_eq!(line(&fixture, "Docker"), "! Docker Docker is not installed");
    let printed = fixture.printed();
    assert!(
        line(&fixture, "Railway CLI").starts_with("! Railway CLI not found")
            && printed.contains("only deploy needs it"),
        "{printed}"
    );
    assert!(printed.contains("\ncargo-nextest: cargo install --locked cargo-nextest"), "{printed}");
    assert!(printed.contains("or the stack cannot say its commit"), "{printed}");
}

#[test]
fn the_document_is_printed_also_where_the_stack_could_not_start() {
    let fixture = empty();
    assert!(run(&fixture.context, true).is_err());
    let document = document(&fixture);
    assert_eq!(document["ok"], false);
    let (rust, docker) = (check(&document, "Rust"), check(&document, "Docker"));
    assert_eq!((&rust["status"], &rust["required"]), (&"missing".into(), &true.into()));
    assert_eq!((&rust["found"], &rust["fix"][0]), (&Value::Null, &"https://rustup.rs".into()));
    assert_eq!((&docker["status"], &docker["required"]), (&"warning".into(), &false.into()));
}

#[test]
fn a_rust_that_is_too_old_is_in_the_way_and_one_that_says_nothing_is_not_found() {
    for (said, shown, fix) in [
        ("rustc 1.80.1 (abc 2024-01-01)\n", "✗ Rust 1.80.1 needs", "rustup update stable"),
        ("", "✗ Rust needs", "rustup update stable"),
    ] {
        let fixture = complete();
        fixture.runner.on("rustc --version", says(said));
        let failure = failure(&fixture);
        assert_eq!(failure.to_string(), "the stack cannot start: Rust");
        assert_eq!(failure.hints(), [fix]);
        assert!(line(&fixture, "Rust").starts_with(shown), "{}", line(&fixture, "Rust"));
    }
    let fixture = complete();
    fixture.runner.on("rustc --version", fails(1, "error: no override and no default toolchain set"));
    assert_eq!(failure(&fixture).hints(), ["https://rustup.rs"]);
}

/// A question about Docker, its answer, what the table says then, and the hint below it.
type DockerCase<'a> = (&'a str, Output, &'a str, &'a str);

#[test]
fn no_kind_of_docker_keeps_the_stack_from_starting_and_each_is_told_apart() {
    let silent = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?";
    let old = r#"{"Client":{"Version":"19.3.1"},"Server":{"Version":"19.03.15"}}"#;
    let podman = r#"{"Server":{"Version":"4.3.1","Components":[{"Name":"Podman Engine","Version":"4.3.1"}]}}"#;
    let cases: [DockerCase<'_>; 9] = [
        ("docker version --format", fails(1, silent), "! Docker no Docker daemon answers", "docker"),
        ("docker version --format", fails(1, "permission denied"), "! Docker you may not use Docker", "usermod"),
        ("docker version --format", says(old), "! Docker Docker Engine 19.03.15 is too old; 20.10", "docker"),
        ("docker version --format", says(podman), "✓ Docker Engine 4.3.1, Compose 2.30.1, Podman behind", ""),
        ("docker version --format", says("not JSON"), "! Docker no Docker daemon answers", "docker"),
        (
            "docker compose version",
            says("2.19.1\n"),
            "! Docker Docker Compose 2.19 is too old; 2.20",
            "compose/install",
        ),
        ("docker compose version", fails(1, "unknown command"), "! Docker Docker has no Compose", "compose/install"),
        ("docker compose version", says(""), "! Docker Docker has no Compose; 2.20", "compose/install"),
        ("docker info", says(r#"["name=rootless"]"#), "✓ Docker Engine 28.2.2, Compose 2.30.1, rootless", ""),
    ];
    for (question, answer, shown, fix) in cases {
        let fixture = complete();
        fixture.runner.on(question, answer);
        assert_eq!(run(&fixture.context, false).unwrap(), 0, "{shown}");
        assert!(line(&fixture, "Docker").starts_with(shown), "{} is not {shown}", line(&fixture, "Docker"));
        let below = fixture.printed().lines().find_map(|line| line.strip_prefix("Docker: ").map(str::to_owned));
        assert_eq!(below.is_some(), !fix.is_empty(), "{shown}");
        assert!(below.unwrap_or_default().contains(fix), "{shown}");
    }
}

#[test]
fn a_docker_compose_of_the_first_version_is_told_from_none() {
    let fixture = complete();
    fixture.runner.also_has("docker-compose");
    fixture.runner.on("docker compose version", fails(1, "docker: 'compose' is not a docker command"));
    run(&fixture.context, false).unwrap();
    assert!(line(&fixture, "Docker").contains("docker-compose is version 1, which ended in 2023"));
}

#[test]
fn settings_that_are_wrong_are_in_the_way_and_their_values_are_not_shown() {
    let fixture = complete();
    fixture.write(".env.docker", "POSTGRES_PASSWORD=hunter2 hunter2\n");
    let failure = failure(&fixture);
    assert_eq!(failure.to_string(), "the stack cannot start: settings");
    assert_eq!(failure.hints(), ["cargo xtask env check"]);
    assert!(!fixture.printed().contains("hunter2"), "{}", fixture.printed());
}

#[test]
fn settings_that_are_not_there_yet_are_in_nobodys_way() {
    let fixture = complete();
    std::fs::remove_file(fixture.context.project.settings()).unwrap();
    assert_eq!(run(&fixture.context, false).unwrap(), 0);
    assert_eq!(line(&fixture, "settings"), "✓ settings made at the first `up`");
}

#[test]
fn a_port_that_somebody_has_is_a_warning() {
    let fixture = complete();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = without(&fixture.read(".env.docker"), "REDIS_PORT");
    fixture.write(".env.docker", &format!("{text}REDIS_PORT={port}\n"));
    assert_eq!(run(&fixture.context, false).unwrap(), 0);
    assert!(line(&fixture, "Redis' port").starts_with(&format!("! Redis' port {port} is taken by ")));
    assert!(line(&fixture, "PostgreSQL's port").ends_with(" is free"));
    assert!(fixture.printed().contains("Redis' port: `up` moves this service"), "{}", fixture.printed());
}

#[cfg(unix)]
#[test]
fn data_of_another_postgresql_asks_for_that_postgresql() {
    let fixture = complete();
    fixture.write("infra/servers/package-lock.json", r#"{"packages":{}}"#);
    fixture.write(".stack/postgres/data/PG_VERSION", "14\n");
    let failure = failure(&fixture);
    assert_eq!(failure.to_string(), "the stack cannot start: PostgreSQL");
    assert!(failure.hints()[0].starts_with("install PostgreSQL 14"), "{:?}", failure.hints());
    assert!(line(&fixture, "PostgreSQL ").ends_with("needs 14"), "{}", line(&fixture, "PostgreSQL "));
}
