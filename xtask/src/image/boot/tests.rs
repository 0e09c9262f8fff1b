//! A boot with recorded answers of Docker.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::failure::exit_code;
use crate::fixture::Fixture;
use crate::plan::Rollout;
use crate::runner::{Recorded, fails, says};

/// A server that answers every request as a healthy backend does, for as long as the test goes on.
pub fn healthy_server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 1024]).unwrap();
            let body = r#"{"status":"ok","commit":"abc","version":"0.1.0"}"#;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            connection.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    port
}

/// A Docker on which everything goes well, with a backend that listens on that port.
pub fn docker(fixture: &Fixture, port: u16) -> &Recorded {
    let name = format!("{}-boot-{}", fixture.context.project.name(), std::process::id());
    let started = humantime::format_rfc3339_millis(SystemTime::now());
    let state = |code: i32| {
        format!(r#"{{"Status":"exited","ExitCode":{code},"OOMKilled":false,"StartedAt":"{started}","Error":""}}"#)
    };
    fixture
        .runner
        .on("docker", says(""))
        .on("docker image", says("sha256:abc\n"))
        .on("docker port", says(&format!("3000/tcp -> 127.0.0.1:{port}\n")))
        .on("docker stats", says("5.5MiB / 256MiB\n"))
        .on("docker inspect", says(&state(0)))
        .on("docker ps", says(&format!("{name}-postgres\n{name}-redis\n{name}-backend\nsomebody-elses\n")))
        .on("docker network ls", says(&format!("{name}\n")))
}

fn boot(fixture: &Fixture) -> Result<Boot> {
    let boot = Value::new("boot");
    Rollout::new(phases(&fixture.context, "app:1", &boot)?)?.run(&fixture.context)?;
    Ok(boot.get()?.clone())
}

/// What was done last: everything of the boot is removed, and nothing else.
#[track_caller]
fn expect_removed(fixture: &Fixture) {
    let asked = fixture.runner.asked();
    let removed = asked.iter().find(|command| command.starts_with("docker rm")).expect("containers are removed");
    assert!(removed.contains("-backend") && !removed.contains("somebody-elses"), "{removed}");
    assert!(asked.last().unwrap().starts_with("docker network rm"), "{asked:?}");
}

#[test]
fn an_image_that_works_is_measured_and_leaves_nothing() {
    let fixture = Fixture::new(&["docker"]);
    docker(&fixture, healthy_server());
    let boot = boot(&fixture).unwrap();
    assert_eq!(boot.idle_memory_bytes, 5_767_168);
    assert!(boot.healthy_ms < 60_000);
    for words in ["docker run migrate app:1 migrate run", "docker exec healthcheck", "docker exec smoke --url"] {
        assert!(fixture.runner.was_asked(words), "{words}: {:?}", fixture.runner.asked());
    }
    expect_removed(&fixture);
}

#[test]
fn it_runs_as_production_runs_it_and_no_secret_is_in_an_argument() {
    let fixture = Fixture::new(&["docker"]);
    docker(&fixture, healthy_server());
    boot(&fixture).unwrap();
    let asked = fixture.runner.asked();
    let serve = asked.iter().find(|command| command.contains("--publish")).unwrap();
    for flag in ["--read-only", "--cap-drop ALL", "no-new-privileges", "--memory 256m", "127.0.0.1::3000"] {
        assert!(serve.contains(flag), "{flag}: {serve}");
    }
    assert!(serve.starts_with("DATABASE_URL=*** REDIS_URL=***") && !serve.contains("postgres://"), "{serve}");
}

#[test]
fn images_that_are_not_there_are_fetched_first() {
    let fixture = Fixture::new(&["docker"]);
    docker(&fixture, healthy_server()).on("docker image ls", says(""));
    boot(&fixture).unwrap();
    for image in [POSTGRES_IMAGE, REDIS_IMAGE] {
        assert!(fixture.runner.was_asked(&format!("docker pull {image}")), "{image}");
    }
}

#[test]
fn a_migration_that_fails_is_told_and_nothing_serves() {
    let fixture = Fixture::new(&["docker"]);
    docker(&fixture, healthy_server()).on("docker run migrate run", fails(1, "relation \"users\" already exists"));
    let error = boot(&fixture).unwrap_err();
    let failure = error.downcast_ref::<Failure>().unwrap();
    assert_eq!(failure.evidence(), ["relation \"users\" already exists"]);
    assert!(!fixture.runner.was_asked("docker run --publish"));
    expect_removed(&fixture);
}

#[test]
fn an_image_that_does_not_end_well_is_unhealthy_and_its_last_words_are_told() {
    let fixture = Fixture::new(&["docker"]);
    let state = r#"{"Status":"exited","ExitCode":137,"OOMKilled":false,"StartedAt":"2026-01-01T00:00:00Z","Error":""}"#;
    docker(&fixture, healthy_server()).on("docker inspect", says(state)).on("docker logs", says("still busy\n"));
    let error = boot(&fixture).unwrap_err();
    assert_eq!(error.to_string(), "the image was booted, and it ended with exit code 137 instead of 0 after SIGTERM");
    assert_eq!(exit_code(&error), Exit::Unhealthy as u8);
    assert_eq!(error.downcast_ref::<Failure>().unwrap().evidence(), ["| still busy"]);
    expect_removed(&fixture);
}

#[test]
fn an_interrupted_boot_leaves_nothing() {
    let fixture = Fixture::new(&["docker"]);
    let interrupt = fixture.context.interrupt.clone();
    docker(&fixture, healthy_server())
        .on_and("docker exec smoke", says(""), move || interrupt.request(Exit::Terminated));
    let error = boot(&fixture).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Terminated as u8);
    assert!(!fixture.runner.was_asked("docker stats"));
    expect_removed(&fixture);
}

#[test]
fn memory_is_read_in_every_unit() {
    assert_eq!(memory_of("12.5MiB / 256MiB\n"), Some(13_107_200));
    assert_eq!(memory_of("512KiB / 1GiB"), Some(524_288));
    assert_eq!(memory_of("-- / --"), None);
}
