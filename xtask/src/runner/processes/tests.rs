//! Real processes: how they end, what they say, and what they are given.

use std::cell::RefCell;

use super::*;
use crate::terminal::Color;

fn processes() -> Processes {
    Processes::new(Arc::new(Terminal::new(Color::Never, false)), CancelToken::never(), false)
}

fn shell(script: &str) -> Step {
    Step::new("test", "sh").arg("-c").arg(script)
}

#[test]
fn what_was_asked_is_given_back_however_it_ended() {
    let output = processes().read(&shell("echo out; echo err >&2; exit 3")).unwrap();
    assert_eq!(output, Output { code: Some(3), stdout: "out\n".to_owned(), stderr: "err\n".to_owned() });
}

#[test]
fn a_question_has_a_timeout() {
    let step = shell("sleep 60").timeout(Duration::from_millis(100));
    let error = processes().read(&step).unwrap_err();
    assert_eq!(crate::failure::exit_code(&error), Exit::Unhealthy as u8);
}

#[test]
fn a_failed_step_shows_the_command_what_it_said_and_the_hint() {
    let step = shell("echo why; exit 7").hint("do better");
    let error = processes().run(&step, &CancelToken::never(), &|_, _| ()).unwrap_err();
    let failure = error.downcast_ref::<Failure>().unwrap();
    assert_eq!(failure.to_string(), "cannot test: sh failed with exit code 7");
    assert_eq!(failure.evidence(), ["why"]);
    assert_eq!(failure.failed_command(), Some("sh -c 'echo why; exit 7'"));
    assert_eq!(failure.hints(), ["do better"]);
}

#[test]
fn a_cancelled_step_ends_with_its_whole_group() {
    let cancel = CancelToken::never();
    let step = shell("sleep 60 & echo $!; wait");
    let child = RefCell::new(None);
    let error = processes()
        .run(&step, &cancel, &|_, line| {
            *child.borrow_mut() = line.trim().parse::<u32>().ok();
            cancel.cancel();
        })
        .unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
    let child = child.into_inner().unwrap();
    let gone = wait::until(RECORD_TIMEOUT, &CancelToken::never(), || {
        Ok(if process::is_running(child) { Poll::Pending(String::new()) } else { Poll::Ready(()) })
    });
    assert!(matches!(gone.unwrap(), Waited::Done(())));
}

#[test]
fn a_question_can_be_cancelled() {
    let cancel = CancelToken::never();
    let runner = Processes::new(Arc::new(Terminal::new(Color::Never, false)), cancel.clone(), false);
    cancel.cancel();
    let error = runner.read(&shell("sleep 60")).unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
    assert!(runner.without_cancel().read(&shell("true")).unwrap().is_success());
}

#[test]
fn output_without_a_pause_keeps_neither_the_timeout_nor_ctrl_c_from_ending_it() {
    let endless = || shell("while :; do echo x; done");
    let error = processes().run(&endless().timeout(Duration::from_millis(200)), &CancelToken::never(), &|_, _| ());
    assert_eq!(crate::failure::exit_code(&error.unwrap_err()), Exit::Unhealthy as u8);
    let cancel = CancelToken::never();
    let error = processes().run(&endless(), &cancel, &|_, _| cancel.cancel()).unwrap_err();
    assert!(error.to_string().contains("stopped"), "{error}");
}

#[test]
fn stdout_and_stderr_are_told_apart() {
    let heard = RefCell::new(Vec::new());
    let step = shell("echo one; echo two >&2");
    processes()
        .run(&step, &CancelToken::never(), &|stream, line| heard.borrow_mut().push((stream, line.to_owned())))
        .unwrap();
    let heard = heard.into_inner();
    assert!(heard.contains(&(Stream::Out, "one".to_owned())), "{heard:?}");
    assert!(heard.contains(&(Stream::Err, "two".to_owned())), "{heard:?}");
}

#[test]
fn only_a_program_that_takes_our_place_may_have_the_terminal() {
    let step = shell("cat").stdin(crate::step::Stdin::Terminal);
    assert!(processes().read(&step).is_err());
    assert!(processes().run(&step, &CancelToken::never(), &|_, _| ()).is_err());
    assert!(processes().forward(&step, &CancelToken::never()).is_err());
}

#[test]
fn a_program_that_is_not_there_is_a_missing_prerequisite() {
    let error = processes().read(&Step::new("try", "no-such-program")).unwrap_err();
    assert_eq!(crate::failure::exit_code(&error), Exit::Missing as u8);
    assert_eq!(error.to_string(), "cannot try: no-such-program is not installed, or not on PATH");
}

