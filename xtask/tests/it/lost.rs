//! Files of a stack that somebody removed or spoilt: what runs and what data there is are found again, and nothing that
//! is advised costs data.

use crate::support::{Checkout, is_alive, of, until};

/// A stack of PostgreSQL and Redis, with a row in the database's own folder to be recognised by.
fn with_data() -> Checkout {
    let checkout = Checkout::new();
    checkout.xtask(&["up", "postgres", "redis"]).expect(0);
    checkout
}

fn system_identifier(checkout: &Checkout) -> Vec<u8> {
    std::fs::read(checkout.path(".stack/postgres/data/global/pg_control")).unwrap()[..8].to_vec()
}

#[test]
fn a_state_that_is_gone_or_spoilt_is_read_from_its_copy() {
    let checkout = with_data();
    let pid = checkout.pid("redis");
    for spoil in [Some("{ \"schema_version\": 99 }"), None] {
        match spoil {
            Some(text) => checkout.write(".stack/stack.json", text),
            None => std::fs::remove_file(checkout.path(".stack/stack.json")).unwrap(),
        }
        assert_eq!(checkout.xtask(&["status", "--json"]).expect(0).json()["state"], "up");
        checkout.xtask(&["up", "postgres", "redis"]).expect(0).says(&["everything is running already"]);
    }
    assert_eq!(checkout.pid("redis"), pid);
}

#[test]
fn a_state_of_which_nothing_is_left_costs_no_data_and_no_patience() {
    let checkout = with_data();
    let identifier = system_identifier(&checkout);
    for file in [".stack/stack.json", ".stack/run/stack.json"] {
        checkout.write(file, "garbage");
    }
    let ran = checkout.xtask(&["status"]).expect(1).says(&["cannot be understood", "cargo xtask up"]);
    assert!(!ran.stderr.contains("clean"), "{}", ran.stderr);
    checkout.xtask(&["up", "postgres", "redis"]).expect(0).says(&["is now ", "stack.json.unreadable"]);
    assert_eq!(system_identifier(&checkout), identifier, "the data is the same");
    assert_eq!(checkout.status()["state"], "up");
    checkout.xtask(&["clean", "--yes"]).expect(0);
    checkout.expect_nothing_left();
}

#[test]
fn a_stack_whose_folder_was_removed_while_it_ran_is_found_by_every_task() {
    let checkout = Checkout::new();
    for task in [&["down"][..], &["clean", "--yes"], &["up", "redis"]] {
        checkout.xtask(&["up"]).expect(0);
        let pids = ["redis", "backend"].map(|service| checkout.pid(service));
        std::fs::remove_dir_all(checkout.path(".stack")).unwrap();
        checkout.xtask(&["status"]).expect(4).says(&["no record tells of", "redis-server"]);
        checkout.xtask(task).expect(0);
        until("what ran is ended", || pids.iter().all(|pid| !is_alive(*pid)));
    }
    checkout.xtask(&["clean", "--yes"]).expect(0);
    checkout.expect_nothing_left();
}

#[test]
fn a_migration_that_a_watcher_runs_is_no_server_that_was_lost() {
    let checkout = with_data();
    // The system knows it by the name and the folder of the watcher's program.
    let program = checkout.path(".stack/run/thunder");
    std::fs::copy("/bin/sleep", &program).unwrap();
    #[expect(clippy::disallowed_methods, reason = "it stands for what a watcher starts")]
    let mut migration = std::process::Command::new(&program).arg("600").spawn().unwrap();
    checkout.xtask(&["status"]).expect(0);
    checkout.xtask(&["up", "postgres"]).expect(0);
    assert!(is_alive(migration.id()), "nobody ends it");
    migration.kill().unwrap();
    migration.wait().unwrap();
}

#[test]
fn settings_that_are_gone_while_the_stack_runs_are_made_again_as_they_were() {
    let checkout = with_data();
    let settings = |checkout: &Checkout| -> Vec<String> {
        let text = checkout.read(".env.docker");
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
    };
    let before = settings(&checkout);
    std::fs::remove_file(checkout.path(".env.docker")).unwrap();
    checkout.xtask(&["up"]).expect(0).says(&[".env.docker is gone: it is made again"]);
    assert_eq!(settings(&checkout), before);
    checkout.xtask(&["smoke"]).expect(0);

    for task in [&["up"][..], &["restart", "redis"], &["env", "init"]] {
        std::fs::remove_file(checkout.path(".env.docker")).unwrap();
        let ran = checkout.xtask(task).expect(0);
        assert!(ran.stderr.matches("is gone").count() <= 1, "told once: {}", ran.stderr);
        assert_eq!(settings(&checkout), before, "{task:?}");
    }
    assert!(checkout.read(".env.docker").contains("# The password of Redis"), "with the comments");
    checkout.xtask(&["smoke"]).expect(0);
}

#[test]
fn a_stack_of_which_both_records_are_gone_is_still_seen() {
    let checkout = Checkout::new();
    checkout.xtask(&["up"]).expect(0);
    for file in [".stack/stack.json", ".stack/run/stack.json"] {
        std::fs::remove_file(checkout.path(file)).unwrap();
    }
    assert_eq!(checkout.xtask(&["status", "--json"]).expect(0).json()["state"], "up");
}

#[test]
fn data_without_its_version_is_told_and_left_alone() {
    let checkout = with_data();
    checkout.xtask(&["down"]).expect(0);
    std::fs::remove_file(checkout.path(".stack/postgres/data/PG_VERSION")).unwrap();
    checkout.xtask(&["up", "postgres"]).expect(1).says(&["has no PG_VERSION", "nothing was changed"]);
    checkout.write(".stack/postgres/data/PG_VERSION", "15\n");
    checkout.xtask(&["up", "postgres"]).expect(0);
}

#[test]
fn a_server_that_does_not_answer_is_told_in_words() {
    let checkout = with_data();
    let pid = checkout.pid("postgres");
    crate::support::signal(pid, "STOP");
    let status = checkout.xtask(&["status", "--json"]).expect(4).json();
    crate::support::signal(pid, "CONT");
    assert_eq!(of(&status, "postgres")["detail"], "no answer in time");
}

#[test]
fn half_written_files_of_killed_tasks_are_ignored_by_git_and_removed_by_the_next_task() {
    let checkout = Checkout::new();
    let gone = checkout.xtask(&["up", "redis"]).expect(0);
    drop(gone);
    // The number belongs to nobody: it is beyond all that the system gives out.
    let drafts = ["..env.docker.4194999.draft", ".stack/.stack.json.4194999.draft", ".stack/run/.x.4194999.draft"];
    for draft in drafts {
        checkout.write(draft, "secret");
    }
    checkout.xtask(&["up", "redis"]).expect(0);
    for draft in drafts {
        assert!(!checkout.exists(draft), "{draft}");
    }
    let ignored = include_str!("../../../.gitignore");
    assert!(ignored.lines().any(|line| line == ".*.draft"));
}
