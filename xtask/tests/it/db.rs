//! The data as a whole, on a real PostgreSQL: saved, restored, and made again, with things going wrong.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::support::{Checkout, copy_migrations, until};

fn up() -> Checkout {
    let checkout = Checkout::new();
    copy_migrations(&checkout);
    checkout.write("backend/src/seed.rs", "");
    checkout.write("backend/seeds/demo.json", "");
    checkout.xtask(&["up", "postgres"]).expect(0);
    checkout.xtask(&["migrate"]).expect(0);
    checkout
}

fn sql(checkout: &Checkout, statement: &str) -> String {
    let ran = checkout.xtask(&["exec", "postgres", "--", "psql", "-XAtqc", statement]).expect(0);
    ran.stdout.trim().to_owned()
}

fn programs(checkout: &Checkout) -> String {
    sql(checkout, "SELECT count(*) FROM programs")
}

/// The dump that a task has printed.
fn printed(stdout: &str) -> String {
    let line = stdout.lines().find(|line| line.starts_with("dumps/"));
    line.unwrap_or_else(|| panic!("no dump is named in {stdout:?}")).to_owned()
}

fn databases(checkout: &Checkout) -> String {
    sql(checkout, "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE 'thunder%'")
}

#[test]
fn what_was_dumped_comes_back_and_the_database_before_is_kept() {
    let checkout = up();
    checkout.xtask(&["seed"]).expect(0);
    let dump = printed(&checkout.xtask(&["db", "dump"]).expect(0).stdout);
    assert!(checkout.exists(&format!("{dump}.json")));
    sql(&checkout, "DELETE FROM reports; DELETE FROM programs");
    checkout.xtask(&["db", "drill"]).expect(0).says(&["can be restored"]);
    assert_eq!(
        (programs(&checkout).as_str(), databases(&checkout).as_str()),
        ("0", "thunder"),
        "a drill changes nothing"
    );
    checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0).says(&["every table is as it was dumped"]);
    assert_eq!((programs(&checkout).as_str(), databases(&checkout).as_str()), ("5", "thunder thunder_before"));
    checkout.xtask(&["migrate", "status"]).expect(0);
    let listed = checkout.xtask(&["db", "dumps", "--json"]).expect(0).json();
    assert_eq!(listed["dumps"][0]["manifest"]["tables"]["programs"]["rows"], 5);
    checkout.xtask(&["db", "dump", &dump]).expect(9).says(&["is there already"]);
    let name = dump.strip_prefix("dumps/").unwrap();
    checkout.xtask(&["db", "drill", name]).expect(0).says(&["can be restored"]);
}

#[test]
fn rows_are_counted_while_they_are_dumped_and_what_is_not_committed_is_in_neither() {
    let checkout = up();
    checkout.xtask(&["seed"]).expect(0);
    let quiet = checkout.xtask(&["db", "dump"]).expect(0).says(&["84 rows"]);
    assert!(!quiet.stderr.contains("count again"), "{}", quiet.stderr);
    let manifest = checkout.read(&format!("{}.json", printed(&quiet.stdout)));
    assert!(manifest.contains("\"checksum\": \"h:"), "{manifest}");
    // A transaction that has written, and goes on.
    let mut writer = checkout.command(&["exec", "postgres", "--", "psql", "-XAtq"]);
    let mut writer = writer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut orders = writer.stdin.take().unwrap();
    orders.write_all(b"BEGIN; UPDATE programs SET name = 'new'; SELECT 'written';\n").unwrap();
    let mut said = String::new();
    BufReader::new(writer.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "written\n");
    let ran = checkout.xtask(&["db", "dump"]).expect(0).says(&["84 rows"]);
    assert!(!ran.stderr.contains("count again"), "{}", ran.stderr);
    orders.write_all(b"COMMIT;\n").unwrap();
    drop(orders);
    writer.wait().unwrap();
    let dump = printed(&ran.stdout);
    checkout.xtask(&["db", "drill", dump.strip_prefix("dumps/").unwrap()]).expect(0);
    assert_eq!(sql(&checkout, "SELECT DISTINCT name FROM programs"), "new");
    checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0);
    assert_eq!(sql(&checkout, "SELECT count(*) FROM programs WHERE name = 'new'"), "0");
}

