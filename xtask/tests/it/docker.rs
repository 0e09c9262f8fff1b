//! What is found of Docker, and what `up` makes of it: with a docker that says what it is told to.

use crate::support::{Checkout, until};

/// A docker whose daemon answers with this version, whose compose has this one, and which has no images.
fn fake(checkout: &Checkout, engine: &str, compose: &str) {
    checkout.fake(
        "docker",
        &format!(
            "case \"$*\" in\n\
             version*) echo '{{\"Client\":{{\"Version\":\"28.2.2\"}},\"Server\":{{\"Version\":\"{engine}\"}}}}' ;;\n\
             'compose version'*) {compose} ;;\n\
             pull*) echo 'Error response from daemon: Get \"https://registry.test/v2/\": no such host' >&2; exit 1 ;;\n\
             esac\n"
        ),
    );
}

#[test]
fn what_is_wrong_with_docker_is_told_with_a_way_out() {
    let checkout = Checkout::new();
    let up = |words: &[&str]| drop(checkout.xtask(&["up", "redis", "--engine", "docker"]).expect(3).says(words));
    up(&["no Docker daemon answers: no daemon in this test", "next: sudo systemctl start docker", "--engine host"]);
    checkout
        .fake("docker", "echo 'permission denied while trying to connect to the Docker daemon socket' >&2\nexit 1\n");
    up(&["permission denied", "usermod --append --groups docker"]);
    fake(&checkout, "19.03.15", "echo 2.26.1");
    up(&["Docker Engine 19.03.15 is too old; 20.10 or newer"]);
    fake(&checkout, "20.10.24", "echo 2.17.3");
    up(&["Docker Compose 2.17 is too old; 2.20 or newer"]);
    fake(&checkout, "20.10.24", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1");
    up(&["Docker has no Compose; 2.20 or newer"]);
    checkout.fake("docker-compose", "echo 1.29.2\n");
    up(&["docker-compose is version 1"]);
}

#[test]
fn an_image_that_cannot_be_fetched_is_named_with_the_registrys_word() {
    let checkout = Checkout::new();
    fake(&checkout, "20.10.24", "echo 2.26.1");
    checkout.xtask(&["up", "redis", "--engine", "docker"]).expect(3).says(&[
        "cannot fetch the image redis:7-bookworm",
        "no such host",
        "--engine host, which needs no images",
    ]);
    assert_eq!(checkout.xtask(&["status", "--json"]).expect(0).json()["state"], "down");
}

#[test]
fn auto_goes_on_without_docker_where_images_cannot_be_fetched() {
    let checkout = Checkout::new();
    fake(&checkout, "20.10.24", "echo 2.26.1");
    checkout.xtask(&["up", "redis"]).expect(0).says(&["engine: host (cannot fetch the image redis:7-bookworm"]);
    assert_eq!(checkout.status()["engine"], "host");
    checkout.xtask(&["up", "--engine", "docker"]).expect(1).says(&["up on the host engine", "cargo xtask down"]);
}

#[test]
fn the_image_that_ships_is_not_run_without_docker() {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "--production"]).expect(3).says(&["no Docker daemon answers"]);
    checkout.xtask(&["up", "--production", "--engine", "host"]).expect(3).says(&["runs in Docker only"]);
    checkout.xtask(&["up", "--scale", "backend=3"]).expect(2);
    checkout.xtask(&["build-prod"]).expect(3).says(&["no Docker daemon answers"]);
}

#[test]
fn what_lies_in_docker_is_not_said_to_be_gone_while_its_daemon_is_silent() {
    let checkout = Checkout::new();
    checkout.write(
        ".stack/stack.json",
        "{\"schema_version\":1,\"engine\":\"docker\",\"wanted\":[],\"ports\":{\"backend\":1,\"postgres\":2,\"redis\":3},\
         \"postgres\":null,\"redis\":null,\"containers\":{\"exist\":true,\"production\":null,\"development\":null,\"images\":[]}}",
    );
    checkout.xtask(&["clean", "--yes"]).expect(3).says(&["no Docker daemon answers"]);
    assert!(checkout.exists(".stack/stack.json"));
    checkout.fake(
        "docker",
        "case \"$1\" in version) echo '{\"Server\":{\"Version\":\"20.10.24\"}}';; compose) echo 2.26.1;; esac\n",
    );
    checkout.xtask(&["clean", "--yes"]).expect(0);
    checkout.expect_nothing_left();
}

