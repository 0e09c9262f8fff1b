//! One connection: HTTP/1 from its first head to its last answer, and no other protocol but by an upgrade.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt as _;
use tracing::debug;

use super::shared::{Connection, RequestGuard, Shared};
use super::stream::Timed;
use crate::actor::Peer;

/// The most that a request's head may take, and hyper's buffer with it: it starts at a quarter, and the library's own
/// limit of 400 KiB would let a few thousand slow clients take gigabytes. The proxies of platforms send no more.
const HEAD_BYTES: usize = 32 * 1024;
/// How long a connection has to be without a request before it makes room for another one.
const IDLE_WHEN_CROWDED: Duration = Duration::from_secs(1);

/// Told to the handlers of upgraded connections: the server is about to end, and they should say good-bye.
#[derive(Debug, Clone)]
pub struct Closing(CancellationToken);

impl Closing {
    /// Waits until that is so.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
}

/// How connections are served.
#[derive(Clone)]
pub struct Server {
    http: http1::Builder,
    router: Router,
    shared: Arc<Shared>,
}

impl Server {
    pub fn new(router: Router, shared: Arc<Shared>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(shared.limits.idle).max_buf_size(HEAD_BYTES);
        Self { http, router, shared }
    }

    /// Serves one connection to its end, or until it is upgraded.
    pub async fn serve(self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        // Answers are small and complete: waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!("cannot set TCP_NODELAY: {error}");
        }
        let state = Connection::new(Arc::clone(&self.shared));
        let io = TokioIo::new(Timed::new(stream, Arc::clone(&state), place));
        let service = service_fn(|request| answer(self.router.clone(), Arc::clone(&state), peer, request));
        let mut connection = pin!(self.http.serve_connection(io, service).with_upgrades());
        // Orders are polled only when one arrives. Polling them at each step of a request would make all connections
        // compete for the same locks.
        let mut orders = FuturesUnordered::from_iter([next_order(Arc::clone(&state), false)]);
        loop {
            tokio::select! {
                outcome = connection.as_mut() => {
                    if let Err(error) = outcome {
                        debug!("connection ended: {error}");
                    }
                    return;
                }
                Some(order) = orders.next() => {
                    // For one that has sent nothing, hyper would wait for a request to come.
                    if order == Order::End || !state.has_received.load(Ordering::Acquire) {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    orders.push(next_order(Arc::clone(&state), true));
                }
            }
        }
    }
}

/// What a connection is told by its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// To end at once.
    End,
    /// To end after its last answer.
    ShutDown,
}

/// The next order for a connection. After `ShutDown` only `End` can follow.
async fn next_order(connection: Arc<Connection>, is_last: bool) -> Order {
    let shared = &connection.shared;
    tokio::select! {
        () = shared.cut.cancelled() => Order::End,
        () = shared.shutdown.cancelled(), if !is_last => Order::ShutDown,
        () = idle_in_a_crowd(&connection), if !is_last => Order::ShutDown,
    }
}

/// Waits until the connection has had no request for a moment while others wait for its place.
async fn idle_in_a_crowd(connection: &Connection) {
    loop {
        connection.shared.crowded.notified().await;
        let heads = connection.heads();
        if heads > 0 && connection.is_idle() {
            tokio::time::sleep(IDLE_WHEN_CROWDED).await;
            if connection.is_idle() && connection.heads() == heads {
                return;
            }
        }
    }
}

async fn answer(
    router: Router,
    connection: Arc<Connection>,
    peer: SocketAddr,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Counted>, Infallible> {
    let guard = connection.begin_request();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    request.extensions_mut().insert(Closing(connection.shared.closing.clone()));
    let mut response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if connection.upgrade() {
            return Ok(response.map(|body| Counted { body, _guard: guard }));
        }
        response = StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if connection.shared.draining.load(Ordering::Acquire) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Counted { body, _guard: guard }))
}

/// A body that counts as being answered until its last byte has been taken over.
struct Counted {
    body: Body,
    _guard: RequestGuard,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
