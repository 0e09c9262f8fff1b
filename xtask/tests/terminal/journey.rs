//! Every task that starts something, at a terminal.

use std::path::PathBuf;
use std::process::Command;

use crate::session::Session;
use crate::support::Checkout;

/// Where the tasks are run.
enum Place {
    /// In a checkout of the test's own, on the host engine.
    Own(Checkout),
    /// In a clone, by `cargo xtask`.
    Clone(PathBuf),
}

impl Place {
    fn command(&self, words: &[&str]) -> Command {
        match self {
            Self::Own(checkout) => checkout.command(words),
            Self::Clone(folder) => {
                #[expect(clippy::disallowed_methods, reason = "the tests start the program as a user does")]
                let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                command.arg("xtask").args(words).current_dir(folder);
                if let Some(target) = std::env::var_os("TERMINAL_TARGET") {
                    command.env("CARGO_TARGET_DIR", target);
                }
                command
            }
        }
    }
}

#[test]
fn every_task_works_at_a_terminal_at_80_and_at_40_columns() {
    let place = match std::env::var_os("TERMINAL_CHECKOUT") {
        Some(folder) => Place::Clone(folder.into()),
        None => Place::Own(Checkout::new()),
    };
    let how = std::env::var("TERMINAL_UP").unwrap_or_default();
    let up: Vec<&str> = std::iter::once("up").chain(how.split_whitespace()).collect();
    for columns in [80, 40] {
        let start = |words: &[&str]| Session::start(&place.command(words), columns);
        let mut session = start(&up);
        session.wait_for("is up");
        session.end(0);
        looks_and_changes(&start);
        exec_and_shell(&start);
        interrupted(&start);
        questions(&start);
    }
    for columns in [40, 80] {
        let start = |words: &[&str]| Session::start(&place.command(words), columns);
        let mut session = start(&["clean"]);
        session.wait_for("[y/N]");
        session.send("y\r");
        session.wait_for("migrates from nothing");
        session.end(0);
        let mut session = start(&["status"]);
        session.wait_for("is down");
        session.end(0);
        if columns == 40 {
            start(&[&up[..], &["redis"]].concat()).end(0);
        }
    }
}

/// Tasks that run something beside the stack, which may not have the terminal.
fn looks_and_changes(start: &dyn Fn(&[&str]) -> Session) {
    let mut session = start(&["smoke"]);
    session.wait_for("pages");
    session.end(0);
    let mut session = start(&["migrate", "status"]);
    session.wait_for("applied");
    session.end(0);
    let mut session = start(&["migrate"]);
    session.wait_for("nothing to apply");
    session.end(0);
    start(&["seed"]).end(0);
    let mut session = start(&["status"]);
    session.wait_for("is up");
    session.end(0);
}

/// Tasks that hand the terminal over.
fn exec_and_shell(start: &dyn Fn(&[&str]) -> Session) {
    let mut session = start(&["exec", "backend", "--", "thunder", "migrate", "status"]);
    session.wait_for("applied");
    session.end(0);
    let mut session = start(&["exec", "postgres", "--", "sh", "-c", "read line; echo \"got $line\"; exit 7"]);
    session.send("a word\r");
    session.wait_for("got a word");
    session.end(7);
    let mut session = start(&["shell", "postgres"]);
    session.wait_for("thunder=");
    session.send("SELECT 6 * 7 AS answer;\r");
    session.wait_for("42");
    session.wait_for("thunder=");
    session.send("\\q\r");
    session.end(0);
    let mut session = start(&["shell", "redis"]);
    session.wait_for(">");
    session.send("ping\r");
    session.wait_for("PONG");
    session.send("exit\r");
    session.end(0);
    let mut session = start(&["shell", "backend"]);
    session.send("echo \"port=$PORT\"; exit 3\r");
    session.wait_for("port=");
    session.wait_for("port=");
    session.end(3);
}

/// Tasks that go on until Ctrl-C, and leave without a word.
fn interrupted(start: &dyn Fn(&[&str]) -> Session) {
    let mut session = start(&["logs", "--follow", "-n", "5"]);
    session.wait_for("backend");
    session.interrupt();
    let said = session.end(130);
    assert!(!said.contains("interrupted") && !said.contains("error"), "{said}");

    let mut session = start(&["watch"]);
    session.wait_for("Ctrl-C leaves the stack running");
    session.interrupt();
    let said = session.end(130);
    assert!(!said.contains("interrupted") && !said.contains("error"), "{said}");
    let mut session = start(&["status"]);
    session.wait_for("is up");
    session.end(0);
}

/// A question that is answered with no, and one that is not answered.
fn questions(start: &dyn Fn(&[&str]) -> Session) {
    let mut session = start(&["clean"]);
    session.wait_for("[y/N]");
    session.send("n\r");
    session.wait_for("nothing was changed");
    session.end(9);
    let mut session = start(&["clean"]);
    session.wait_for("[y/N]");
    session.interrupt();
    let said = session.end(130);
    assert!(!said.contains("ending what this task has begun"), "{said}");
    let mut session = start(&["status"]);
    session.wait_for("is up");
    session.end(0);
}