#[test]
fn sums_over_text_as_older_manifests_have_them_are_still_compared() {
    let checkout = up();
    checkout.xtask(&["seed"]).expect(0);
    let dump = printed(&checkout.xtask(&["db", "dump"]).expect(0).stdout);
    let sums = "SELECT coalesce(sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0) FROM";
    let mut manifest: serde_json::Value = serde_json::from_str(&checkout.read(&format!("{dump}.json"))).unwrap();
    for (name, table) in manifest["tables"].as_object_mut().unwrap() {
        let settings = "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET extra_float_digits = 1;";
        table["checksum"] = sql(&checkout, &format!("{settings} {sums} {name} t")).into();
    }
    checkout.write(&format!("{dump}.json"), &manifest.to_string());
    checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0);
    manifest["tables"]["programs"]["checksum"] = "7".into();
    checkout.write(&format!("{dump}.json"), &manifest.to_string());
    checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(1).says(&["programs has other rows"]);
}

#[test]
fn no_dump_takes_the_place_of_another_file() {
    let checkout = up();
    checkout.xtask(&["seed"]).expect(0);
    // Several within one second.
    let dumps: Vec<String> = (0..4).map(|_| printed(&checkout.xtask(&["db", "dump"]).expect(0).stdout)).collect();
    let mut names = dumps.clone();
    names.dedup();
    assert_eq!(names, dumps, "each has a name of its own");
    assert_eq!(checkout.xtask(&["db", "dumps", "--json"]).expect(0).json()["dumps"].as_array().unwrap().len(), 4);
    checkout.write("package.dump.json", "mine");
    checkout.xtask(&["db", "dump", "package"]).expect(9).says(&["package.dump.json is there already"]);
    assert_eq!(checkout.read("package.dump.json"), "mine");
    checkout.xtask(&["db", "dump", "dumps/named"]).expect(0);
    checkout.xtask(&["db", "dump", "dumps/"]).expect(1).says(&["is a folder"]);
    checkout.xtask(&["db", "dump", "nosuch/x.dump"]).expect(1).says(&["no dump can be written there", "next:"]);
    assert!(!checkout.exists("nosuch"), "a name that was mistyped makes no folder");
    checkout.xtask(&["db", "restore", "nosuch.dump"]).expect(1).says(&["there is no dump", "cargo xtask db dumps"]);
}

#[test]
fn what_a_killed_task_has_left_goes_with_the_next_one() {
    let checkout = up();
    checkout.xtask(&["seed"]).expect(0);
    checkout.start_until(&["db", "dump"], "dump the database").kill_and_wait();
    for moment in ["put thunder_new in the place", "make the database thunder_new"] {
        let reset = checkout.start_until(&["db", "reset", "--yes"], moment);
        reset.signal("INT");
        reset.end();
        assert!(!databases(&checkout).contains("thunder_new"), "after Ctrl-C at {moment:?}");
    }
    checkout.xtask(&["db", "dump"]).expect(0);
    let drafts = fs::read_dir(checkout.path("dumps")).unwrap().flatten();
    let drafts: Vec<_> =
        drafts.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().ends_with("draft")).collect();
    assert!(drafts.is_empty(), "{drafts:?}");
}

#[test]
fn a_reset_saves_what_would_be_lost_and_nothing_else() {
    let checkout = up();
    assert_eq!(checkout.xtask(&["db", "reset"]).expect(0).stdout, "", "nothing is lost of an empty database");
    checkout.xtask(&["db", "reset", "--seed"]).expect(0);
    assert_eq!(programs(&checkout), "5");
    assert_eq!(checkout.xtask(&["db", "reset", "--seed"]).expect(0).stdout, "", "the seed can be had again");
    sql(&checkout, "UPDATE programs SET name = 'mine' WHERE slug = (SELECT min(slug) FROM programs)");
    checkout.xtask(&["db", "reset"]).expect(9).says(&["--yes"]);
    assert_eq!(sql(&checkout, "SELECT count(*) FROM programs WHERE name = 'mine'"), "1", "a refusal changes nothing");
    let dump = printed(&checkout.xtask(&["db", "reset", "--yes"]).expect(0).stdout);
    assert_eq!(programs(&checkout), "0");
    checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0);
    assert_eq!(sql(&checkout, "SELECT count(*) FROM programs WHERE name = 'mine'"), "1");
    checkout.xtask(&["clean", "--yes"]).expect(0);
    assert!(checkout.exists(&dump), "a dump is no part of the stack");
}

