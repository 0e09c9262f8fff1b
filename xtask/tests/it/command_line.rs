//! What can be typed, and what a wrong word gets.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{Checkout, anonymous};

/// Every file of a folder with what is in it.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap_or_default());
        }
    }
    found
}

#[test]
fn without_a_task_there_is_an_overview_in_groups_and_the_state_of_the_stack() {
    let ran = Checkout::new().xtask(&[]).expect(0);
    insta_like(
        &ran.stdout,
        "cargo xtask <task>

Set-up
  doctor       Check everything that is needed, and say how to get what is missing
  env          Make, check or show the local settings
  completions  Print or install completions for a shell

Stack
  up           Start PostgreSQL, Redis and the backend, or only those named
  down         Stop the stack and keep its data
  restart      Stop and start the stack, or only the services named
  status       Show each service's state, health, address, process, age and version
  logs         Show the logs of the services, merged in time order
  exec         Run a command in a service's environment
  shell        Open a shell or a client in a service's environment
  clean        Stop the stack and remove its data: the next `up` migrates from nothing

Develop
  watch        Bring the stack up, build and reload the backend after each change, and show both
  test         Run every test against a private, throw-away PostgreSQL and Redis
  check        Check formatting, lints, dependencies, infrastructure and generated files
  smoke        Walk through the running service as a client
  seed         Add demo data where it is missing
  bench        Measure what is promised, beside the same thing done by hand

Database
  migrate      Apply migrations, or show their state
  db           Open, save, restore or reset the database

Ship
  build-prod   Build the production image, inspect it, and boot it as production would
  deploy       Deploy what is checked out, and come back when it answers
  rollback     Go back to a version that was live before
  releases     Show what was released, by whom, and what came of it
  ci           Do everything that CI does, in its order

The stack is down: cargo xtask up
Each task explains itself with --help.
",
    );
}

#[track_caller]
fn insta_like(found: &str, expected: &str) {
    let found: Vec<&str> = found.lines().map(str::trim_end).collect();
    assert_eq!(found, expected.lines().collect::<Vec<_>>());
}

#[test]
fn a_wrong_word_is_a_usage_error_with_the_nearest_right_one() {
    let checkout = Checkout::new();
    checkout.xtask(&["stauts"]).expect(2).says(&["unrecognized subcommand 'stauts'", "'status'"]);
    checkout.xtask(&["up", "postgre"]).expect(2).says(&["[possible values: postgres, redis, mail, backend]"]);
    checkout.xtask(&["logs", "--since", "yesterday"]).expect(2).says(&["10m"]);
    checkout.xtask(&["exec", "postgres"]).expect(2).says(&["cargo xtask exec <SERVICE> -- <CMD>..."]);
}

#[test]
fn completions_are_for_the_name_that_is_typed() {
    let checkout = Checkout::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = checkout.xtask(&["completions", shell, "--name", "x"]).expect(0);
        assert!(ran.stdout.contains("lock-timeout") && !ran.stdout.contains("xtask__"), "{shell}");
    }
}

#[test]
fn outside_of_a_checkout_it_says_so() {
    let checkout = Checkout::new();
    let inside = checkout.xtask(&["status"]).expect(0);
    assert!(inside.stdout.contains("Thunder is down"), "{}", inside.stdout);
    let from_below = checkout.command(&["status"]).current_dir(checkout.path("infra/servers")).output().unwrap();
    assert!(from_below.status.success(), "any folder of the checkout will do");
}

#[test]
fn a_dry_run_changes_nothing_at_all() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let before = contents(&checkout.path(""));
    let tasks: &[&[&str]] =
        &[&["up"], &["down"], &["clean"], &["test"], &["env", "init", "--force"], &["check"], &["ci"], &["bench"]];
    for task in tasks {
        let ran = checkout.xtask(&[*task, &["--dry-run"]].concat()).expect(0);
        let after = contents(&checkout.path(""));
        let changed: Vec<&String> = after.keys().filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(changed.is_empty() && before.len() == after.len(), "{task:?} changed {changed:?}");
        assert!(!ran.stdout.contains(&secret(&checkout)), "{task:?} shows a secret");
    }
}

fn secret(checkout: &Checkout) -> String {
    let settings = checkout.read(".env.docker");
    settings.lines().find_map(|line| line.strip_prefix("JWT_SECRET=")).unwrap().to_owned()
}

#[test]
fn the_plan_of_up_is_what_somebody_could_type() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let ran = checkout.xtask(&["up", "redis", "--dry-run", "--engine", "host"]).expect(0);
    let plan = anonymous(&checkout, &ran.stdout);
    let lines: Vec<&str> =
        plan.lines().filter(|line| !line.starts_with("# write") && !line.contains("redis-server")).collect();
    let expected = [
        "# 1. stack",
        "mkdir -p -m 755 ROOT/.stack",
        "mkdir -p -m 700 ROOT/.stack/run",
        "# 2. redis, after 1",
        "mkdir -p -m 700 ROOT/.stack/redis",
        "mkdir -p -m 700 ROOT/.stack/redis/redis-7",
    ];
    assert_eq!(lines[..6], expected, "{plan}");
    assert!(plan.contains("ROOT/.stack/redis/redis.conf >>ROOT/.stack/logs/redis.log 2>&1 &"), "{plan}");
}

#[test]
fn data_goes_to_stdout_and_everything_else_to_stderr() {
    let checkout = Checkout::new();
    for args in [&["status", "--json"][..], &["doctor", "--json"], &["env", "check", "--json"]] {
        let ran = checkout.xtask(args);
        assert_eq!(ran.json()["schema_version"], 1, "{args:?}");
    }
    let ran = checkout.xtask(&["env", "check"]).expect(3);
    assert_eq!(ran.stdout, "");
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let checkout = Checkout::new();
    assert!(!checkout.xtask(&["status"]).stdout.contains('\u{1b}'));
    assert!(checkout.xtask(&["status", "--color", "always"]).stdout.contains('\u{1b}'));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let checkout = Checkout::new();
    let script = format!("{} --color always | head -n 1", checkout.path("target/debug/xtask").display());
    let mut command = checkout.command(&[]);
    let environment: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    command = shell(&script);
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.current_dir(checkout.path("")).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[expect(clippy::disallowed_methods, reason = "the test needs a pipe, as a user has one")]
fn shell(script: &str) -> std::process::Command {
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(script);
    command
}