#[test]
fn each_exit_code_of_a_program_has_its_own_meaning() {
    let step = |code: u32| shell(&format!("exit {code}")).exit_codes(&[(5, Exit::Migrations)]);
    let code = |code| {
        let error = processes().run(&step(code), &CancelToken::never(), &|_, _| ()).unwrap_err();
        crate::failure::exit_code(&error)
    };
    assert_eq!((code(5), code(7)), (5, 1));
}

#[test]
fn what_is_left_in_the_background_does_not_hold_us_up() {
    let output = processes().read(&shell("echo done; sleep 60 &").timeout(Duration::from_secs(30))).unwrap();
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "done\n"));
}

#[test]
fn an_isolated_step_sees_nothing_of_our_environment_but_the_basics() {
    let output = processes().read(&Step::new("test", "env").isolated().env("MINE", "1")).unwrap();
    let names: Vec<&str> = output.stdout.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(names.contains(&"MINE") && names.contains(&"PATH"), "{names:?}");
    assert!(names.iter().all(|name| *name == "MINE" || environment::is_basic(name)), "{names:?}");
}

#[test]
fn what_cargo_says_about_xtask_is_not_passed_on() {
    let output = processes().read(&Step::new("test", "env")).unwrap();
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some(), "this test is run by cargo");
    assert!(!output.stdout.contains("CARGO_PKG_NAME"), "{}", output.stdout);
}

#[test]
fn a_dry_run_cannot_change_anything() {
    let dry = Processes::new(Arc::new(Terminal::new(Color::Never, false)), CancelToken::never(), true);
    assert!(dry.run(&shell("true"), &CancelToken::never(), &|_, _| ()).is_err());
    assert!(dry.read(&shell("true").only_reads()).is_ok());
}

/// A runner that prints to a terminal that keeps it.
fn printing(is_verbose: bool) -> (Processes, Arc<Terminal>) {
    let terminal = Arc::new(if is_verbose { Terminal::kept_verbose() } else { Terminal::kept() });
    (Processes::new(Arc::clone(&terminal), CancelToken::never(), false), terminal)
}

#[test]
fn what_is_passed_on_keeps_its_stream_its_line_ends_and_no_secret() {
    let (runner, terminal) = printing(false);
    let step = shell("echo out $SECRET; echo err $SECRET >&2; printf 'no end'; exit 7").secret_env("SECRET", "hunter2");
    assert_eq!(runner.forward(&step, &CancelToken::never()).unwrap(), 7);
    assert_eq!(terminal.printed(), ("out ***\nno end".to_owned(), "err ***\n".to_owned()));
}

#[test]
fn a_program_that_a_signal_ends_passes_on_the_code_that_a_shell_would_give() {
    let (runner, _) = printing(false);
    assert_eq!(runner.forward(&shell("kill -TERM $$"), &CancelToken::never()).unwrap(), 143);
    let output = runner.read(&shell("kill -KILL $$")).unwrap();
    assert_eq!((output.code, output.is_success()), (None, false));
    let error = runner.run(&shell("kill -KILL $$"), &CancelToken::never(), &|_, _| ()).unwrap_err();
    assert_eq!(error.to_string(), "cannot test: sh was ended by a signal");
}

#[test]
fn each_command_is_shown_to_whoever_wants_to_know_and_its_secrets_to_nobody() {
    let (runner, terminal) = printing(true);
    runner.read(&shell("true").secret_env("SECRET", "hunter2").arg("hunter2")).unwrap();
    assert_eq!(terminal.printed().1, "$ SECRET=*** sh -c true ***\n");
}

#[test]
fn a_text_is_fed_whole_and_without_one_there_is_nothing_to_read() {
    let long = "x".repeat(200_000);
    let step = shell("wc -c").stdin(crate::step::Stdin::Text(long));
    assert_eq!(processes().read(&step).unwrap().stdout.trim(), "200000");
    assert_eq!(processes().read(&shell("cat")).unwrap().stdout, "");
}

#[test]
fn a_step_runs_in_its_folder_and_one_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let said = processes().read(&shell("pwd").folder(&path)).unwrap().stdout;
    assert_eq!(Path::new(said.trim()), path);
    assert!(processes().read(&shell("pwd").folder(path.join("none"))).is_err());
    let error = processes().read(&Step::new("try", path.join("none"))).unwrap_err();
    assert!(error.to_string().starts_with("cannot try: cannot run "), "{error}");
}

#[test]
fn output_that_is_no_text_is_read_all_the_same() {
    let output = processes().read(&shell(r"printf 'a\377b\n'")).unwrap();
    assert_eq!(output.stdout, "a\u{fffd}b\n");
}

#[test]
fn a_program_is_found_where_it_is_and_not_where_it_is_not() {
    assert!(processes().find("sh").unwrap().is_absolute());
    assert_eq!(processes().find("no-such-program"), None);
}
