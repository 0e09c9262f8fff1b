//! What the backend's program is asked, and what its health means.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

fn environment() -> Vec<Variable> {
    vec![
        Variable::declared("DATABASE_URL", "postgres://u:hunter2@h/d"),
        Variable::declared("PORT", "3000"),
        Variable::secret("EXTRA", "hunter3"),
        Variable::plain("HOST", "::"),
    ]
}

#[test]
fn a_variable_is_as_secret_as_it_was_declared() {
    let shown = serve(Path::new("/b/app"), &environment(), Path::new("/p")).to_string();
    let variables = "DATABASE_URL=*** PORT=3000 EXTRA=*** HOST=:: RUST_BACKTRACE=1";
    assert_eq!(shown, format!("cd /p && env -i PATH=\"$PATH\" {variables} /b/app serve"));
}

#[test]
fn how_far_a_seed_is_stands_in_its_lines() {
    let told = |line: &str| seed_progress(line);
    assert_eq!(told("INFO backend::cli: sent 50000 of 100000 reports").as_deref(), Some("50000 of 100000 reports"));
    for other in ["", "sent", "sent 5 of many reports", "added 5 programs and 10 reports", "sent 5 of 6 letters"] {
        assert_eq!(told(other), None, "{other}");
    }
}

#[test]
fn each_command_is_the_programs_own_and_only_questions_only_read() {
    let program = Program::with(Path::new("app"), &[]);
    let timeout = Duration::from_secs(7);
    let drafts = ["1".to_owned(), "2".to_owned()];
    let cases = [
        (program.check_settings(), "config --check", true),
        (program.settings_problems(), "config --check --json", true),
        (program.migrate(timeout, &[]), "migrate run", false),
        (program.migrate(timeout, &drafts), "migrate run --draft 1 --draft 2", false),
        (program.redo_migration(timeout), "migrate redo", false),
        (program.migration_status(false), "migrate status", true),
        (program.migration_status(true), "migrate status --json", true),
        (program.revert_migrations(timeout, None), "migrate revert", false),
        (program.revert_migrations(timeout, Some(0)), "migrate revert --to 0", false),
        (program.altered_migrations(), "migrate altered", true),
        (program.bless_migration(7, "ab"), "migrate bless 7 --checksum ab", false),
        (program.seed(), "seed", false),
        (program.seed_with_reports(1000), "seed --reports 1000", false),
        (program.smoke("http://h", false), "smoke --url http://h", false),
        (program.smoke("http://h", true), "smoke --url http://h --json", false),
        (declaration(Path::new("app")), "config --json", true),
    ];
    for (step, words, only_reads) in cases {
        assert!(step.to_string().ends_with(&format!(" app {words}")), "{step}");
        assert_eq!(step.is_read_only(), only_reads, "{words}");
        assert!(step.is_isolated(), "{words}");
    }
    assert_eq!(program.migrate(timeout, &[]).time(), Some(timeout));
}

#[test]
fn the_programs_exit_codes_mean_the_same_as_ours() {
    let step = Program::with(Path::new("app"), &[]).migrate(Duration::from_secs(1), &[]);
    for (code, exit) in EXIT_CODES {
        assert_eq!(step.exit_when_failed(Some(*code)), *exit);
        assert_eq!(i32::from(*exit as u8), *code);
    }
    for code in [Some(1), Some(101), None] {
        assert_eq!(step.exit_when_failed(code), Exit::Failed, "{code:?}");
    }
}

/// A server that gives one answer.
fn answering(status: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 1024]).unwrap();
        client.write_all(answer.as_bytes()).unwrap();
    });
    address
}

#[test]
fn only_a_backend_that_says_it_is_well_is_healthy() {
    let well = r#"{"status":"ok","commit":"abc","version":"0.1.0","more":[1]}"#;
    let found = health(answering("200 OK", well), "/health").unwrap();
    assert_eq!((found.commit.as_str(), found.version.as_str()), ("abc", "0.1.0"));
    let ill = r#"{"status":"database is away","commit":"abc","version":"0.1.0"}"#;
    for (status, body, told) in [
        ("503 Service Unavailable", ill, "/health is 503: database is away"),
        ("200 OK", "", "/health is 200 and not from this backend"),
        ("200 OK", r#"{"status":"ok"}"#, "/health is 200 and not from this backend"),
        ("200 OK", &well[..20], "/health is 200 and not from this backend"),
        ("404 Not Found", "<html>", "/health is 404 and not from this backend"),
        ("302 Found", "", "/health is 302 and not from this backend"),
    ] {
        assert_eq!(health(answering(status, body), "/health").unwrap_err(), told);
    }
}

#[test]
fn a_port_on_which_nobody_listens_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(health(address, "/health").unwrap_err(), "nothing listens there");
}
