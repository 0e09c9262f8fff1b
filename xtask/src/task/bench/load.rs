//! A client that never rests: every request that is refused, reset or answered with 5xx is a failure.
//!
//! The tests of the binary use this file too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    answers: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

/// Two clients: one makes a connection for each request, one keeps its connection for as long as it may.
pub struct Load {
    seen: Arc<Seen>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Asks for the health of the server on that port of this machine, from now on.
    pub fn on(port: u16) -> Self {
        Self::of(port, "/health")
    }

    /// Asks for that path of the server on that port of this machine, from now on.
    pub fn of(port: u16, path: &'static str) -> Self {
        let seen = Arc::new(Seen::default());
        let clients = [false, true].map(|keeps| {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || run((port, path), keeps, &seen))
        });
        Self { seen, clients: clients.into() }
    }

    /// How many requests were answered so far.
    pub fn answers(&self) -> usize {
        self.seen.answers.load(Ordering::Relaxed)
    }

    /// Ends it: how many requests were answered, and why others were not.
    pub fn end(self) -> (usize, Vec<String>) {
        self.seen.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            // It has no way to fail that is not in the list.
            drop(client.join());
        }
        let failures = std::mem::take(&mut *lock(&self.seen.failures));
        (self.seen.answers.load(Ordering::Relaxed), failures)
    }
}

fn lock(failures: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(at: (u16, &str), keeps: bool, seen: &Seen) {
    let mut kept = None;
    while !seen.is_over.load(Ordering::Relaxed) {
        match ask(at, keeps, &mut kept) {
            Ok(status) if status < 500 => drop(seen.answers.fetch_add(1, Ordering::Relaxed)),
            Ok(status) => lock(&seen.failures).push(format!("status {status}")),
            Err(error) => {
                kept = None;
                lock(&seen.failures)
                    .push(format!("{}: {error}", if keeps { "kept connection" } else { "new connection" }));
            }
        }
    }
}

fn ask((port, path): (u16, &str), keeps: bool, kept: &mut Option<BufReader<TcpStream>>) -> std::io::Result<u16> {
    let mut stream = if let Some(stream) = kept.take() {
        stream
    } else {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        BufReader::new(stream)
    };
    let connection = if keeps { "keep-alive" } else { "close" };
    write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\n\r\n")?;
    let (mut status, mut length, mut is_last) = (0, 0, !keeps);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest[..3].parse().map_err(std::io::Error::other)?;
        } else if let Some(rest) = line.strip_prefix("content-length: ") {
            length = rest.parse().map_err(std::io::Error::other)?;
        } else if line == "connection: close" {
            is_last = true;
        } else if line.is_empty() {
            break;
        }
    }
    stream.read_exact(&mut vec![0; length])?;
    if !is_last {
        *kept = Some(stream);
    }
    Ok(status)
}
