//! `clean`, from the list of what goes to what is left.

use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::fixture::host::PASSWORDS;
use crate::product::RUST_IMAGE;
use crate::runner::fails;
use crate::stack::service::Service;

fn up() -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up"]).expect(0);
    (fixture, daemon)
}

/// What it says to remove and to stop, in order.
fn listed(said: &str) -> Vec<&str> {
    let is_listed = |line: &&str| ["stops ", "removes ", "leaves "].iter().any(|word| line.starts_with(word));
    said.lines().filter(is_listed).collect()
}

#[test]
fn everything_that_goes_is_named_first_and_gone_afterwards() {
    let (mut fixture, daemon) = up();
    let ran = fixture.xtask_answered(&["clean"], Some("y\n")).expect(0);
    let expected = [
        "stops    postgres",
        "stops    redis",
        "stops    backend",
        "removes  .stack/run (",
        "removes  .stack/stack.json (",
        "removes  the container PROJECT-postgres-1",
        "removes  the container PROJECT-redis-1",
        "removes  the container PROJECT-backend-1",
        "removes  the network PROJECT_default",
        "removes  the volume PROJECT_postgres",
        "removes  the volume PROJECT_redis",
        "removes  the volume PROJECT_target",
        "removes  the image PROJECT-backend",
    ];
    let said = listed(&ran.stderr);
    assert_eq!(said.len(), expected.len(), "{said:?}");
    assert!(said.iter().zip(expected).all(|(line, expected)| line.starts_with(expected)), "{said:?}");
    ran.says(&["Remove all of this? [y/N]", "removed; the next `cargo xtask up` migrates from nothing"]);
    let model = daemon.model();
    assert!(model.containers.is_empty() && model.volumes.is_empty());
    assert!(model.images.contains(RUST_IMAGE), "an image that is not ours stays");
    drop(model);
    assert!(!fixture.has(".stack"));
    assert!(fixture.has(".env.docker"), "settings are kept");
    fixture.xtask(&["clean", "--yes"]).expect(0).says(&["there is nothing to remove"]);
}

#[test]
fn no_answer_but_yes_removes_anything() {
    for typed in [None, Some(""), Some("\n"), Some("n\n"), Some("yep\n")] {
        let (mut fixture, daemon) = up();
        let ran = fixture.xtask_answered(&["clean"], typed).expect(9);
        if typed.is_none() {
            ran.says(&["error: nothing was changed: there is no terminal to ask on", "add --yes if you mean it"]);
        } else {
            ran.says(&["not confirmed: nothing was changed"]).keeps_silent_about(&["error"]);
        }
        assert_eq!(daemon.running(), Service::USUAL, "{typed:?}");
        assert_eq!(fixture.runner.changes(), Vec::<String>::new(), "{typed:?}");
        assert_eq!(fixture.state().wanted, Service::USUAL);
    }
}

#[test]
fn a_dry_run_lists_the_same_asks_nothing_and_removes_nothing() {
    let (mut fixture, daemon) = up();
    let ran = fixture.xtask(&["clean", "--dry-run"]).expect(0);
    for part in [
        "rm -rf ROOT/.stack/run\n",
        "rm -rf ROOT/.stack/stack.json\n",
        "docker rm --force --volumes PROJECT-postgres-1 PROJECT-redis-1 PROJECT-backend-1\n",
        "docker network rm PROJECT_default\n",
        "docker volume rm PROJECT_postgres PROJECT_redis PROJECT_target\n",
        "docker image rm PROJECT-backend\n",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let is_before = |one: &str, other: &str| ran.stdout.find(one).unwrap() < ran.stdout.find(other).unwrap();
    assert!(is_before("down --remove-orphans", "docker volume rm"), "what runs is stopped first");
    assert_eq!(listed(&ran.stderr).len(), 13);
    assert_eq!(daemon.running(), Service::USUAL);
    assert!(fixture.has(".stack/stack.json"));
}

#[test]
fn data_on_this_machine_is_moved_away_whole_before_it_is_removed() {
    let (mut fixture, _servers) = Fixture::with_servers();
    fixture.xtask(&["up", "--timeout", "600"]);
    let ran = fixture.xtask(&["clean", "--dry-run"]).expect(0);
    ran.says(&[
        "mv ROOT/.stack/postgres ROOT/.stack/postgres.removed\nrm -rf ROOT/.stack/postgres.removed\n",
        "rm -rf ROOT/.stack/redis\n",
        "removes  .stack/postgres (",
        "removes  .stack/redis (",
    ]);
    let ran = fixture.xtask(&["clean", "--yes"]).expect(0).keeps_silent_about(&["docker", "Remove all of this?"]);
    ran.keeps_silent_about(&PASSWORDS);
    assert!(!fixture.has(".stack"));
}

#[test]
fn a_checkout_that_never_had_a_stack_has_nothing_to_remove() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    let ran = fixture.xtask(&["clean"]).expect(0);
    assert_eq!(ran.stderr, "there is nothing to remove\n");
    assert!(!fixture.has(".stack"));
}

