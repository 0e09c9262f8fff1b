//! `exec` and `shell`: what is run, in whose environment, on each engine.

use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::fixture::host::PASSWORDS;
use crate::runner::{fails, says};
use crate::stack::service::Service::{self, Postgres, Redis};

fn in_containers(words: &[&str]) -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(words).expect(0);
    (fixture, daemon)
}

/// A stack on this machine, whose records say that it runs.
fn on_this_machine() -> Fixture {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.xtask(&["up", "--no-watch", "--timeout", "600"]);
    for service in Service::ALL {
        fixture.is(service);
    }
    fixture
}

/// What a dry run prints of it, from its `exec` on, and without the word for where there is no terminal.
#[track_caller]
fn inside(fixture: &mut Fixture, words: &[&str]) -> String {
    let ran = fixture.xtask(&[words, &["--dry-run"]].concat()).expect(0);
    let all = ran.stdout.replace(" --no-TTY", "");
    all.split_once(" exec ").unwrap_or_else(|| panic!("{all}")).1.trim_end().to_owned()
}

#[test]
fn in_a_container_each_service_gets_the_variables_of_clients_by_name_only() {
    let clients = "--env PGHOST --env PGPORT --env PGUSER --env PGDATABASE --env PGPASSWORD --env REDIS_HOST --env \
                   REDIS_PORT --env REDISCLI_AUTH";
    let (mut fixture, _daemon) = in_containers(&["up"]);
    for (service, expected) in [
        ("postgres", format!("{clients} --env DATABASE_URL --env REDIS_URL postgres env")),
        ("redis", format!("{clients} --env DATABASE_URL --env REDIS_URL redis env")),
        // Its container has the addresses.
        ("backend", format!("{clients} backend env")),
    ] {
        let words = format!("exec {service} --dry-run -- env");
        let ran = fixture.xtask(&words.split(' ').collect::<Vec<_>>()).expect(0).keeps_silent_about(&PASSWORDS);
        ran.says(&[
            "PGHOST=postgres PGPORT=5432 ",
            "PGPASSWORD=*** REDIS_HOST=redis REDIS_PORT=6379 REDISCLI_AUTH=***",
        ]);
        assert_eq!(
            inside(&mut fixture, &["shell", service]).rsplit_once(' ').unwrap().0,
            expected.rsplit_once(' ').unwrap().0
        );
        fixture.xtask(&["exec", service, "--", "env"]).expect(1);
        let asked = fixture.runner.asked();
        assert!(!asked.iter().any(|command| PASSWORDS.iter().any(|password| command.contains(password))), "{asked:?}");
    }
}

#[test]
fn the_image_that_ships_gets_nothing_that_production_does_not_give_it() {
    let (mut fixture, _daemon) = in_containers(&["up", "--production"]);
    let ran = fixture.xtask(&["exec", "backend", "--dry-run", "--", "thing"]).expect(0);
    ran.keeps_silent_about(&["--env PG", "--env REDIS"]);
    fixture.xtask(&["shell", "backend"]).expect(1).says(&["the image that ships has no shell", "migrate status"]);
}

#[test]
fn a_shell_is_the_services_own_client() {
    let (mut fixture, _daemon) = in_containers(&["up"]);
    for (service, client) in [("postgres", "psql"), ("redis", "redis-cli"), ("backend", "bash")] {
        assert!(inside(&mut fixture, &["shell", service]).ends_with(&format!("{service} {client}")));
    }
    let mut fixture = on_this_machine();
    fixture.runner.also_has("psql");
    fixture.runner.also_has("valkey-cli");
    let ran = fixture.xtask(&["shell", "postgres", "--dry-run"]).expect(0);
    assert!(ran.stdout.ends_with(" psql\n"), "{}", ran.stdout);
    let ran = fixture.xtask(&["shell", "redis", "--dry-run"]).expect(0);
    assert!(ran.stdout.ends_with("-cli -p 6379\n"), "its client reads its port from no variable: {}", ran.stdout);
}

