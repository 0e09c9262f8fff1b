//! Connections that never end.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use backend::server::{self, Limits};
use tokio::runtime::Runtime;

use crate::raw;
use crate::support::{Server, until};

/// A server with a route that answers much, and short limits.
fn start(limits: Limits) -> (Runtime, SocketAddr) {
    let runtime = Runtime::new().unwrap();
    let router =
        Router::new().route("/small", get(|| async { "x" })).route("/large", get(|| async { vec![0_u8; 1 << 20] }));
    let address = runtime.block_on(async {
        let listener = server::listen(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server::serve(listener, router, limits, std::future::pending(), Duration::ZERO));
        address
    });
    (runtime, address)
}

#[test]
fn http_2_by_prior_knowledge_is_not_spoken() {
    let server = Server::start();
    let mut stream = raw::connect(server.url.strip_prefix("http://").unwrap().parse().unwrap());
    // The preface, and an empty SETTINGS frame (RFC 9113 §3.4).
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let begun = Instant::now();
    let answer = raw::rest(&mut stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "it stays open for nothing");
}

#[test]
fn clients_that_ask_and_never_read_are_cut_off() {
    let (_runtime, address) = start(Limits { write: Duration::from_millis(500), connections: 60, ..Limits::default() });
    let pipelined = "GET /large HTTP/1.1\r\nhost: x\r\n\r\n".repeat(50);
    let mut attackers: Vec<TcpStream> = (0..50).map(|_| raw::connect(address)).collect();
    for attacker in &mut attackers {
        attacker.write_all(pipelined.as_bytes()).unwrap();
    }
    for attacker in &mut attackers {
        until("it is cut off", || attacker.write(b"x").is_err());
        let answer = raw::rest(attacker);
        assert!(answer.len() < 49 << 20, "all of it was sent");
    }
}

#[test]
fn connections_without_a_request_make_room_for_others() {
    let limits = Limits { connections: 8, idle: raw::LONG, ..Limits::default() };
    let (_runtime, address) = start(limits);
    let idle: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = raw::connect(address);
            stream.write_all(b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            let mut first = [0; 12];
            std::io::Read::read_exact(&mut stream, &mut first).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    let answer = raw::exchange(address, b"GET /small HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(raw::status(&answer), 200);
    assert!(begun.elapsed() < Duration::from_secs(10), "it had to wait for {:?}", begun.elapsed());
    drop(idle);
}

#[test]
fn a_head_is_refused_before_it_takes_much_memory() {
    let (_runtime, address) = start(Limits::default());
    let request = format!("GET /small HTTP/1.1\r\nhost: x\r\nx-filler: {}\r\n\r\n", "x".repeat(100_000));
    let answer = raw::exchange(address, request.as_bytes());
    // The rest of what was sent is not read, which may cost the answer.
    assert!(answer.is_empty() || raw::status(&answer) == 431, "{answer:?}");
}

#[test]
fn long_heads_that_do_not_end_take_bounded_memory_and_keep_nobody_out() {
    let (_runtime, address) = start(Limits { long_heads: 100_000, head: raw::LONG, ..Limits::default() });
    let head = |filler: usize| format!("GET /small HTTP/1.1\r\nhost: x\r\nx-filler: {}", "x".repeat(filler));
    let mut attackers: Vec<TcpStream> = (0..20).map(|_| raw::connect(address)).collect();
    for attacker in &mut attackers {
        attacker.write_all(head(28_000).as_bytes()).unwrap();
    }
    // Each takes 20,000 bytes more than every head may.
    let mut ended = 0;
    for attacker in &mut attackers {
        attacker.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        ended += usize::from(!matches!(
            std::io::Read::read(attacker, &mut [0; 1]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        ));
    }
    assert!((15..20).contains(&ended), "{ended} of 20 were refused");
    let whole = |filler| format!("{}\r\nconnection: close\r\n\r\n", head(filler));
    assert_eq!(raw::status(&raw::exchange(address, whole(6_000).as_bytes())), 200, "short heads pass all the while");
    drop(attackers);
    // Whoever ends gives back the room, whether by an answer or without one.
    for _ in 0..20 {
        until("there is room again", || raw::exchange(address, whole(28_000).as_bytes()).starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_head_that_was_answered_gives_back_its_room_while_its_connection_stays() {
    let (_runtime, address) = start(Limits { long_heads: 25_000, ..Limits::default() });
    let mut stream = raw::connect(address);
    let head = format!("GET /small HTTP/1.1\r\nhost: x\r\nx-filler: {}\r\n\r\n", "x".repeat(28_000));
    for _ in 0..5 {
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nx") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}
