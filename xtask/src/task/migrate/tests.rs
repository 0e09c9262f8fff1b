//! `migrate revert`, `bless` and `add --renumber`: what is asked, saved, changed and refused, with a recorded stack.

use serde_json::json;

use crate::database::reset::Template;
use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::product::{DATABASE, MIGRATIONS, SEED};
use crate::runner::{Output, fails, says};

const A: u64 = 20_260_101_000_000;
const B: u64 = 20_260_102_000_000;
const C: u64 = 20_260_103_000_000;

/// What the backend's program says of these.
fn status(entries: &[(u64, &str, bool)]) -> Output {
    let newest = entries.iter().filter(|(_, state, _)| *state == "applied").map(|entry| entry.0).max().unwrap_or(0);
    let migrations: Vec<_> = entries
        .iter()
        .map(|(version, state, late)| {
            let at = matches!(*state, "applied" | "altered").then_some("2026-01-01T00:00:00Z");
            json!({ "version": version, "name": "x", "state": state, "applied_at": at, "out_of_order": late })
        })
        .collect();
    let text = json!({ "schema_version": 1, "hints": [], "migrations": migrations }).to_string();
    if entries.iter().any(|entry| entry.1 != "applied") && newest > 0 {
        return Output { stdout: text, ..fails(5, "") };
    }
    says(&text)
}

/// A stack in containers with three applied migrations, and so many programs.
fn stack(rows: u64) -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    for version in [A, B, C] {
        for end in ["up", "down"] {
            fixture.write(&format!("{MIGRATIONS}/{version}_x.{end}.sql"), "SELECT 1;");
        }
    }
    for file in SEED {
        fixture.write(file, "");
    }
    fixture.xtask(&["up"]).expect(0);
    let applied = [(A, "applied", false), (B, "applied", false), (C, "applied", false)];
    fixture
        .runner
        .on("migrate status", status(&applied))
        .on("exec postgres psql --dbname=postgres", says(&format!("{DATABASE}\n")))
        .on(&format!("exec postgres psql --dbname={DATABASE}"), holds(rows))
        .on("migrate revert", says("reverted it\n"))
        .on("migrate redo", says("applied it again\n"));
    (fixture, daemon)
}

fn holds(rows: u64) -> Output {
    says(&format!("server\t15.18\t8000\ntable\tprograms\t{rows}\t{rows}\n"))
}

#[test]
fn what_would_be_lost_is_asked_for_and_saved_before_anything_is_reverted() {
    let (mut fixture, _daemon) = stack(3);
    for typed in [None, Some("n\n")] {
        let ran = fixture.xtask_answered(&["migrate", "revert", "--to", &A.to_string()], typed).expect(9);
        ran.says(&[&format!("{C} x"), &format!("{B} x")]).keeps_silent_about(&[&format!("{A} x")]);
        assert!(!fixture.runner.was_asked("pg_dump") && !fixture.runner.was_asked("migrate revert"));
    }
    let ran = fixture.xtask_answered(&["migrate", "revert", "--to", &A.to_string()], Some("y\n")).expect(0);
    assert!(ran.stderr.contains("Revert these 2 migrations") && ran.stderr.contains("A dump is made first."));
    assert!(ran.stdout.starts_with("dumps/"), "{}", ran.stdout);
    let asked = fixture.runner.asked();
    let place = |word: &str| asked.iter().position(|command| command.contains(word)).unwrap();
    assert!(place("pg_dump") < place(&format!("migrate revert --to {A}")), "{asked:?}");
}