#[test]
fn what_the_stack_did_not_make_stays_and_is_named() {
    let (mut fixture, _daemon) = up();
    fixture.write(".stack/notes.txt", "mine");
    let ran = fixture.xtask(&["clean", "--yes"]).expect(0);
    ran.says(&["leaves   .stack/notes.txt, which the stack did not make"]);
    assert_eq!(fixture.read(".stack/notes.txt"), "mine");
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_the_folder_is_not_followed() {
    let (mut fixture, _daemon) = Fixture::with_docker();
    fixture.write("precious/run/file", "rows");
    std::os::unix::fs::symlink(fixture.root().join("precious"), fixture.root().join(".stack")).unwrap();
    fixture
        .xtask(&["clean", "--yes"])
        .expect(9)
        .says(&["is a link, which this project did not make", "rm ROOT/.stack"]);
    assert_eq!(fixture.read("precious/run/file"), "rows");
    fixture.xtask(&["up"]).expect(1).says(&["is a link; it has to be a folder of its own"]);
}

#[test]
fn containers_that_cannot_be_removed_fail_it_and_data_in_files_is_not_told_as_removed() {
    let (mut fixture, daemon) = up();
    fixture.runner.on("docker volume rm _postgres", fails(1, "volume is in use"));
    let ran = fixture.xtask(&["clean", "--yes"]).expect(1);
    ran.says(&["cannot remove volumes", "volume is in use"]).keeps_silent_about(&["removed; the next"]);
    assert!(!daemon.model().volumes.is_empty());
}

#[test]
fn what_is_left_in_docker_of_a_lost_state_is_removed_as_well() {
    let (mut fixture, daemon) = up();
    fixture.xtask(&["down"]).expect(0);
    std::fs::remove_dir_all(fixture.root().join(".stack")).unwrap();
    let ran = fixture.xtask(&["clean", "--yes"]).expect(0);
    ran.says(&["found on the docker engine", "removes  the volume PROJECT_postgres"]);
    assert!(daemon.model().volumes.is_empty());
    assert!(!fixture.has(".stack"));
}

#[test]
fn a_production_image_that_was_built_here_goes_as_well() {
    let (mut fixture, daemon) = Fixture::with_docker();
    fixture.xtask(&["up", "--production"]).expect(0);
    let images = fixture.state().containers.images;
    assert_eq!(images.len(), 1);
    fixture.xtask(&["clean", "--yes"]).expect(0).says(&["removes  the image product:0.1.0-"]);
    assert!(!daemon.model().images.contains(&images[0]));
}

#[test]
fn a_rehearsal_stays_and_what_removes_it_is_named() {
    let mut fixture = Fixture::new(&[]);
    fixture.write(".stack/rehearsal/secrets.env", "");
    fixture.xtask(&["clean", "--yes"]).expect(0).says(&["cargo xtask deploy --rehearse --remove"]);
    assert!(fixture.has(".stack/rehearsal/secrets.env"));
}