#[test]
fn what_is_in_another_schema_or_begins_with_an_underscore_is_saved_as_well() {
    let checkout = up();
    checkout.xtask(&["db", "reset", "--seed"]).expect(0);
    for (make, table) in [
        ("CREATE SCHEMA app; CREATE TABLE app.notes (id int)", "app.notes"),
        ("CREATE TABLE _notes (id int)", "_notes"),
    ] {
        sql(&checkout, &format!("{make}; INSERT INTO {table} VALUES (1)"));
        checkout.xtask(&["db", "reset", "--seed"]).expect(9).says(&["--yes"]);
        let dump = printed(&checkout.xtask(&["db", "reset", "--seed", "--yes"]).expect(0).stdout);
        assert!(checkout.read(&format!("{dump}.json")).contains(table));
        checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0).says(&["every table is as it was dumped"]);
        assert_eq!(sql(&checkout, &format!("SELECT count(*) FROM {table}")), "1");
        checkout.xtask(&["db", "reset", "--seed", "--yes"]).expect(0);
    }
    sql(&checkout, "UPDATE programs SET name = 'mine'");
    let dump = printed(&checkout.xtask(&["migrate", "redo", "--yes"]).expect(0).stdout);
    checkout.xtask(&["db", "drill", &dump]).expect(0).says(&["can be restored"]);
    checkout.xtask(&["migrate", "status"]).expect(0);
}

#[test]
fn the_database_that_was_replaced_last_comes_back_and_goes_again() {
    let checkout = up();
    checkout.xtask(&["db", "restore", "--before", "--yes"]).expect(1).says(&["there is no thunder_before", "db dumps"]);
    checkout.xtask(&["seed"]).expect(0);
    let dump = printed(&checkout.xtask(&["db", "dump"]).expect(0).stdout);
    sql(&checkout, "DELETE FROM reports; DELETE FROM programs");
    checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0).says(&["cargo xtask db restore --before"]);
    checkout.xtask(&["db", "restore", "--before"]).expect(9).says(&["--yes"]);
    for expected in ["0", "5"] {
        checkout.xtask(&["db", "restore", "--before", "--yes"]).expect(0);
        let now = (programs(&checkout), databases(&checkout));
        assert_eq!((now.0.as_str(), now.1.as_str()), (expected, "thunder thunder_before"));
        checkout.xtask(&["migrate", "status"]).expect(0);
    }
    let unknown = "INSERT INTO _sqlx_migrations SELECT 20991231000000, description, installed_on, success, checksum, \
                   execution_time FROM _sqlx_migrations LIMIT 1";
    sql(&checkout, unknown);
    checkout.xtask(&["db", "restore", "--before", "--yes"]).expect(0);
    let ran = checkout.xtask(&["db", "restore", "--before", "--yes"]).expect(5);
    ran.says(&["thunder_before cannot be brought back", "20991231000000 is not among this checkout's migrations"]);
    assert_eq!(programs(&checkout), "0");
}

/// Applies a migration whose files are nowhere, as a draft that was removed again.
fn apply_a_lost_draft(checkout: &Checkout) {
    sql(
        checkout,
        "CREATE TABLE lost (id int); INSERT INTO lost VALUES (7); \
         INSERT INTO _sqlx_migrations SELECT 20991231000000, 'lost draft', installed_on, success, checksum, \
         execution_time FROM _sqlx_migrations LIMIT 1; \
         INSERT INTO _migration_texts VALUES (20991231000000, E'-- a\\tb\\nCREATE TABLE lost (id int);\\n', 'DROP TABLE lost;')",
    );
}

#[test]
fn a_draft_whose_files_are_gone_comes_back_with_the_database_that_has_it() {
    let checkout = up();
    let (up, down) = ("20991231000000_lost_draft.up.sql", "20991231000000_lost_draft.down.sql");
    let (up, down) = (format!("backend/migrations/{up}"), format!("backend/migrations/{down}"));
    apply_a_lost_draft(&checkout);
    let dump = printed(&checkout.xtask(&["db", "reset", "--yes"]).expect(0).stdout);
    checkout.xtask(&["db", "drill"]).expect(0).says(&["recorded in the dump", "can be restored"]);
    let hint = format!("cargo xtask db restore {dump} --write-migrations");
    let ran = checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(5);
    ran.says(&["20991231000000 is not among this checkout's migrations", &hint]);
    let restore = ["db", "restore", &dump, "--write-migrations", "--yes"];
    let manifest = checkout.read(&format!("{dump}.json"));
    checkout.write(&format!("{dump}.json"), &manifest.replace("\"rows\": 1", "\"rows\": 2"));
    checkout.xtask(&restore).expect(1).says(&["lost has 1 rows instead of 2"]);
    assert!(!checkout.exists(&up) && !checkout.exists(&down), "a restore that fails leaves no draft");
    checkout.write(&format!("{dump}.json"), &manifest);
    let ran = checkout.xtask(&restore).expect(0);
    assert_eq!(ran.stdout, format!("{up}\n{down}\n"));
    assert_eq!(sql(&checkout, "SELECT id FROM lost"), "7");
    assert_eq!(checkout.read(&up), "-- a\tb\nCREATE TABLE lost (id int);\n");
    assert_eq!(checkout.read(&down), "DROP TABLE lost;");
    fs::remove_file(checkout.path(&up)).unwrap();
    fs::remove_file(checkout.path(&down)).unwrap();
    checkout.xtask(&["db", "reset", "--yes"]).expect(0);
    let hint = "cargo xtask db restore --before --write-migrations";
    checkout.xtask(&["db", "restore", &dump, "--write-migrations", "--yes"]).expect(0);
    checkout.xtask(&["db", "restore", "--before", "--yes"]).expect(0);
    fs::remove_file(checkout.path(&up)).unwrap();
    fs::remove_file(checkout.path(&down)).unwrap();
    checkout.xtask(&["db", "restore", "--before", "--yes"]).expect(5).says(&["cannot be brought back", hint]);
    checkout.xtask(&["db", "restore", "--before", "--write-migrations", "--yes"]).expect(0);
    assert_eq!((sql(&checkout, "SELECT id FROM lost").as_str(), checkout.exists(&up)), ("7", true));
}

