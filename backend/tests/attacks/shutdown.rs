//! An end that takes too long, or hides what it cost.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sqlx::Executor;
use tokio::runtime::Runtime;

use crate::raw;
use crate::support::{Database, agent, serve, settings, until};

#[test]
fn a_query_that_does_not_end_holds_nothing_up_and_its_request_is_not_forgotten() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let serving = serve(&settings(&database, &[("SHUTDOWN_TIMEOUT", "1")]));
    let mut holder = runtime.block_on(database.connect());
    runtime.block_on(holder.execute("BEGIN; LOCK TABLE programs IN ACCESS EXCLUSIVE MODE")).unwrap();
    let url = serving.url("/api/v1/programs");
    let request = std::thread::spawn(move || agent().get(url).call().is_ok());
    until("the query waits", || {
        runtime.block_on(async {
            let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                           AND wait_event_type = 'Lock')";
            sqlx::query_scalar(waiting).fetch_one(&mut database.connect().await).await.unwrap()
        })
    });
    let begun = Instant::now();
    serving.signal("TERM");
    let (code, said) = serving.end();
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?} instead of 1 s: {said}", begun.elapsed());
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("cut off, because the time to finish was over requests=1"), "{said}");
    assert!(!request.join().unwrap());
}

#[test]
fn connections_without_a_request_are_no_reason_to_wait_or_to_complain() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let serving = serve(&settings(&database, &[]));
    let address = SocketAddr::from(([127, 0, 0, 1], serving.port));
    let silent = raw::connect(address);
    let mut idle = raw::connect(address);
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    std::io::Read::read_exact(&mut idle, &mut [0; 12]).unwrap();
    let mut other_protocol = raw::connect(address);
    other_protocol.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let begun = Instant::now();
    serving.signal("TERM");
    let (code, said) = serving.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}: {said}", begun.elapsed());
    drop((silent, idle, other_protocol));
}