#[test]
fn what_would_be_lost_is_asked_for_and_saved_before_the_newest_is_applied_again() {
    let (mut fixture, _daemon) = stack(3);
    for typed in [None, Some("n\n")] {
        fixture.xtask_answered(&["migrate", "redo"], typed).expect(9).says(&[&format!("{C} x")]);
        assert!(!fixture.runner.was_asked("pg_dump") && !fixture.runner.was_asked("migrate redo"));
    }
    let ran = fixture.xtask_answered(&["migrate", "redo"], Some("y\n")).expect(0);
    assert!(ran.stderr.contains("and lose what is in its tables and columns? A dump is made first."), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("dumps/"), "{}", ran.stdout);
    let asked = fixture.runner.asked();
    let place = |word: &str| asked.iter().position(|command| command.contains(word)).unwrap();
    assert!(place("pg_dump") < place("migrate redo"), "{asked:?}");
    fixture.runner.on("migrate redo", fails(5, ""));
    fixture.xtask(&["migrate", "redo", "--yes"]).expect(5);
}

#[test]
fn without_a_dump_nothing_is_reverted() {
    let (mut fixture, _daemon) = stack(3);
    fixture.runner.on("exec postgres pg_dump", fails(1, "pg_dump: error: no luck"));
    for word in ["revert", "redo"] {
        fixture.xtask(&["migrate", word, "--yes"]).expect(1).says(&["no luck"]);
        assert!(!fixture.runner.was_asked(&format!("migrate {word}")), "{:?}", fixture.runner.asked());
    }
}

#[test]
fn a_database_that_is_empty_or_only_seeded_is_not_dumped() {
    let (mut fixture, _daemon) = stack(0);
    fixture.xtask(&["migrate", "revert", "--yes"]).expect(0);
    assert!(!fixture.runner.was_asked("pg_dump"));
    let (mut fixture, _daemon) = stack(3);
    let template = Template::of(&fixture.context, true).unwrap().name;
    fixture
        .runner
        .on("exec postgres psql --dbname=postgres", says(&format!("{DATABASE}\n{template}\n")))
        .on(&format!("exec postgres psql --dbname={template}"), holds(3));
    let ran = fixture.xtask_answered(&["migrate", "revert"], Some("y\n")).expect(0);
    assert!(ran.stderr.contains("Revert this migration") && !ran.stderr.contains("dump"), "{}", ran.stderr);
    assert!(!fixture.runner.was_asked("pg_dump"));
}

#[test]
fn nothing_newer_is_nothing_to_revert_and_what_is_not_applied_is_no_place_to_stop_at() {
    let (mut fixture, _daemon) = stack(3);
    fixture.xtask(&["migrate", "revert", "--to", &C.to_string()]).expect(0).says(&["nothing to revert"]);
    let ran = fixture.xtask(&["migrate", "revert", "--to", "7", "--yes"]).expect(1);
    ran.says(&["7 is not applied", "cargo xtask migrate status"]);
    assert!(!fixture.runner.was_asked("migrate revert"));
}

#[test]
fn a_dry_run_shows_that_an_altered_draft_is_reverted_first() {
    let (mut fixture, _daemon) = stack(0);
    fixture.runner.on("migrate status", status(&[(A, "applied", false), (B, "applied", false), (C, "altered", false)]));
    // What no commit has is a draft.
    fixture.runner.on("git ls-tree", says(&format!("{MIGRATIONS}/{A}_x.up.sql\n{MIGRATIONS}/{B}_x.up.sql\n")));
    let ran = fixture.xtask(&["migrate", "--dry-run"]).expect(0);
    ran.says(&[&format!("-- {MIGRATIONS}/{C}_x.up.sql is an altered draft"), "runs first", "SELECT 1;"])
        .keeps_silent_about(&[&format!("-- {MIGRATIONS}/{B}_x.up.sql")]);
}

#[test]
fn a_dry_run_shows_the_sql_that_the_database_does_not_have() {
    let (mut fixture, _daemon) = stack(0);
    fixture.write(&format!("{MIGRATIONS}/{B}_x.up.sql"), "SELECT 'second';\n");
    fixture.runner.on("migrate status", status(&[(A, "applied", false), (B, "pending", false), (C, "unknown", false)]));
    let ran = fixture.xtask(&["migrate", "--dry-run"]).expect(0);
    let (_, sql) = ran.stdout.split_once("migrate run\n").unwrap();
    assert!(sql.starts_with(&format!("-- {MIGRATIONS}/{B}_x.up.sql\nSELECT 'second';\n")), "{sql}");
    assert!(!sql.contains(&A.to_string()), "{sql}");
    fixture.runner.on("migrate status", fails(1, "no"));
    fixture.xtask(&["migrate", "--dry-run"]).expect(0).says(&["the SQL is not shown"]);
}

