//! What is found of Docker, and what `up` makes of it: with a docker that says what it is told to.

use crate::support::Checkout;

/// A docker whose daemon answers with this version, whose compose has this one, and which has no images.
fn fake(checkout: &Checkout, engine: &str, compose: &str) {
    checkout.fake(
        "docker",
        &format!(
            "case \"$*\" in\n\
             version*) echo '{{\"Client\":{{\"Version\":\"28.2.2\"}},\"Server\":{{\"Version\":\"{engine}\"}}}}' ;;\n\
             'compose version'*) {compose} ;;\n\
             'image inspect'*) exit 1 ;;\n\
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
