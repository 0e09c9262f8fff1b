//! Logs that cannot be written: nobody reads them, nobody is there any more, or the disk is full.

use std::fs::OpenOptions;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::support::process::free_port;
use crate::support::{Database, Serving, agent, settings, thunder, until};

/// A server whose stdout and stderr are both there.
fn serve_to(database: &Database, out: impl Into<Stdio>, err: impl Into<Stdio>) -> Serving {
    let port = free_port();
    let changes = [("PORT", port.to_string()), ("LOG_LEVEL", "trace".to_owned()), ("SHUTDOWN_TIMEOUT", "3".to_owned())];
    let changes: Vec<(&str, &str)> = changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let child: Child = thunder(&["serve"], &settings(database, &changes)).stdout(out).stderr(err).spawn().unwrap();
    let serving = Serving { child, port, lines: std::sync::mpsc::channel().1 };
    until("it serves", || agent().get(serving.url("/health/live")).call().is_ok());
    serving
}

/// Requests that each log several lines, and an end within its limit.
fn goes_on(serving: Serving, requests: usize) {
    let agent = agent();
    for number in 0..requests {
        let path = ["/api/v1/programs?limit=1", "/nowhere"][number % 2];
        let answer = agent.get(serving.url(path)).call().expect("an answer, whatever becomes of the logs");
        assert_eq!(answer.status(), [200, 404][number % 2]);
    }
    let begun = Instant::now();
    serving.signal("TERM");
    let (code, _) = serving.end();
    assert_eq!(code, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "the end waits for nobody to read");
}

#[test]
fn a_reader_that_is_gone_takes_nothing_along() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let (reader, writer) = std::io::pipe().unwrap();
    let serving = serve_to(&database, writer.try_clone().unwrap(), writer);
    drop(reader);
    goes_on(serving, 200);
}

#[test]
fn a_reader_that_does_not_read_stops_nothing() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let (reader, writer) = std::io::pipe().unwrap();
    let serving = serve_to(&database, writer.try_clone().unwrap(), writer);
    // Several times what a pipe holds.
    goes_on(serving, 500);
    drop(reader);
}

#[test]
fn a_disk_that_is_full_stops_nothing() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    goes_on(serve_to(&database, full(), full()), 200);
}
