//! What a reset removes and what it keeps, with a recorded PostgreSQL.

use crate::database::reset::Template;
use crate::database::target::before;
use crate::failure::Exit;
use crate::fixture::Fixture;
use crate::fixture::docker::Daemon;
use crate::product::{DATABASE, SEED};
use crate::runner::{fails, says};

/// A stack in containers with a template that is made already, whose databases hold so many programs.
fn stack(rows: u64, rows_when_replaced: u64) -> (Fixture, Daemon) {
    let (mut fixture, daemon) = Fixture::with_docker();
    for end in ["up", "down"] {
        fixture.write(&format!("backend/migrations/20260101000000_a.{end}.sql"), "SELECT 1;");
    }
    fixture.xtask(&["up"]).expect(0);
    let template = Template::of(&fixture.context, false).unwrap().name;
    let holds = |rows: u64| says(&format!("server\t15.18\t8000\ntable\tprograms\t{rows}\t{rows}\n"));
    fixture
        .runner
        .on("exec postgres psql --dbname=postgres", says(&format!("{DATABASE}\n{template}\n")))
        .on(&format!("exec postgres psql --dbname={DATABASE}"), holds(rows))
        .on(&format!("exec postgres psql --dbname={template}"), holds(0))
        .on(&format!("exec postgres psql --dbname={}", before()), holds(rows_when_replaced))
        .on("exec postgres psql --command", says(""));
    (fixture, daemon)
}

