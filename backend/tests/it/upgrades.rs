//! Connections that speak another protocol after an upgrade: a bare one, which sends back what it gets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use backend::server::{Closing, End, Limits, listen, serve};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    end: JoinHandle<End>,
    runtime: Runtime,
}

/// Takes over the connection and echoes; says good-bye when the server closes, unless it is `deaf`.
fn echo(mut request: Request, deaf: bool) -> Response<Body> {
    let closing = request.extensions().get::<Closing>().unwrap().clone();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut bytes = [0; 64];
        loop {
            tokio::select! {
                read = stream.read(&mut bytes) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(length) => stream.write_all(&bytes[..length]).await.unwrap(),
                },
                () = closing.wait(), if !deaf => {
                    stream.write_all(b"bye").await.unwrap();
                    return stream.shutdown().await.unwrap();
                }
            }
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("echo"));
    response
}

fn start(limits: Limits, drain: Duration) -> Server {
    let runtime = Runtime::new().unwrap();
    let router = Router::new()
        .route("/echo", get(async |request: Request| echo(request, false)))
        .route("/deaf", get(async |request: Request| echo(request, true)));
    let (address, stop, end) = runtime.block_on(async {
        let listener = listen(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let end = tokio::spawn(serve(listener, router, limits, async { drop(stopped.await) }, drain));
        (address, stop, end)
    });
    Server { address, stop: Some(stop), end, runtime }
}

impl Server {
    /// The status, and the connection.
    fn upgrade(&self, path: &str) -> (u16, TcpStream) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        (String::from_utf8_lossy(&head[9..12]).parse().unwrap(), stream)
    }

    fn end(mut self) -> End {
        drop(self.stop.take());
        self.runtime.block_on(self.end).unwrap()
    }
}

fn echoes(stream: &mut TcpStream) -> bool {
    let mut back = [0; 4];
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut back).is_ok() && &back == b"ping"
}

#[test]
fn what_is_sent_after_an_upgrade_is_not_taken_for_a_head_that_is_late() {
    let head = Duration::from_millis(200);
    let server = start(Limits { head, idle: head * 2, write: head, ..Limits::default() }, LONG);
    let (status, mut stream) = server.upgrade("/echo");
    assert_eq!(status, 101);
    assert!(echoes(&mut stream));
    // A silence far longer than every limit on requests.
    stream.set_read_timeout(Some(head * 5)).unwrap();
    let silence = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(LONG)).unwrap();
    assert!(echoes(&mut stream));
}

#[test]
fn only_so_many_connections_are_upgraded_and_one_that_ends_makes_room() {
    let server = start(Limits { upgrades: 2, ..Limits::default() }, LONG);
    let first = server.upgrade("/echo");
    let second = server.upgrade("/echo");
    assert_eq!((first.0, second.0, server.upgrade("/echo").0), (101, 101, 503));
    drop(first);
    crate::support::until("there is room again", || server.upgrade("/echo").0 == 101);
    drop(second);
}

#[test]
fn an_upgraded_connection_holds_its_place_among_all() {
    let server = start(Limits { connections: 1, ..Limits::default() }, LONG);
    let (_, mut stream) = server.upgrade("/echo");
    let mut waiting = TcpStream::connect(server.address).unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    waiting.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(waiting.read(&mut [0; 1]).is_err(), "there is no place for a second");
    assert!(echoes(&mut stream));
    drop(stream);
    waiting.set_read_timeout(Some(LONG)).unwrap();
    let mut answer = [0; 12];
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
}

#[test]
fn a_stop_lets_upgraded_connections_say_good_bye() {
    let server = start(Limits::default(), LONG);
    let (_, mut stream) = server.upgrade("/echo");
    assert!(echoes(&mut stream));
    let begun = Instant::now();
    assert_eq!(server.end(), End::Drained);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "bye");
}

#[test]
fn a_stop_cuts_off_those_that_do_not_listen() {
    let server = start(Limits::default(), Duration::from_millis(300));
    let (_, mut stream) = server.upgrade("/deaf");
    assert!(echoes(&mut stream));
    let runtime_is_there = server.address;
    let Server { stop, end, runtime, .. } = server;
    drop(stop);
    assert_eq!(runtime.block_on(end).unwrap(), End::TimedOut);
    // The handler still runs; its connection is gone.
    stream.write_all(b"ping").ok();
    assert!(!matches!(stream.read(&mut [0; 4]), Ok(length) if length > 0), "{runtime_is_there}");
}
