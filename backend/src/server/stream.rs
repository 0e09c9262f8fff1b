//! A connection's bytes, with deadlines: for a request's head to come, and for an answer to be taken.
//!
//! hyper has one timer for a silent connection, for an idle one between two requests and for a head that trickles in.
//! They deserve different limits: a proxy keeps connections open for a minute between requests, while nobody needs
//! more than a few seconds to send a head. So hyper's timer is set to the idle limit and the head's is kept here. For
//! writing it has none: a client that never reads would keep its connection for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::SHORT_HEAD;
use super::shared::Connection;
use crate::request::admission;

/// A stream that fails with `TimedOut` when a request's head is not complete, or an answer is not taken, in time. After
/// an upgrade only the end of the server ends it.
pub struct Timed<S> {
    stream: S,
    connection: Arc<Connection>,
    head: Pin<Box<Sleep>>,
    waiting_for_head: bool,
    /// The count of heads when this was last looked at; another count means that the one waited for has come.
    heads: usize,
    /// How much of the head that is waited for has come, and its room if that is much.
    received: usize,
    room: Option<OwnedSemaphorePermit>,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The end of the server, for a connection that its task has let go of.
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Timed<S> {
    /// The first head is due in time from now on, each later one from its first byte on.
    pub fn new(stream: S, connection: Arc<Connection>, place: OwnedSemaphorePermit) -> Self {
        let head = Box::pin(tokio::time::sleep(connection.shared.limits.head));
        Self {
            stream,
            connection,
            head,
            waiting_for_head: true,
            heads: 0,
            received: 0,
            room: None,
            stalled: None,
            cut: None,
            _place: place,
        }
    }

    /// Fails once the server has ended what is still open; before an upgrade its task sees to that.
    fn check_upgraded(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.connection.is_upgraded() {
            return Ok(());
        }
        let token = &self.connection.shared.cut;
        let cut = self.cut.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
        match cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server has ended")),
            Poll::Pending => Ok(()),
        }
    }

    /// Notes that so much of a head has come, and fails when all long ones together take too much.
    fn receive_head(&mut self, bytes: usize) -> io::Result<()> {
        self.received += bytes;
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted @ 1.. = self.received.saturating_sub(SHORT_HEAD + held) else { return Ok(()) };
        let room = &self.connection.shared.long_heads;
        let refused = |_| io::Error::new(io::ErrorKind::QuotaExceeded, "too many heads are long");
        admission::grow(&mut self.room, room, wanted).map_err(refused)
    }

    /// Notes whether something could be written, and fails when nothing could for too long.
    fn check_stall<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.connection.shared.limits.write;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took nothing for too long")))
    }
}

impl<S> Drop for Timed<S> {
    fn drop(&mut self) {
        self.connection.end();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.connection.is_upgraded() {
            this.check_upgraded(cx)?;
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let heads = this.connection.heads();
        if heads != this.heads {
            this.heads = heads;
            this.waiting_for_head = false;
            this.received = 0;
            this.room = None;
        }
        let before = buffer.filled().len();
        if let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            let has_received = buffer.filled().len() > before;
            if has_received {
                this.connection.has_received.store(true, Ordering::Release);
            }
            if has_received && this.connection.is_idle() && !this.waiting_for_head {
                this.waiting_for_head = true;
                this.head.as_mut().reset(Instant::now() + this.connection.shared.limits.head);
            }
            if this.waiting_for_head {
                this.receive_head(buffer.filled().len() - before)?;
            }
            return Poll::Ready(outcome);
        }
        if this.waiting_for_head {
            ready!(this.head.as_mut().poll(cx));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the request's head was not sent in time",
            )));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_upgraded(cx)?;
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check_stall(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_upgraded(cx)?;
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.check_stall(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
