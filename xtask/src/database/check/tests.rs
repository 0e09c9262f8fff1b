//! What a trace means beside the lint's verdict.

use std::path::PathBuf;

use super::*;
use crate::database::lint::Finding;

const REWRITE: &str = "at 0\nlock\treports\tAccessExclusiveLock\nnew\treports\n";

fn migration(text: &str) -> Migration {
    Migration { version: 1, up: PathBuf::from("1_a.up.sql"), text: text.to_owned() }
}

fn verdict(rules: &[&str]) -> Verdict {
    let finding = |rule: &&str| Finding {
        file: "a".to_owned(),
        line: 1,
        rule: (*rule).to_owned(),
        effect: String::new(),
        instead: String::new(),
        compatible: true,
        accepted: None,
    };
    Verdict { file: "a".to_owned(), version: 1, compatible: true, findings: rules.iter().map(finding).collect() }
}

/// The report on a script of which the trace says this and the lint finds these rules, and the problems.
fn judged(text: &str, said: &str, rules: &[&str]) -> (Report, Vec<String>) {
    let (migration, problems) = (migration(text), Problems::default());
    let traced = trace::parse(&migration, said).unwrap();
    let report = judge("a".to_owned(), &migration, traced, Some(&verdict(rules)), &problems);
    (report, problems.all())
}

#[test]
fn what_the_lint_foresaw_is_no_problem_and_what_nobody_foresaw_is_one() {
    let (report, problems) = judged("ALTER TABLE reports ALTER a TYPE b;", REWRITE, &["changing-column-type"]);
    assert!(report.observations[0].foreseen && report.unconfirmed.is_empty() && problems.is_empty(), "{problems:?}");
    for rules in [&[][..], &["ban-drop-column"]] {
        let (report, problems) = judged("DO $$ BEGIN END $$;", REWRITE, rules);
        assert!(!report.observations[0].foreseen);
        assert_eq!(
            problems[0],
            "a:1: trace-rewrite: reports is written anew or emptied, and nobody can read or write it meanwhile, which \
             the lint does not see"
        );
        assert!(problems[1].contains("-- accept trace-rewrite: reason"), "{problems:?}");
    }
}

#[test]
fn a_reason_accepts_what_was_observed_and_nothing_else() {
    let accepted = "-- accept trace-rewrite: forty rows\nDO $$ BEGIN END $$;";
    let (report, problems) = judged(accepted, REWRITE, &[]);
    assert_eq!((report.observations[0].accepted.as_deref(), problems.len()), (Some("forty rows"), 0));
    let (_, problems) = judged("-- accept trace-rewrite:\nDO $$ BEGIN END $$;", REWRITE, &[]);
    assert!(problems[0].starts_with("a:2: trace-rewrite"), "a reason is missing: {problems:?}");
    let (_, problems) = judged(accepted, "at 0\n", &[]);
    assert!(problems[0].contains("trace-rewrite is accepted, and was not observed"), "{problems:?}");
    let (_, problems) = judged(accepted, "empty\tnotes\nat 0\nlock\tnotes\tShareLock\n", &[]);
    assert!(problems.is_empty(), "without rows nothing could be observed: {problems:?}");
}

#[test]
fn what_the_lint_expects_and_the_server_did_not_do_is_told_and_no_problem() {
    let said = "at 0\nlock\treports\tAccessExclusiveLock\n";
    let (report, problems) = judged("ALTER TABLE reports ALTER a TYPE text;", said, &["changing-column-type"]);
    assert!(problems.is_empty());
    assert!(
        report.unconfirmed[0].contains("changing-column-type") && report.unconfirmed[0].contains("did not do it here")
    );
    let (report, _) = judged("ALTER TABLE reports DROP a;", said, &["ban-drop-column"]);
    assert!(report.unconfirmed.is_empty(), "no trace can tell what the version before needs");
}

#[test]
fn without_a_linter_each_observation_is_told() {
    let (migration, problems) = (migration("TRUNCATE reports;"), Problems::default());
    let traced = trace::parse(&migration, REWRITE).unwrap();
    judge("a".to_owned(), &migration, traced, None, &problems);
    assert!(problems.all()[0].ends_with("meanwhile"), "{:?}", problems.all());
}
