use std::path::PathBuf;

use super::*;
use crate::fixture::Fixture;
use crate::runner::{fails, says};

fn migration(text: &str) -> Migration {
    Migration { version: 20_260_101_000_000, up: PathBuf::from("/m/20260101000000_x.up.sql"), text: text.to_owned() }
}

/// The rules that a script breaks, each with its line, where squawk finds nothing.
fn found(text: &str) -> Vec<(usize, String)> {
    found_beside(text, Vec::new())
}

fn found_beside(text: &str, squawk: Vec<Found>) -> Vec<(usize, String)> {
    let verdict = verdict("x".to_owned(), &migration(text), squawk);
    verdict.open().map(|finding| (finding.line, finding.rule.clone())).collect()
}

fn by_squawk(line: usize, column: usize, rule: &str) -> Vec<Found> {
    vec![Found { line, column, rule: rule.to_owned(), message: "m".to_owned(), help: "h".to_owned() }]
}

#[test]
fn own_rules_find_what_squawk_does_not_see() {
    for (text, rules) in [
        ("UPDATE reports SET a = 1;", vec!["unbatched-write"]),
        ("DELETE FROM ONLY public.reports;", vec!["unbatched-write"]),
        ("WITH old AS (SELECT 1) DELETE FROM reports;", vec!["unbatched-write"]),
        ("UPDATE reports SET a = 1 WHERE id = 2;", vec![]),
        ("ALTER TABLE reports ADD a int;\nUPDATE reports SET a = 1 WHERE id = 2;", vec!["write-under-lock"]),
        ("ALTER TABLE programs ADD a int; UPDATE reports SET a = 1 WHERE id = 2;", vec![]),
        ("-- no-transaction\nALTER TABLE reports ADD a int; UPDATE reports SET a = 1 WHERE id = 2;", vec![]),
        ("CREATE TABLE t (a int); UPDATE t SET a = 1; TRUNCATE t;", vec![]),
        ("CREATE TABLE IF NOT EXISTS s.t (a int); DELETE FROM s.t;", vec![]),
        ("SELECT 1 FROM t FOR UPDATE;", vec![]),
        ("CREATE FUNCTION f() RETURNS int AS $$ UPDATE reports SET a = 1 $$ LANGUAGE sql;", vec![]),
        ("TRUNCATE TABLE reports;", vec!["truncate"]),
        ("VACUUM (FULL) reports;", vec!["refused-in-a-transaction", "vacuum-full"]),
        ("-- no-transaction\nVACUUM reports;", vec![]),
        ("CREATE INDEX CONCURRENTLY i ON reports (a);", vec!["refused-in-a-transaction"]),
        ("DO $$ BEGIN LOOP EXIT; COMMIT; END LOOP; END $$;", vec!["refused-in-a-transaction"]),
        ("DO $$ BEGIN PERFORM 1; END $$;", vec![]),
        ("-- no-transaction\nCREATE INDEX CONCURRENTLY i ON reports (a);", vec![]),
        ("CLUSTER reports;", vec!["vacuum-full"]),
        ("LOCK TABLE reports;", vec!["lock-table"]),
        ("CREATE OR REPLACE TRIGGER t AFTER INSERT ON reports EXECUTE FUNCTION f();", vec!["create-trigger"]),
        ("CREATE TABLE t (a int); CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION f();", vec![]),
        ("CREATE RULE r AS ON INSERT TO reports DO NOTHING;", vec!["create-rule"]),
        ("ALTER TABLE reports ENABLE ROW LEVEL SECURITY;", vec!["row-level-security"]),
        ("ALTER TABLE reports SET UNLOGGED;", vec!["table-rewrite"]),
        ("REFRESH MATERIALIZED VIEW v;", vec!["refresh-without-concurrently"]),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY v;", vec![]),
        ("ALTER TYPE s ADD VALUE 'x'; INSERT INTO t VALUES ('x');", vec!["enum-value-in-its-transaction"]),
        ("ALTER TYPE s ADD VALUE 'x'; INSERT INTO t VALUES ('y');", vec![]),
    ] {
        let rules_found: Vec<String> = found(text).into_iter().map(|(_, rule)| rule).collect();
        assert_eq!(rules_found, rules, "{text}");
    }
}

#[test]
fn a_reason_accepts_what_is_found_in_the_statement_below_it_and_nothing_else() {
    let text = "-- accept truncate: nobody reads it since 1.4\nTRUNCATE a;\nTRUNCATE b;\n";
    assert_eq!(found(text), [(3, "truncate".to_owned())]);
    let verdict = verdict("x".to_owned(), &migration(text), Vec::new());
    assert_eq!(verdict.findings[0].accepted.as_deref(), Some("nobody reads it since 1.4"));
    assert!(!verdict.compatible, "b is still emptied");
    assert_eq!(
        found_beside(
            "-- accept ban-drop-column: unread since 1.4\nALTER TABLE a\n  DROP COLUMN b;",
            by_squawk(3, 2, "ban-drop-column")
        ),
        []
    );
}

#[test]
fn accepting_needs_a_reason_and_something_to_accept() {
    let without = |end: &str| found(&format!("-- accept truncate{end}\nTRUNCATE a;"));
    for end in ["", ":", ": "] {
        assert_eq!(without(end), [(2, "accept-without-reason".to_owned()), (2, "truncate".to_owned())], "{end:?}");
    }
    assert_eq!(found("-- accept truncate: why\nSELECT 1;"), [(2, "accept-without-finding".to_owned())]);
    let silenced = found("-- squawk-ignore ban-drop-column\nSELECT 1;");
    assert_eq!(silenced, [(1, "squawk-ignore".to_owned())], "squawk's own way asks for no reason");
}