#[test]
fn on_this_machine_a_command_finds_the_servers_programs_and_addresses() {
    let mut fixture = on_this_machine();
    let ran = fixture.xtask(&["exec", "postgres", "--dry-run", "--", "psql", "-c", "SELECT 1"]).expect(0);
    assert!(ran.stdout.starts_with("PATH=") && ran.stdout.ends_with(" psql -c 'SELECT 1'\n"), "{}", ran.stdout);
    assert!(ran.stdout.split(['=', ':', '\'']).any(|folder| folder == "ROOT/programs"), "{}", ran.stdout);
    ran.says(&[
        "DATABASE_URL=***",
        "PGHOST=127.0.0.1 PGPORT=5432",
        "PGPASSWORD=***",
        "REDIS_PORT=6379 REDISCLI_AUTH=***",
    ])
    .keeps_silent_about(&PASSWORDS);
}

#[test]
fn a_service_that_does_not_run_is_unhealthy_and_says_what_starts_it() {
    let (mut fixture, daemon) = in_containers(&["up", "redis"]);
    for words in [["exec", "postgres", "--", "psql"].as_slice(), &["shell", "postgres"]] {
        fixture.xtask(words).expect(4).says(&["postgres is not running", "cargo xtask up postgres"]);
    }
    daemon.put(Redis, "exited");
    fixture.xtask(&["shell", "redis"]).expect(4).says(&["redis is not running"]);
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.xtask(&["shell"]).expect(4).says(&["backend is not running", "cargo xtask up backend"]);
}

#[test]
fn what_needs_the_backends_program_needs_a_stack() {
    let (mut fixture, daemon) = in_containers(&["up", "postgres"]);
    for words in [["seed"].as_slice(), &["migrate"], &["migrate", "status"]] {
        fixture.xtask(words).expect(4).says(&["backend is not running"]);
    }
    fixture.xtask(&["smoke"]).expect(4).says(&["backend is not running", "cargo xtask up backend"]);
    daemon.put(Postgres, "exited");
    fixture.xtask(&["seed"]).expect(4).says(&["postgres is not running"]);
}

#[test]
fn the_programs_words_and_its_exit_code_are_passed_on() {
    let (mut fixture, _daemon) = in_containers(&["up"]);
    fixture.runner.on("compose exec seed", says("added 3 programs\n"));
    assert_eq!(fixture.xtask(&["seed"]).expect(0).stderr.lines().last(), Some("added 3 programs"));
    for (words, command) in [
        (["smoke", "--json"].as_slice(), "compose exec smoke --url http://127.0.0.1:3000 --json"),
        (&["migrate"], "compose exec backend migrate run"),
        (&["migrate", "status", "--json"], "compose exec backend migrate status --json"),
    ] {
        fixture.runner.on(command, fails(5, ""));
        fixture.xtask(words).expect(5);
        assert!(fixture.runner.was_asked(command), "{words:?}: {:?}", fixture.runner.asked());
    }
}

#[test]
fn on_this_machine_the_program_is_built_before_it_is_asked() {
    let mut fixture = on_this_machine();
    for (words, end) in [
        (["migrate", "--dry-run"].as_slice(), "BINARY migrate run\n"),
        (&["seed", "--dry-run"], "BINARY seed\n"),
        (&["smoke", "--dry-run"], "BINARY smoke --url http://127.0.0.1:3000\n"),
        (&["smoke", "--url", "https://example.com", "--dry-run"], "BINARY smoke --url https://example.com\n"),
    ] {
        let ran = fixture.xtask(words).expect(0).says(&["cargo build --package backend"]);
        assert!(ran.stdout.ends_with(end), "{}", ran.stdout);
    }
    fixture.runner.on("cargo build --package", fails(101, "error: no"));
    fixture.xtask(&["migrate"]).expect(1).says(&["cannot build the backend", "error: no"]);
    assert!(!fixture.runner.was_asked("migrate run"));
}
