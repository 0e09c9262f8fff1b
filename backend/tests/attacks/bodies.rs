//! Bodies that cost more than they should: to check, to answer, to keep.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Runtime;

use crate::raw;
use crate::support::{Database, Server, admin_token, serve, settings, until};

fn address(server: &Server) -> SocketAddr {
    server.url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Nearly a megabyte, which is what the route takes.
fn program_with(token: &str, assets: impl Iterator<Item = String>) -> Vec<u8> {
    let assets: Vec<_> = assets.map(|identifier| json!({ "identifier": identifier, "kind": "web" })).collect();
    let body = json!({ "slug": "acme", "name": "Acme", "summary": "x", "assets": assets }).to_string();
    assert!((900_000..1_048_576).contains(&body.len()), "{}", body.len());
    let mut request = raw::post("/api/v1/programs", token, body.len()).into_bytes();
    request.extend_from_slice(body.as_bytes());
    request
}

#[test]
fn a_list_of_thousands_is_refused_without_keeping_others_waiting() {
    let server = Server::start();
    let token = server.user("attacker", "triager").access_token;
    let request = program_with(&token, (0..25_000).map(|number| format!("{number:06}")));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..4).map(|_| scope.spawn(|| raw::exchange(address(&server), &request))).collect();
        let bystander = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(server.get("/health/live").status, 200);
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
        for attacker in attackers {
            let answer = attacker.join().unwrap();
            assert_eq!(raw::status(&answer), 422, "{answer}");
            assert!(answer.contains(r##""pointer":"#/assets","detail":"must be at most 100""##), "{answer}");
        }
        is_over.store(true, Ordering::Relaxed);
        let slowest = bystander.join().unwrap();
        // Not optimised, and on a machine with other work; it was over two seconds when it was optimised.
        assert!(slowest < Duration::from_secs(1), "somebody else had to wait for {slowest:?}");
    });
}

#[test]
fn an_answer_is_short_however_much_is_wrong() {
    let server = Server::start();
    let token = server.user("attacker", "triager").access_token;
    let answer = raw::exchange(address(&server), &program_with(&token, (0..30_000).map(|_| String::new())));
    assert_eq!(raw::status(&answer), 422);
    assert!(answer.len() < 2000, "{} bytes", answer.len());

    let hundred: Vec<_> = (0..100).map(|_| json!({ "identifier": "", "kind": 1, "x": 1 })).collect();
    let answer = server.post("/api/v1/programs", &json!({ "slug": "acme", "name": "x", "assets": hundred }));
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 32);
    assert_eq!(answer.body["more_errors"], 301 - 32, "three for each asset, and the missing summary");

    let body = json!({ "k".repeat(1_000_000): 1 }).to_string();
    let mut request = raw::post("/api/v1/programs", &token, body.len()).into_bytes();
    request.extend_from_slice(body.as_bytes());
    let answer = raw::exchange(address(&server), &request);
    assert_eq!(raw::status(&answer), 422);
    assert!(answer.len() < 2000, "{} bytes", answer.len());
}

#[test]
fn half_sent_bodies_take_bounded_memory_and_keep_nobody_out() {
    let runtime = Runtime::new().unwrap();
    let database = Database::migrated(&runtime);
    let settings = settings(&database, &[]);
    let token = admin_token(&runtime, &database, &settings);
    let serving = serve(&settings);
    let address = SocketAddr::from(([127, 0, 0, 1], serving.port));
    let before = serving.memory();
    let part = [raw::post("/api/v1/programs", &token, 1_000_000).into_bytes(), vec![b' '; 900_000]].concat();
    let mut attackers = Vec::new();
    for _ in 0..400 {
        let mut stream = raw::connect(address);
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        // What is refused is not read any more.
        stream.write_all(&part).ok();
        attackers.push(stream);
    }
    let grown = serving.memory().saturating_sub(before);
    assert!(grown < 100, "{grown} MB for 400 half-sent bodies");
    let small = json!({ "slug": "no" }).to_string();
    let answer = raw::exchange(
        address,
        &[raw::post("/api/v1/programs", &token, small.len()).as_bytes(), small.as_bytes()].concat(),
    );
    assert_eq!(raw::status(&answer), 422, "small bodies pass all the while: {answer}");
    // Those that were let in still wait for the rest; the others were refused at once.
    let refused = attackers.iter_mut().map(is_refused).filter(|is_refused| *is_refused).count();
    assert!((300..400).contains(&refused), "{refused} of 400 were refused");
    drop(attackers);
    let large = part.len();
    until("there is room again", || {
        let body = vec![b' '; large];
        let request = [raw::post("/api/v1/programs", &token, large).into_bytes(), body].concat();
        raw::status(&raw::exchange(address, &request)) == 400
    });
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

/// Whether there is an answer already, which can only be that there is no room.
fn is_refused(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut answer = [0; 12];
    // One that was cut off while it was still sending may have lost its answer.
    match stream.read(&mut answer) {
        Ok(12) => answer == *b"HTTP/1.1 503",
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
