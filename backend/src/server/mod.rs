//! The accept loop: limits on what a connection may cost, and an orderly end.
//!
//! `axum::serve` has no header time-out, so that one client with many half-sent requests can hold every file
//! descriptor. Here a connection that sends nothing, or its headers too slowly, is closed.

pub mod activation;
mod pace;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::service_fn;
use tower::util::ServiceExt as _;
use tracing::{debug, info, warn};

use self::pace::{InFlight, Paced};

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a request's head may take, counted from the connection's start or the head's first byte. Shorter than
    /// the shutdown time, or a half-sent head could use all of that up.
    pub head: Duration,
    /// How long a connection may be idle between two requests; longer than proxies keep theirs, so that it is they
    /// who close and no request meets a connection that is just going away.
    pub idle: Duration,
    /// How long, once the server was told to stop, a connection without a request may still send one. Whoever keeps a
    /// connection open may be sending on it at this very moment, and would find it closed; the answer tells that it was
    /// the last.
    pub linger: Duration,
    /// How many connections are served at once; more wait in the kernel's queue.
    pub connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            linger: Duration::from_secs(1),
            connections: 8192,
        }
    }
}

/// How serving ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Every request that was in flight got its answer.
    Drained,
    /// The time was over before that.
    TimedOut,
}

/// Listens on `host:port`. `::` takes IPv4 as well, whatever the system's default for that is, and falls back to
/// `0.0.0.0` where the system has no IPv6.
pub fn listen(host: IpAddr, port: u16) -> io::Result<TcpListener> {
    match bind(SocketAddr::new(host, port)) {
        Err(error) if host.is_ipv6() && host.is_unspecified() && lacks_ipv6(&error) => {
            info!("no IPv6 here ({error}); listening on IPv4 only");
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        }
        outcome => outcome,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the connections of the process before to leave TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no `ErrorKind` of its own: 97 on Linux, 47 on macOS and the BSDs.
    error.kind() == io::ErrorKind::AddrNotAvailable || matches!(error.raw_os_error(), Some(97 | 47))
}

/// Serves until `stop` resolves, then finishes what is in flight within `drain`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> End {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections as usize));
    let is_stopping = Arc::new(AtomicBool::new(false));
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(limits.idle);
    // Dropping the sender ends what is still open when the time is over.
    let (open, abandoned) = watch::channel(());

    tokio::pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        // Answers are small and complete: waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!("cannot set TCP_NODELAY: {error}");
        }
        let in_flight = InFlight::default();
        let stream = TokioIo::new(Paced::new(stream, in_flight.clone(), limits.head));
        let (router, is_stopping) = (router.clone(), Arc::clone(&is_stopping));
        let service = TowerToHyperService::new(service_fn(move |request: Request<hyper::body::Incoming>| {
            let (router, in_flight, is_stopping) = (router.clone(), in_flight.clone(), Arc::clone(&is_stopping));
            async move {
                let answer = |request| async { router.oneshot(request).await.unwrap_or_else(|never| match never {}) };
                let mut response = in_flight.count(request.map(Body::new), answer).await;
                if is_stopping.load(Ordering::Acquire) {
                    say_that_it_is_the_last(&mut response);
                }
                Ok::<_, Infallible>(response)
            }
        }));
        // Watched before it is spawned, so that a request that comes in just before the end is finished too.
        let connection = graceful.watch(http.serve_connection_with_upgrades(stream, service).into_owned());
        let mut abandoned = abandoned.clone();
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                outcome = connection => if let Err(error) = outcome {
                    debug!("connection ended: {error}");
                },
                _ = abandoned.changed() => {}
            }
        });
    }
    // Before anybody can see that nobody listens: whoever is answered from then on is told.
    is_stopping.store(true, Ordering::Release);
    drop(listener);
    let count = || limits.connections as usize - places.available_permits();
    info!(connections = count(), timeout_s = drain.as_secs(), "stopping: finishing what is in flight");
    let finish = async {
        let all = tokio::time::timeout(limits.linger, places.acquire_many(limits.connections)).await;
        if all.is_err() {
            graceful.shutdown().await;
        }
    };
    let outcome = tokio::time::timeout(drain, finish).await;
    drop(open);
    if outcome.is_ok() {
        return End::Drained;
    }
    warn!(connections = count(), "still in flight when the time was over");
    End::TimedOut
}

/// An upgraded connection is another protocol's, which says so in its own way.
fn say_that_it_is_the_last(response: &mut Response<Body>) {
    if !response.headers().contains_key(CONNECTION) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// A client that went away before it was accepted is no reason to wait; too many open files is, or the loop would spin.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    warn!("cannot accept a connection: {error}");
    tokio::time::sleep(Duration::from_millis(200)).await;
}