#[test]
fn what_breaks_the_version_before_is_not_compatible_and_a_long_lock_is() {
    let is_compatible = |text: &str, rule: &str| {
        let found = if rule.is_empty() { Vec::new() } else { by_squawk(1, 0, rule) };
        verdict("x".to_owned(), &migration(text), found).compatible
    };
    assert!(is_compatible("SELECT 1;", ""));
    assert!(is_compatible("UPDATE reports SET a = 1;", ""));
    assert!(is_compatible("CREATE INDEX i ON t (a);", "require-concurrent-index-creation"));
    assert!(is_compatible("SELECT 1;", "a-rule-of-a-newer-squawk"));
    assert!(!is_compatible("TRUNCATE reports;", ""));
    for rule in ["ban-drop-column", "renaming-table", "adding-required-field", "ban-new-write-restriction"] {
        assert!(!is_compatible("SELECT 1;", rule), "{rule}");
    }
    assert!(is_compatible("-- accept truncate: empty since 1.2\nTRUNCATE reports;", ""));
}

#[test]
fn what_cannot_be_read_is_never_compatible_and_nobody_can_accept_it() {
    let text = "-- accept syntax-error: it works here\nSELEC 1;";
    let verdict = verdict("x".to_owned(), &migration(text), by_squawk(2, 0, "syntax-error"));
    assert!(!verdict.is_read() && !verdict.compatible);
    assert!(verdict.open().any(|finding| finding.rule == "syntax-error"));
}

#[test]
fn a_file_without_a_statement_is_found() {
    for text in ["", "-- later\n", ";;"] {
        assert_eq!(found(text), [(1, "empty".to_owned())], "{text:?}");
    }
}

#[test]
fn a_new_column_with_a_default_restricts_nobody() {
    let not_null = |text: &str, column: usize| found_beside(text, by_squawk(1, column, "ban-new-write-restriction"));
    let two = "ALTER TABLE t ADD a boolean NOT NULL DEFAULT false, ADD b boolean NOT NULL;";
    assert_eq!(not_null(two, two.find("NOT NULL").unwrap()), []);
    assert_eq!(not_null(two, two.rfind("NOT NULL").unwrap()).len(), 1, "the other column has no default");
    for restriction in ["CHECK (a > 0)", "UNIQUE", "REFERENCES other (id)"] {
        let text = format!("ALTER TABLE t ADD a int DEFAULT 1 {restriction};");
        assert_eq!(not_null(&text, text.find(restriction).unwrap()).len(), 1, "{restriction}");
    }
}

#[test]
fn every_rule_is_explained_once() {
    for (index, advice) in advice::ALL.iter().enumerate() {
        assert!(advice.effect.ends_with('.') && advice.instead.ends_with('.'), "{}", advice.rule);
        assert!(advice::ALL[index + 1..].iter().all(|other| other.rule != advice.rule), "{}", advice.rule);
    }
}

/// A checkout with squawk on PATH that answers like this.
fn linted(answer: crate::runner::Output) -> (Result<Vec<Verdict>>, Fixture) {
    let fixture = Fixture::new(&["squawk"]);
    fixture.runner.on("squawk", answer);
    let mut other = migration("-- no-transaction\nSELECT 1;");
    other.up = PathBuf::from("/m/20260102000000_y.up.sql");
    (lint(&fixture.context, &[migration("SELECT 1;"), other]), fixture)
}

#[test]
fn scripts_outside_of_a_transaction_are_linted_apart() {
    let report =
        r#"[{"file":"/m/20260102000000_y.up.sql","line":1,"column":0,"message":"m","help":"h","rule_name":"r"}]"#;
    let (verdicts, fixture) = linted(says(report));
    let verdicts = verdicts.unwrap();
    assert_eq!(verdicts.iter().map(|verdict| verdict.findings.len()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((verdicts[1].findings[0].line, verdicts[1].findings[0].effect.as_str()), (2, "m"));
    let asked = fixture.runner.asked();
    assert!(asked[0].contains("--assume-in-transaction /m/20260101000000_x.up.sql"), "{asked:?}");
    assert!(!asked[1].contains("--assume-in-transaction") && asked[1].ends_with("_y.up.sql"), "{asked:?}");
}

#[test]
fn a_linter_that_does_not_answer_is_an_error_and_not_a_clean_bill() {
    for answer in [fails(101, "panicked"), fails(1, "no such file"), says("")] {
        assert!(linted(answer).0.is_err());
    }
}

#[test]
fn without_migrations_nobody_is_asked() {
    let fixture = Fixture::new(&[]);
    assert_eq!(lint(&fixture.context, &[]).unwrap(), []);
    assert!(fixture.runner.asked().is_empty());
}

#[test]
fn a_dry_run_fetches_no_linter_and_says_so() {
    let mut fixture = Fixture::dry(&[]);
    fixture.write("infra/lint/squawk.txt", "squawk-cli==0.0.1\n");
    fixture.context.dry_run = true;
    let error = lint(&fixture.context, &[migration("SELECT 1;")]).unwrap_err();
    assert!(error.to_string().contains("a dry run fetches nothing"), "{error:#}");
    assert!(fixture.runner.asked().is_empty());
}
