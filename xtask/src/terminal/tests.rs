//! What is printed where, and what never is.

use serde_json::Value;

use super::*;

#[test]
fn a_secret_inside_a_longer_one_leaves_nothing_behind() {
    let terminal = Terminal::new(Color::Never, false);
    terminal.hide("hunter2");
    terminal.hide("postgres://app:hunter2@localhost/app");
    let line = "at postgres://app:hunter2@localhost/app with hunter2";
    assert_eq!(terminal.redact(line), "at *** with ***");
}

#[test]
fn a_short_secret_is_hidden_as_a_word_and_does_not_blot_out_others() {
    let terminal = Terminal::new(Color::Never, false);
    terminal.hide("ab1");
    assert_eq!(terminal.redact("PASSWORD=ab1 and ab1; cab12 ab1"), "PASSWORD=*** and ***; cab12 ***");
}

#[test]
fn a_secret_of_several_lines_is_hidden_line_by_line() {
    let terminal = Terminal::new(Color::Never, false);
    terminal.hide("-----BEGIN KEY-----\nMIIEvQIBADAN\n\n-----END KEY-----\n");
    assert_eq!(terminal.redact("read MIIEvQIBADAN"), "read ***");
    assert_eq!(terminal.redact("nothing"), "nothing");
}

/// A failure with everything that one can have.
fn failure() -> anyhow::Error {
    let failure = Failure::new(Exit::Unhealthy, "redis was not ready")
        .details(["the end of redis.log:", "| AUTH hunter2"])
        .hint("cargo xtask logs redis")
        .hint("--timeout SECONDS")
        .command("REDISCLI_AUTH=*** redis-cli -a hunter2");
    anyhow::Error::from(failure).context("cannot start the stack")
}

/// A terminal that knows a secret.
fn terminal() -> Terminal {
    let terminal = Terminal::kept();
    terminal.hide("hunter2");
    terminal
}

#[test]
fn a_failure_tells_what_the_evidence_what_to_do_and_the_command_in_this_order_without_secrets() {
    let terminal = terminal();
    terminal.failure(&failure());
    let said = "error: cannot start the stack: redis was not ready\n  the end of redis.log:\n  | AUTH ***\n\
                next: cargo xtask logs redis\n  or: --timeout SECONDS\ncommand: REDISCLI_AUTH=*** redis-cli -a ***\n";
    assert_eq!(terminal.printed(), (String::new(), said.to_owned()));
}

#[test]
fn an_error_of_any_other_kind_is_told_with_its_causes() {
    let terminal = terminal();
    terminal.failure(&anyhow::anyhow!("no such file: hunter2").context("cannot read x"));
    assert_eq!(terminal.printed().1, "error: cannot read x: no such file: ***\n");
}

#[test]
fn what_a_child_has_told_is_not_told_again() {
    let terminal = terminal();
    let error = Failure::passed_through(3).into();
    terminal.failure(&error);
    terminal.json_failure(&error);
    assert_eq!(terminal.printed(), (String::new(), String::new()));
}

#[test]
fn a_failure_as_json_is_one_line_on_stdout_without_secrets() {
    let terminal = terminal();
    terminal.json_failure(&failure());
    let (out, err) = terminal.printed();
    assert_eq!((out.lines().count(), err.as_str()), (1, ""));
    let document: Value = serde_json::from_str(&out).unwrap();
    let error = &document["error"];
    assert_eq!(document["schema_version"], 1);
    assert_eq!(error["message"], "cannot start the stack: redis was not ready");
    assert_eq!(error["exit_code"], 4);
    assert_eq!(error["details"][1], "| AUTH ***");
    assert_eq!(error["hints"][0], "cargo xtask logs redis");
    let other = terminal_with(&|terminal| terminal.json_failure(&anyhow::anyhow!("odd"))).0;
    let document: Value = serde_json::from_str(&other).unwrap();
    assert_eq!(document["error"]["exit_code"], 1);
    assert_eq!(document["error"]["hints"], Value::Array(Vec::new()));
}

/// What is printed.
fn terminal_with(print: &dyn Fn(&Terminal)) -> (String, String) {
    let terminal = terminal();
    print(&terminal);
    terminal.printed()
}

#[test]
fn whoever_has_a_document_gets_no_second_one() {
    let documents: [&dyn Fn(&Terminal); 3] = [
        &|terminal| terminal.json(&serde_json::json!({ "ok": false })).unwrap(),
        &|terminal| terminal.reveal_json(&serde_json::json!({ "ok": false })).unwrap(),
        &|terminal| terminal.relay_data("{\"of\":\"a child\"}\n").unwrap(),
    ];
    for print in documents {
        let (out, _) = terminal_with(&|terminal| {
            print(terminal);
            terminal.json_failure(&failure());
        });
        assert!(!out.contains("error"), "{out}");
        serde_json::from_str::<Value>(&out).unwrap();
    }
    // A line of a stream is no document that ends it.
    let (out, _) = terminal_with(&|terminal| {
        terminal.json_line(&serde_json::json!({ "line": 1 })).unwrap();
        terminal.json_failure(&failure());
    });
    assert_eq!(out.lines().count(), 2);
}

#[test]
fn data_goes_to_stdout_all_else_to_stderr_and_secrets_nowhere_but_where_they_were_asked_for() {
    let (out, err) = terminal_with(&|terminal| {
        terminal.data("data hunter2").unwrap();
        terminal.reveal("revealed hunter2").unwrap();
        terminal.relay_data("relayed hunter2\r").unwrap();
        terminal.note("note hunter2");
        terminal.warn("careful, hunter2");
        terminal.relay_note("child hunter2\n");
        terminal.verbose("not asked for");
    });
    assert_eq!(out, "data ***\nrevealed hunter2\nrelayed ***\r");
    assert_eq!(err, "note ***\nwarning: careful, ***\nchild ***\n");
}

#[test]
fn secrets_in_json_are_hidden_in_each_of_its_forms() {
    let document = serde_json::json!({ "password": "hunter2" });
    let (out, _) = terminal_with(&|terminal| {
        terminal.json(&document).unwrap();
        terminal.json_line(&document).unwrap();
    });
    assert_eq!(out, "{\n  \"password\": \"***\"\n}\n{\"password\":\"***\"}\n");
    let (out, _) = terminal_with(&|terminal| terminal.reveal_json(&document).unwrap());
    assert!(out.contains("hunter2"), "{out}");
}

#[test]
fn nothing_is_hidden_where_a_secret_is_empty() {
    let terminal = Terminal::kept();
    for secret in ["", "\n", "  \n\t"] {
        terminal.hide(secret);
    }
    assert_eq!(terminal.redact("a  b\n"), "a  b\n");
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure_and_a_full_disk_is() {
    let failure = closed_stdout(io::ErrorKind::BrokenPipe.into()).downcast::<Failure>().unwrap();
    assert!(failure.is_silent() && failure.code() == 0);
    let error = closed_stdout(io::ErrorKind::StorageFull.into());
    assert_eq!((error.to_string().as_str(), exit_code(&error)), ("cannot write to stdout", 1));
}

#[test]
fn where_nobody_can_answer_the_question_is_refused_with_the_flag() {
    // Somebody who runs the tests by hand could answer.
    if Terminal::has_input() {
        return;
    }
    let terminal = Terminal::kept();
    let failure = terminal.confirm("Remove all?", "--yes").unwrap_err().downcast::<Failure>().unwrap();
    assert_eq!((failure.code(), failure.hints()), (Exit::Refused as u8, &["add --yes if you mean it".to_owned()][..]));
    assert_eq!(terminal.printed().1, "", "nothing is asked");
}
