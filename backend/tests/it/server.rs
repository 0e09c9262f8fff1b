//! The accept loop: what a connection may cost, and how it ends.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use backend::server::{End, Limits, listen, serve};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Longer than any of the limits here, shorter than anybody's patience.
const LONG: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    end: Option<JoinHandle<End>>,
    /// Tells when a request has reached the slow route, and lets it go on.
    arrived: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
    runtime: Runtime,
}

fn limits() -> Limits {
    Limits {
        head: Duration::from_millis(300),
        idle: Duration::from_millis(900),
        linger: Duration::from_millis(200),
        connections: 8,
        ..Limits::default()
    }
}

fn start(limits: Limits, drain: Duration) -> Server {
    let runtime = Runtime::new().unwrap();
    let (tell, arrived) = mpsc::channel(8);
    let (go_on, wait) = mpsc::channel(8);
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(wait));
    let slow = get(move || async move {
        tell.send(()).await.unwrap();
        wait.lock().await.recv().await;
        "late"
    });
    let router = Router::new().route("/quick", get(|| async { "quick" })).route("/slow", slow);
    let (address, stop, end) = runtime.block_on(async {
        let listener = listen(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let end = tokio::spawn(serve(listener, router, limits, async { drop(stopped.await) }, drain));
        (address, stop, end)
    });
    Server { address, stop: Some(stop), end: Some(end), arrived, go_on, runtime }
}

impl Server {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    fn stop(&mut self) {
        drop(self.stop.take());
    }

    fn end(&mut self) -> End {
        self.runtime.block_on(self.end.take().unwrap()).unwrap()
    }
}

fn ask(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
}

/// One answer with its body, whose length it says.
fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "the connection ended: {}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// Whether the other side ends the connection, be it in order or not.
fn is_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 512]) {
        Ok(0) => true,
        Ok(_) => is_ended(stream),
        Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    }
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let server = start(limits(), LONG);
    assert!(is_ended(&mut server.connect()));
}

#[test]
fn a_head_that_trickles_in_is_cut_off_on_the_first_request_and_on_later_ones() {
    let server = start(limits(), LONG);
    let mut first = server.connect();
    write!(first, "GET /quick HTTP/1.1\r\nhost").unwrap();
    assert!(is_ended(&mut first));

    let patient = Limits { idle: LONG, ..limits() };
    let server = start(patient, LONG);
    let mut later = server.connect();
    ask(&mut later, "/quick");
    assert!(answer(&mut later).ends_with("quick"));
    write!(later, "GET /quick HTTP/1.1\r\nhost").unwrap();
    assert!(is_ended(&mut later), "the head's own limit holds, long before the idle one");
}

#[test]
fn a_connection_may_be_idle_between_requests_for_longer_than_a_head_may_take() {
    let server = start(Limits { head: Duration::from_millis(200), idle: LONG, ..limits() }, LONG);
    let mut stream = server.connect();
    for _ in 0..3 {
        ask(&mut stream, "/quick");
        assert!(answer(&mut stream).starts_with("HTTP/1.1 200"));
        stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        assert!(!is_ended(&mut stream), "closed although it was only idle");
        stream.set_read_timeout(Some(LONG)).unwrap();
    }
}

#[test]
fn an_idle_connection_is_closed_in_the_end() {
    let server = start(limits(), LONG);
    let mut stream = server.connect();
    ask(&mut stream, "/quick");
    answer(&mut stream);
    assert!(is_ended(&mut stream));
}

#[test]
fn a_slow_answer_is_not_a_slow_head() {
    let mut server = start(Limits { head: Duration::from_millis(100), ..limits() }, LONG);
    let mut stream = server.connect();
    ask(&mut stream, "/slow");
    server.runtime.block_on(server.arrived.recv()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(!is_ended(&mut stream), "cut off while the handler was at work");
    stream.set_read_timeout(Some(LONG)).unwrap();
    server.runtime.block_on(server.go_on.send(())).unwrap();
    assert!(answer(&mut stream).ends_with("late"));
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() {
    let server = start(Limits { connections: 1, ..limits() }, LONG);
    let silent = server.connect();
    let mut second = server.connect();
    ask(&mut second, "/quick");
    // The first is closed for its silence, which makes room.
    assert!(answer(&mut second).ends_with("quick"));
    drop(silent);
}

#[test]
fn a_stop_finishes_what_is_in_flight_and_refuses_what_is_new() {
    let mut server = start(limits(), LONG);
    let (mut busy, mut idle) = (server.connect(), server.connect());
    ask(&mut idle, "/quick");
    answer(&mut idle);
    ask(&mut busy, "/slow");
    server.runtime.block_on(server.arrived.recv()).unwrap();
    server.stop();
    assert!(is_ended(&mut idle), "an idle connection that stays idle ends");
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
    server.runtime.block_on(server.go_on.send(())).unwrap();
    assert!(answer(&mut busy).ends_with("late"), "the request in flight gets its answer");
    assert_eq!(server.end(), End::Drained);
}

#[test]
fn after_a_stop_a_connection_that_was_kept_open_is_answered_once_more_and_told() {
    let mut server = start(Limits { linger: LONG, idle: LONG, ..limits() }, LONG);
    let mut kept = server.connect();
    ask(&mut kept, "/quick");
    assert!(!answer(&mut kept).contains("connection: close"));
    // Whoever connected before the stop and has not asked yet is in no other position.
    let mut fresh = server.connect();
    ask(&mut fresh, "/slow");
    server.runtime.block_on(server.arrived.recv()).unwrap();
    server.stop();
    while TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
    server.runtime.block_on(server.go_on.send(())).unwrap();
    assert!(answer(&mut fresh).contains("connection: close"), "in flight at the stop");
    ask(&mut kept, "/quick");
    let last = answer(&mut kept);
    assert!(last.ends_with("quick") && last.contains("connection: close"), "{last}");
    assert!(is_ended(&mut kept));
    assert_eq!(server.end(), End::Drained, "and nothing waits for the rest of the time");
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    // Longer than `linger`: the connection is told to end after its answer, and then cut off.
    let mut server = start(limits(), Duration::from_millis(600));
    let mut stream = server.connect();
    ask(&mut stream, "/slow");
    server.runtime.block_on(server.arrived.recv()).unwrap();
    server.stop();
    assert_eq!(server.end(), End::TimedOut);
    assert!(is_ended(&mut stream));
}

#[test]
fn the_general_address_takes_ipv4_and_ipv6() {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let listener = listen("::".parse().unwrap(), 0).unwrap();
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    if listener.local_addr().unwrap().is_ipv6() {
        TcpStream::connect(("::1", port)).unwrap();
    }
}