/// The state of a stack that is in containers.
fn state(wanted: &str) -> String {
    format!(
        "{{\"schema_version\":1,\"engine\":\"docker\",\"wanted\":[{wanted}],\"postgres\":null,\"redis\":null,\
         \"ports\":{{\"backend\":20000,\"postgres\":20001,\"redis\":20002}},\"containers\":{{\"exist\":true,\
         \"production\":null,\"development\":null,\"images\":[]}}}}"
    )
}

/// The daemon answers again, and has nothing.
fn answers(checkout: &Checkout) {
    without_answer_to(checkout, "nothing", "true");
}

/// A docker that has every image and answers every question but those that look like this.
fn without_answer_to(checkout: &Checkout, question: &str, answer: &str) {
    checkout.fake(
        "docker",
        &format!(
            "echo \"$*\" >> asked\n\
             case \"$*\" in\n\
             {question}) {answer} ;;\n\
             version*) echo '{{\"Server\":{{\"Version\":\"20.10.24\"}}}}' ;;\n\
             'compose version'*) echo 2.26.1 ;;\n\
             'image ls'*) echo 0123456789ab ;;\n\
             esac\n"
        ),
    );
}

#[test]
fn a_volume_that_was_not_answered_for_does_not_count_as_absent() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    checkout.write(".stack/stack.json", &state(""));
    without_answer_to(
        &checkout,
        "'volume ls'*",
        "echo 'Error response from daemon: context deadline exceeded' >&2; exit 1",
    );
    checkout.xtask(&["up", "postgres", "--engine", "docker"]).expect(1).says(&["context deadline exceeded"]);
    assert!(!checkout.exists(".stack/run/docker-postgres.making"), "whole data is not said to be half made");
    let asked = checkout.read("asked");
    assert!(!asked.contains("volume rm") && !asked.contains(" up "), "{asked}");
    answers(&checkout);
}

#[test]
fn a_stack_whose_daemon_is_silent_is_not_said_to_be_down() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    checkout.write(".stack/stack.json", &state("\"redis\""));
    without_answer_to(&checkout, "ps*", "echo 'Cannot connect to the Docker daemon' >&2; exit 1");
    let ran = checkout.xtask(&["down"]).expect(1).says(&["Cannot connect to the Docker daemon"]);
    assert!(!ran.stderr.contains("the stack is down"), "{}", ran.stderr);
    assert!(checkout.read(".stack/stack.json").contains("redis"), "it is still wanted");
    answers(&checkout);
}

#[test]
fn clean_removes_what_came_into_being_while_it_waited_for_the_lock() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    checkout.write(".stack/lock", "");
    let lock = std::fs::OpenOptions::new().write(true).open(checkout.path(".stack/lock")).unwrap();
    lock.lock().unwrap();
    let clean = checkout.start_until(&["clean", "--yes"], "waiting for");
    checkout.write(".stack/stack.json", &state(""));
    without_answer_to(&checkout, "'volume ls'*", "echo late_postgres");
    lock.unlock().unwrap();
    clean.end().expect(0).says(&["removes  the volume late_postgres"]);
    until("it is removed", || checkout.read("asked").contains("volume rm late_postgres"));
}

#[test]
fn a_question_without_an_answer_does_not_hold_ctrl_c_up() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    checkout.write(".stack/stack.json", &state("\"redis\""));
    without_answer_to(&checkout, "ps*", "echo asking >&2; touch asking; exec sleep 600");
    let down = checkout.command(&["down"]).spawn().unwrap();
    until("it asks", || checkout.exists("asking"));
    crate::support::signal(down.id(), "INT");
    let ran: crate::support::Ran = down.wait_with_output().unwrap().into();
    ran.expect(130);
    until("the question is not left behind", || checkout.inhabitants().is_empty());
    answers(&checkout);
}