#[test]
fn a_template_is_made_again_when_a_migration_or_any_file_of_the_demo_data_changes() {
    let fixture = Fixture::new(&[]);
    let migration = "backend/migrations/20260101000000_a.up.sql";
    let files: Vec<&str> = SEED.iter().copied().chain([migration]).collect();
    for file in &files {
        fixture.write(file, "SELECT 1;");
    }
    let name = |is_seeded: bool| Template::of(&fixture.context, is_seeded).unwrap().name;
    for file in files {
        let before = (name(true), name(false));
        fixture.write(file, "SELECT 2;");
        assert_ne!(name(true), before.0, "{file}");
        assert_eq!(name(false) != before.1, file == migration, "{file}");
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert!(SEED.iter().all(|file| root.join(file).is_file()));
}

#[test]
fn a_template_that_was_edited_while_it_was_made_gets_no_name() {
    let migration = "backend/migrations/20260101000000_a.up.sql";
    for edit in ["SELECT 1;", "SELECT 2;"] {
        let (mut fixture, _daemon) = stack(0, 0);
        let (file, is_edited) = (fixture.root().join(migration), edit != "SELECT 1;");
        fixture.runner.on("exec postgres psql --dbname=postgres", says(&format!("{DATABASE}\n")));
        fixture.runner.on_and("migrate run", says("applied\n"), move || std::fs::write(&file, edit).unwrap());
        let ran = fixture.xtask(&["db", "reset"]).expect(u8::from(is_edited));
        if is_edited {
            ran.says(&["was edited while the template was made", "next: cargo xtask db reset, again"]);
        }
        let rename = format!("ALTER DATABASE \"{DATABASE}_migrated_draft\" RENAME TO");
        assert_eq!(fixture.runner.was_asked(&rename), !is_edited, "{:?}", fixture.runner.asked());
    }
}

fn drops_the_one_before(fixture: &Fixture) -> bool {
    let drop = format!("DROP DATABASE IF EXISTS \"{}\"", before());
    fixture.runner.asked().last().is_some_and(|command| command.contains(&drop))
}

#[test]
fn an_empty_database_is_replaced_and_removed() {
    let (mut fixture, _daemon) = stack(0, 0);
    fixture.xtask(&["db", "reset"]).expect(0);
    assert!(fixture.runner.was_asked("CREATE DATABASE TEMPLATE"), "{:?}", fixture.runner.asked());
    assert!(drops_the_one_before(&fixture), "{:?}", fixture.runner.asked());
}

#[test]
fn what_was_written_until_the_last_moment_is_kept_and_told() {
    let (mut fixture, _daemon) = stack(0, 1);
    fixture.xtask(&["db", "reset"]).expect(0).says(&["somebody wrote until it was replaced", "is kept until the next"]);
    assert!(!drops_the_one_before(&fixture), "{:?}", fixture.runner.asked());
}

#[test]
fn where_the_server_does_not_tell_that_nobody_wrote_rows_are_counted_again_after_the_dump() {
    let (mut fixture, _daemon) = stack(3, 3);
    fixture.runner.on("exec postgres pg_dump", says("data"));
    fixture.xtask(&["db", "dump"]).expect(0).says(&["3 rows"]);
    let asked = fixture.runner.asked();
    let is_question = |command: &&String| command.contains(&format!("--dbname={DATABASE}")) && command.contains("psql");
    assert_eq!(asked.iter().filter(is_question).count(), 4, "two moments and two counts: {asked:?}");
}

#[test]
fn without_a_dump_nothing_is_replaced() {
    let (mut fixture, _daemon) = stack(3, 3);
    fixture.runner.on("exec postgres pg_dump", fails(1, "pg_dump: error: no luck"));
    fixture.xtask(&["db", "reset", "--yes"]).expect(1).says(&["cannot dump the database", "no luck"]);
    assert!(!fixture.runner.was_asked("CREATE DATABASE"), "{:?}", fixture.runner.asked());
    assert!(std::fs::read_dir(fixture.root().join("dumps")).unwrap().next().is_none(), "half a dump is none");
}

#[test]
fn a_count_that_was_not_answered_is_not_taken_for_empty() {
    let (mut fixture, _daemon) = stack(3, 3);
    fixture
        .runner
        .on(&format!("exec postgres psql --dbname={DATABASE}"), fails(2, "the database system is starting up"));
    fixture.xtask(&["db", "reset", "--yes"]).expect(1).says(&["starting up"]);
    assert!(!fixture.runner.was_asked("CREATE DATABASE"), "{:?}", fixture.runner.asked());
}

#[test]
fn ctrl_c_says_what_is_left_and_what_to_type_next() {
    let cases: [(&[&str], &str, &str, &str); 5] = [
        (&["db", "dump"], "exec postgres pg_dump", "interrupted: there is no dump of it", "cargo xtask db dump"),
        (
            &["db", "reset"],
            "CREATE DATABASE TEMPLATE",
            "interrupted: the database is as it was",
            "cargo xtask db reset",
        ),
        (&["db", "reset"], "DO $swap$", "the one before it is kept as ", "cargo xtask db restore --before"),
        (&["migrate"], "compose build", "applied as a whole or not at all", "cargo xtask migrate status"),
        (&["seed"], "compose build", "added as a whole or not at all", "cargo xtask seed"),
    ];
    for (words, when, left, next) in cases {
        let (mut fixture, _daemon) = stack(0, 0);
        let interrupt = fixture.context.interrupt.clone();
        fixture.runner.on_and(when, says(""), move || interrupt.request(Exit::Interrupted));
        fixture.xtask(words).expect(130).says(&[left, &format!("next: {next}\n")]);
    }
}

#[test]
fn a_dump_whose_rows_were_not_counted_is_not_said_to_be_compared() {
    let (mut fixture, _daemon) = stack(3, 3);
    fixture
        .runner
        .on("exec postgres pg_dump", says("data"))
        .on("exec postgres pg_restore", says(""))
        .on("exec postgres psql --dbname=postgres", says("15.18\n"))
        .on(&format!("exec postgres psql --dbname={DATABASE}_drill"), says("server\t15.18\t8000\n"));
    let dump = fixture.root().join("one.dump").to_string_lossy().into_owned();
    fixture.xtask(&["db", "dump", &dump]).expect(0);
    let manifest = format!("{dump}.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document["tables"] = serde_json::Value::Null;
    std::fs::write(&manifest, document.to_string()).unwrap();
    let ran = fixture.xtask(&["db", "drill", &dump]).expect(0);
    ran.says(&["one.dump can be restored; its rows could not be compared, because somebody wrote during the dump"])
        .keeps_silent_about(&["every table is as it was dumped"]);
}
