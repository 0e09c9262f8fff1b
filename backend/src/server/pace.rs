//! A connection's read half with a deadline on request heads.
//!
//! hyper has one timer for a silent connection, for an idle one between two requests and for a head that trickles in.
//! They deserve different limits: a proxy keeps connections open for a minute between requests, while nobody needs
//! more than a few seconds to send a head. So hyper's timer is set to the idle limit and the head's is kept here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The requests of one connection.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// How many heads were read whole, ever.
    begun: AtomicUsize,
    /// How many of those requests have not been answered whole.
    open: AtomicUsize,
}

impl InFlight {
    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Acquire)
    }

    fn is_empty(&self) -> bool {
        self.0.open.load(Ordering::Acquire) == 0
    }

    /// Counts a request from here until the last byte of its answer has been taken over, or it was dropped.
    pub async fn count<F>(self, request: Request<Body>, answer: impl FnOnce(Request<Body>) -> F) -> Response<Body>
    where
        F: Future<Output = Response<Body>>,
    {
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        self.0.open.fetch_add(1, Ordering::AcqRel);
        let guard = Guard(self);
        answer(request).await.map(|body| Body::new(Counted { body, _guard: guard }))
    }
}

struct Guard(InFlight);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Counted {
    body: Body,
    _guard: Guard,
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

/// A stream that fails with `TimedOut` when a request's head is not complete in time.
pub struct Paced<S> {
    stream: S,
    in_flight: InFlight,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    waiting_for_head: bool,
    /// The count of heads when this was last looked at; another count means that the one waited for has come.
    heads: usize,
}

impl<S> Paced<S> {
    /// The first head is due `limit` after the connection began, each later one `limit` after its first byte.
    pub fn new(stream: S, in_flight: InFlight, limit: Duration) -> Self {
        let deadline = Box::pin(tokio::time::sleep(limit));
        Self { stream, in_flight, limit, deadline, waiting_for_head: true, heads: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let heads = this.in_flight.begun();
        if heads != this.heads {
            this.heads = heads;
            this.waiting_for_head = false;
        }
        let before = buffer.filled().len();
        if let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            let begins_head = buffer.filled().len() > before && this.in_flight.is_empty() && !this.waiting_for_head;
            if begins_head {
                this.waiting_for_head = true;
                this.deadline.as_mut().reset(Instant::now() + this.limit);
            }
            return Poll::Ready(outcome);
        }
        if this.waiting_for_head {
            ready!(this.deadline.as_mut().poll(cx));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the request's head was not sent in time",
            )));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
