//! Migrations of a database that is not the stack's, on a second PostgreSQL.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::{Checkout, Ran, copy_migrations};

/// The variable that holds the other database's URL.
const OTHER: &str = "OTHER_DATABASE";

/// Runs xtask with the URL in a variable.
fn with_url(checkout: &Checkout, url: &str, args: &[&str]) -> Ran {
    let ran: Ran = checkout.command(args).env(OTHER, url).output().unwrap().into();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert!(!ran.stdout.contains(password) && !ran.stderr.contains(password), "{ran:?}");
    ran
}

/// Gives a statement to `db shell` with the URL in a variable.
fn shell(checkout: &Checkout, url: &str, flags: &[&str], statement: &str) -> Ran {
    let args = [&["db", "shell", "--url-from", OTHER][..], flags].concat();
    let mut child = checkout.command(&args).env(OTHER, url).stdin(Stdio::piped()).spawn().unwrap();
    // One that refuses may have ended without reading.
    drop(writeln!(child.stdin.take().unwrap(), "{statement}"));
    child.wait_with_output().unwrap().into()
}

#[test]
fn another_database_is_looked_at_migrated_and_reverted_with_its_url_in_no_argument() {
    let (here, other) = (Checkout::new(), Checkout::new());
    copy_migrations(&here);
    other.xtask(&["up", "postgres"]).expect(0);
    let url = other.xtask(&["db", "url"]).expect(0).stdout.trim().to_owned();
    let run = |args: &[&str]| with_url(&here, &url, args);

    let ran = run(&["migrate", "status", "--url-from", OTHER]).expect(5);
    assert!(ran.stdout.contains("pending") && !ran.stdout.contains("applied"), "{}", ran.stdout);
    run(&["migrate", "--url-from", OTHER]).expect(9).says(&["20261121090000 programs", "--yes"]);
    let ran = run(&["migrate", "--url-from", OTHER, "--dry-run"]).expect(0);
    assert!(ran.stdout.contains("CREATE TABLE programs"), "{}", ran.stdout);
    run(&["migrate", "status", "--url-from", OTHER]).expect(5);

    let mut child = here.command(&["migrate", "run", "--url", "-", "--yes"]).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{url}").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap()).expect(0);
    assert!(ran.stdout.contains("applied 20261121090000_programs"), "{}", ran.stdout);
    run(&["migrate", "status", "--url-from", OTHER]).expect(0);
    other.xtask(&["migrate", "status"]).expect(0);

    other.xtask(&["seed"]).expect(0);
    let rename = "UPDATE programs SET name = 'mine' RETURNING 'written';";
    let ran = shell(&here, &url, &[], rename);
    assert!(ran.stderr.contains("cannot execute UPDATE in a read-only transaction"), "{ran:?}");
    assert!(ran.stderr.contains("in which nothing is written without --write"), "{ran:?}");
    assert!(shell(&here, &url, &[], "SELECT count(*) FROM programs;").expect(0).stdout.contains('5'));
    shell(&here, &url, &["--write"], rename).expect(9).says(&["--yes"]);
    assert!(shell(&here, &url, &["--write", "--yes"], rename).expect(0).stdout.contains("written"));
    let ran = run(&["migrate", "revert", "--url-from", OTHER, "--yes"]).expect(0);
    let dump = ran.stdout.lines().find(|line| line.starts_with("dumps/")).unwrap_or_else(|| panic!("{}", ran.stdout));
    let manifest: serde_json::Value = serde_json::from_str(&here.read(&format!("{dump}.json"))).unwrap();
    assert_eq!(manifest["tables"]["programs"]["rows"], 5);
    run(&["migrate", "status", "--url-from", OTHER]).expect(5);
    assert!(
        here.xtask(&["migrate", "status"]).expect(4).stderr.contains("postgres is not running"),
        "here is no stack"
    );
}