/// What the backend's program says of an edit.
fn altered(recorded: Option<&str>) -> Output {
    let one = json!({ "version": B, "file": format!("{B}_x"), "recorded_checksum": "aaaa", "checksum": "bbbb",
        "recorded": recorded, "now": "SELECT 1;\n-- new" });
    says(&json!({ "schema_version": 1, "altered": [one] }).to_string())
}

#[test]
fn an_edit_is_shown_and_asked_about_before_it_is_recorded() {
    let (mut fixture, _daemon) = stack(0);
    fixture.runner.on("migrate altered", altered(Some("SELECT 1;\n-- old"))).on("migrate bless", says("recorded\n"));
    for typed in [None, Some("\n")] {
        let ran = fixture.xtask_answered(&["migrate", "bless"], typed).expect(9);
        assert!(ran.stdout.ends_with("    SELECT 1;\n  - -- old\n  + -- new\n"), "{}", ran.stdout);
        assert!(!fixture.runner.was_asked("migrate bless"));
    }
    fixture.xtask_answered(&["migrate", "bless", &B.to_string()], Some("y\n")).expect(0);
    assert!(fixture.runner.was_asked(&format!("migrate bless {B} --checksum bbbb")), "{:?}", fixture.runner.asked());
    fixture
        .xtask(&["migrate", "bless", "7", "--yes"])
        .expect(1)
        .says(&["7 is not altered: its file is the one that was applied"]);
}

#[test]
fn where_what_was_applied_is_not_recorded_its_history_is_named() {
    let (mut fixture, _daemon) = stack(0);
    fixture.runner.on("migrate altered", altered(None));
    let ran = fixture.xtask(&["migrate", "bless"]).expect(9);
    assert!(ran.stdout.contains(&format!("git log -p -- {MIGRATIONS}/{B}_x.up.sql")), "{}", ran.stdout);
}

#[test]
fn files_that_are_out_of_order_get_names_behind_all_others() {
    let (mut fixture, _daemon) = stack(0);
    let entries = [(A, "applied", false), (B, "pending", true), (C, "applied", false)];
    fixture.runner.on("migrate status", status(&entries)).on("git ls-tree", fails(128, "no origin"));
    let ran = fixture.xtask(&["migrate", "add", "--renumber"]).expect(0);
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    let names = std::fs::read_dir(fixture.root().join(MIGRATIONS)).unwrap().flatten();
    let mut names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(names.len() == 6 && !names.iter().any(|name| name.contains(&B.to_string())), "{names:?}");
    assert!(names[4].ends_with("_x.down.sql") && names[5].ends_with("_x.up.sql"), "{names:?}");
    assert_eq!(names[4].split('_').next(), names[5].split('_').next());
}

#[test]
fn what_the_origin_has_keeps_its_name() {
    let (mut fixture, _daemon) = stack(0);
    let entries = [(A, "applied", false), (B, "pending", true), (C, "applied", false)];
    let shared = says(&format!("{MIGRATIONS}/{A}_x.up.sql\n{MIGRATIONS}/{B}_x.up.sql\n"));
    fixture.runner.on("migrate status", status(&entries)).on("git ls-tree", shared);
    let ran = fixture.xtask(&["migrate", "add", "--renumber"]).expect(9);
    ran.says(&["the origin has these migrations already", &format!("cargo xtask migrate revert --to {A}")]);
    assert!(fixture.has(&format!("{MIGRATIONS}/{B}_x.up.sql")));
    fixture.runner.on("migrate status", status(&entries[..1]));
    fixture.xtask(&["migrate", "add", "--renumber"]).expect(0).says(&["no migration is out of order"]);
}
