//! What cargo is asked, and what is made of what it says.

use super::*;

#[test]
fn progress_is_found_in_a_bar() {
    let bar = "    Building [=====>                  ] 45/289: serde_core, syn(build)";
    assert_eq!(progress(bar).as_deref(), Some("45 of 289, serde_core"));
    assert_eq!(progress("    Building [====>     ] 288/289: backend(bin)...").as_deref(), Some("288 of 289, backend"));
    assert_eq!(progress("   Compiling serde v1.0.229"), None);
    assert_eq!(progress("error: Building is hard"), None);
}

#[test]
fn errors_are_counted_once_and_the_first_place_is_told() {
    let message = |level: &str, text: &str, spans: &str| {
        format!(
            r#"{{"reason":"compiler-message","message":{{"level":"{level}","rendered":"{text}","spans":[{spans}]}}}}"#
        )
    };
    let span = |file: &str, line: u32, is_primary: bool| {
        format!(r#"{{"file_name":"{file}","line_start":{line},"is_primary":{is_primary}}}"#)
    };
    let mut diagnosis = Diagnosis::default();
    let spans = format!("{},{}", span("backend/src/a.rs", 1, false), span("backend/src/reports/routes.rs", 41, true));
    diagnosis.hear(&message("error", "error[E0308]: mismatched types", &spans));
    assert_eq!(diagnosis.summary(), "1 error in backend/src/reports/routes.rs:41");
    diagnosis.hear(&message("error", "error[E0308]: mismatched types", &spans));
    diagnosis.hear(&message("error", "error: other", &span("backend/src/b.rs", 2, true)));
    diagnosis.hear(&message("error", "error: aborting due to 2 previous errors", ""));
    diagnosis.hear(&message("warning", "warning: unused", &span("backend/src/b.rs", 3, true)));
    diagnosis.hear(&message("warning", "warning: 1 warning emitted", ""));
    diagnosis.hear(r#"{"reason":"build-finished","success":false}"#);
    diagnosis.hear("   Compiling backend v0.1.0");
    diagnosis.hear("error: could not compile `backend`");
    assert_eq!(diagnosis.summary(), "2 errors, the first in backend/src/reports/routes.rs:41");
    assert_eq!(diagnosis.warnings, ["warning: unused"]);
    assert_eq!(diagnosis.others, ["error: could not compile `backend`"]);
}

#[test]
fn an_error_inside_of_a_librarys_macro_is_told_where_the_macro_is_called() {
    let called = r#"{"file_name":"backend/src/programs/queries.rs","line_start":12,"is_primary":false}"#;
    let inside = format!(
        r#"{{"file_name":"/home/me/.cargo/registry/src/x/sqlx-macros/src/lib.rs","line_start":1,"is_primary":true,"expansion":{{"span":{called}}}}}"#
    );
    let mut diagnosis = Diagnosis::default();
    diagnosis
        .hear(&format!(r#"{{"message":{{"level":"error","rendered":"error: no such column","spans":[{inside}]}}}}"#));
    assert_eq!(diagnosis.summary(), "1 error in backend/src/programs/queries.rs:12");
}

#[test]
fn of_a_failed_build_only_what_matters_is_shown() {
    assert!(
        is_noise("\u{1b}[1m\u{1b}[32m   Compiling\u{1b}[0m serde v1.0.229".trim_start())
            || is_noise("   Compiling serde v1")
    );
    assert!(is_noise("    Building [=>   ] 1/2: x"));
    assert!(!is_noise("error[E0308]: mismatched types"));
    assert!(!is_noise("  --> src/main.rs:1:1"));
}

/// The words behind the program.
fn words(step: &Step) -> String {
    step.arguments().iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_command_is_what_a_person_would_type() {
    let root = Path::new("/p");
    let cases = [
        (build(root, "backend", false), "build --package backend --color never"),
        (build(root, "backend", true), "build --package backend --color always"),
        (clippy(root, false), "clippy --workspace --all-targets --locked --color never -- -D warnings"),
        (
            build_diagnosed(root, "backend", true),
            "build --package backend --locked --message-format=json-diagnostic-rendered-ansi",
        ),
        (build_diagnosed(root, "xtask", false), "build --package xtask --message-format=json-diagnostic-rendered-ansi"),
        (check_for(root, "t"), "check --package xtask --all-targets --locked --target t"),
        (format(root, false), "fmt --all --check"),
        (format(root, true), "fmt --all"),
        (deny(root, &["bans", "sources"]), "deny --all-features check bans sources"),
        (fetch_advisories(root), "deny fetch db"),
    ];
    for (step, expected) in cases {
        assert_eq!(words(&step), expected);
        assert_eq!(step.working_folder(), Some(root));
    }
    assert!(format(root, false).is_read_only() && !format(root, true).is_read_only());
    assert_eq!(format(root, true).hints(), [""; 0], "--fix advises no --fix");
}

#[test]
fn tests_are_run_by_whom_they_belong_to_with_nextest_or_without() {
    for (tests, with, without) in [
        (Tests::Backend, "nextest run --package backend", "test --package backend"),
        (Tests::Xtask, "nextest run --cargo-profile xtask --package xtask", "test --profile xtask --package xtask"),
        (
            Tests::Railway,
            "nextest run --cargo-profile xtask --package xtask --test railway --run-ignored all",
            "test --profile xtask --package xtask --test railway -- --ignored",
        ),
        (
            Tests::Terminal,
            "nextest run --cargo-profile xtask --package xtask --test terminal",
            "test --profile xtask --package xtask --test terminal",
        ),
        (Tests::Named, "nextest run", "test"),
    ] {
        let step = |with_nextest| test(Path::new("/p"), with_nextest, tests, &["name".to_owned()]);
        assert_eq!(words(&step(true)), format!("{with} name"));
        assert_eq!(words(&step(false)), format!("{without} name"));
    }
}

#[test]
fn the_database_that_queries_are_asked_of_is_not_shown() {
    let url = "postgres://u:hunter2@h/d";
    let step = describe_queries(Path::new("/p"), "backend", url, Path::new("/s"));
    let shown = step.to_string();
    assert!(shown.contains("SQLX_OFFLINE=false DATABASE_URL=*** SQLX_OFFLINE_DIR=/s"), "{shown}");
    assert!(step.secrets().any(|secret| secret == url));
}

#[test]
fn a_backend_in_a_container_is_checked_before_anything_that_serves_is_replaced() {
    let [sh, flag, script] = build_and_check_words(false).try_into().unwrap();
    assert_eq!((sh.as_str(), flag.as_str()), ("sh", "-c"));
    let expected = format!("cargo build --locked --package backend --bin {BINARY} && {BINARY} config --check");
    assert_eq!(script, expected);
    let with_watcher = build_and_check_words(true).pop().unwrap();
    assert!(
        with_watcher.starts_with("cargo build --locked --profile xtask --package xtask --bin xtask && cargo build")
    );
    assert!(with_watcher.ends_with(&script), "{with_watcher}");
}

#[test]
fn a_line_that_is_no_progress_is_none() {
    for line in [
        "",
        "Building",
        "Building [",
        "Building [=> ] ",
        "Building [=> ] 1",
        "Building [=> ] a/b: c",
        "Building [=> ] 1/: c",
        "Building [=> ] -1/2: c",
    ] {
        assert_eq!(progress(line), None, "{line}");
    }
    assert_eq!(progress("Building [=> ] 1/2").as_deref(), Some("1 of 2"));
    let waits = "    Blocking waiting for file lock on build directory";
    assert_eq!(progress(waits).as_deref(), Some("waits for another cargo to finish"));
}

#[test]
fn what_is_no_message_of_the_compiler_is_kept_and_changes_no_count() {
    let mut diagnosis = Diagnosis::default();
    assert_eq!(diagnosis.summary(), "0 errors");
    for line in [
        "",
        "{",
        "not JSON",
        r#"{"reason":"compiler-artifact"}"#,
        r#"{"message":null}"#,
        r#"{"message":{"level":"error","rendered":null}}"#,
        r#"{"message":{"level":"note","rendered":"note: x","spans":[]}}"#,
        r#"{"message":"a text"}"#,
    ] {
        diagnosis.hear(line);
    }
    assert_eq!(diagnosis.summary(), "0 errors");
    assert_eq!(diagnosis.others, ["{", "not JSON", r#"{"message":"a text"}"#]);
}

#[test]
fn an_error_without_a_place_counts_and_an_ice_is_one() {
    let mut diagnosis = Diagnosis::default();
    diagnosis.hear(r#"{"message":{"level":"error","rendered":"error: linking with `cc` failed"}}"#);
    assert_eq!(diagnosis.summary(), "1 error");
    diagnosis.hear(r#"{"message":{"level":"error: internal compiler error","rendered":"error: ICE","spans":[]}}"#);
    assert_eq!(diagnosis.summary(), "2 errors");
    let span = r#"{"file_name":"/abs/x.rs","line_start":7,"is_primary":true,"expansion":null}"#;
    diagnosis.hear(&format!(r#"{{"message":{{"level":"error","rendered":"error: x","spans":[{span}]}}}}"#));
    assert_eq!(diagnosis.summary(), "3 errors, the first in /abs/x.rs:7");
}