#[test]
fn old_dumps_go_and_those_with_a_name_of_their_own_stay() {
    let checkout = up();
    for name in ["dumps/20260101T000000Z.dump", "dumps/20260102T000000Z.dump", "dumps/mine.dump"] {
        checkout.write("dumps/.keep", "");
        checkout.xtask(&["db", "dump", name]).expect(0);
    }
    checkout.write("dumps/20250101T000000Z.dump", "half of one");
    let left = || -> Vec<String> {
        let document = checkout.xtask(&["db", "dumps", "--json"]).expect(0).json();
        let dumps = document["dumps"].as_array().unwrap().iter();
        let mut names: Vec<String> =
            dumps.map(|dump| dump["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    checkout.xtask(&["db", "dumps"]).expect(0).says(&[" in all; cargo xtask db dumps --keep 5"]);
    checkout
        .xtask(&["db", "dumps", "--keep", "1"])
        .expect(9)
        .says(&["removes  dumps/20260101T000000Z.dump (", "--yes"]);
    let ran = checkout.xtask(&["db", "dumps", "--keep", "1", "--dry-run"]).expect(0);
    assert!(ran.stdout.contains("20260101T000000Z.dump.json") && !ran.stdout.contains("20260102"), "{}", ran.stdout);
    assert_eq!(left().len(), 4, "a refusal and a dry run change nothing");
    checkout.xtask(&["db", "dumps", "--keep", "1", "--yes"]).expect(0).says(&["freed"]);
    assert_eq!(left(), ["20250101T000000Z.dump", "20260102T000000Z.dump", "mine.dump"]);
    assert!(!checkout.exists("dumps/20260101T000000Z.dump.json"), "its manifest goes with it");
    checkout.xtask(&["db", "dumps", "--keep", "1", "--yes"]).expect(0).says(&["there is nothing to remove"]);
}

#[test]
fn a_dump_that_does_not_fit_is_refused_and_changes_nothing() {
    let checkout = up();
    checkout.xtask(&["seed"]).expect(0);
    let dump = printed(&checkout.xtask(&["db", "dump"]).expect(0).stdout);
    let (bytes, manifest) = (fs::read(checkout.path(&dump)).unwrap(), checkout.read(&format!("{dump}.json")));
    let expect = |code: i32, words: &[&str]| {
        drop(checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(code).says(words));
        assert_eq!((programs(&checkout).as_str(), databases(&checkout).as_str()), ("5", "thunder"));
    };
    fs::write(checkout.path(&dump), &bytes[..bytes.len() / 2]).unwrap();
    expect(1, &["cannot be restored", "bytes"]);
    // As long as it was, and broken inside.
    let mut broken = bytes.clone();
    broken[bytes.len() / 2..].fill(0);
    fs::write(checkout.path(&dump), &broken).unwrap();
    expect(1, &["cannot restore the dump"]);
    fs::write(checkout.path(&dump), &bytes).unwrap();
    checkout.write(&format!("{dump}.json"), &manifest.replace("\"rows\": 5", "\"rows\": 6"));
    expect(1, &["programs has 5 rows instead of 6"]);
    checkout.write(&format!("{dump}.json"), &manifest.replace("20261124090200", "20991231000000"));
    expect(5, &["20991231000000 is not among this checkout's migrations", "git checkout"]);
    let bytes = manifest.lines().find(|line| line.contains("\"database_bytes\"")).unwrap();
    checkout.write(&format!("{dump}.json"), &manifest.replace(bytes, "\"database_bytes\": 9000000000000000000,"));
    expect(3, &["the disk is full", "cargo xtask db dumps --keep 3"]);
    checkout.write(&format!("{dump}.json"), &manifest.replace("\"server\": \"1", "\"server\": \"9"));
    expect(1, &["it may not understand it"]);
}

#[test]
fn a_restore_that_is_killed_leaves_the_database_as_it_was_or_as_it_was_to_become() {
    let checkout = up();
    checkout.xtask(&["seed"]).expect(0);
    let dump = printed(&checkout.xtask(&["db", "dump"]).expect(0).stdout);
    for moment in ["make the database", "restore the dump", "count what", "put thunder_restored in the place"] {
        sql(&checkout, "DELETE FROM reports; DELETE FROM programs");
        let restore = checkout.start_until(&["db", "restore", &dump, "--yes"], moment);
        restore.kill_and_wait();
        let left = programs(&checkout);
        assert!(left == "0" || left == "5", "{left} programs after a kill at {moment:?}");
        checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0);
        assert_eq!(programs(&checkout), "5");
    }
}

#[test]
fn a_revert_saves_what_would_be_lost_and_what_it_reverted_can_be_applied_again() {
    let checkout = up();
    let newest = "20261125190700";
    checkout.xtask(&["db", "reset", "--seed"]).expect(0);
    let ran = checkout.xtask(&["migrate", "revert", "--yes"]).expect(0);
    assert!(!ran.stdout.contains("dumps/") && ran.stdout.contains(newest), "the seed can be had again: {}", ran.stdout);
    checkout.xtask(&["migrate", "status"]).expect(5);
    checkout.xtask(&["migrate"]).expect(0);
    sql(&checkout, "UPDATE programs SET name = 'mine' WHERE slug = (SELECT min(slug) FROM programs)");
    checkout.xtask(&["migrate", "revert", "--to", "0"]).expect(9).says(&["--yes"]);
    let dump = printed(&checkout.xtask(&["migrate", "revert", "--to", "0", "--yes"]).expect(0).stdout);
    assert_eq!(sql(&checkout, "SELECT count(*) FROM pg_tables WHERE tablename = 'programs'"), "0");
    checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0);
    assert_eq!(sql(&checkout, "SELECT count(*) FROM programs WHERE name = 'mine'"), "1");
}

#[test]
fn a_connection_that_is_cut_in_the_middle_of_a_restore_changes_nothing() {
    let checkout = up();
    checkout.xtask(&["seed", "--reports", "100000"]).expect(0);
    let dump = printed(&checkout.xtask(&["db", "dump"]).expect(0).says(&["105084 rows"]).stdout);
    sql(&checkout, "UPDATE programs SET name = 'mine'");
    let restore = checkout.start_until(&["db", "restore", &dump, "--yes"], "restore the dump");
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pg_restore'";
    until("pg_restore is cut off", || sql(&checkout, cut) != "0");
    restore.end().expect(1).says(&["cannot restore the dump"]);
    assert_eq!(databases(&checkout), "thunder", "what was half filled is gone");
    assert_eq!(sql(&checkout, "SELECT DISTINCT name FROM programs"), "mine");
    checkout.xtask(&["db", "restore", &dump, "--yes"]).expect(0).says(&["every table is as it was dumped"]);
    assert_eq!(sql(&checkout, "SELECT count(*) FROM reports"), "100013");
    assert_eq!(sql(&checkout, "SELECT count(*) FROM programs WHERE name = 'mine'"), "0");
}

#[test]
fn a_dry_run_prints_what_it_would_do_without_a_password_and_does_nothing() {
    let checkout = up();
    let ran = checkout.xtask(&["db", "reset", "--dry-run"]).expect(0);
    assert!(
        ran.stdout.contains("CREATE DATABASE \"thunder_new\"") && ran.stdout.contains("PGPASSWORD=***"),
        "{}",
        ran.stdout
    );
    checkout.xtask(&["db", "dump", "--dry-run"]).expect(0);
    assert_eq!(databases(&checkout), "thunder");
    assert!(!checkout.exists("dumps"));
    let url = checkout.xtask(&["db", "url"]).expect(0).stdout;
    assert!(url.starts_with("postgres://thunder:") && !url.contains("***"), "{url}");
    checkout.xtask(&["down"]).expect(0);
    checkout.xtask(&["db", "dump"]).expect(4).says(&["postgres is not running", "cargo xtask up postgres"]);
}
