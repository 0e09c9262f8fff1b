//! The two protocols by which a service manager and a server hand over without a gap.
//!
//! A listening socket that the manager holds is given to the server as a file descriptor (`sd_listen_fds(3)`), so that a
//! connection made while one server replaces another waits instead of being refused. The server says when it is ready
//! and when it stops (`sd_notify(3)`). `cargo xtask watch` speaks both, and so does systemd.

use std::io;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tracing::warn;

/// The listening socket that whoever started this process holds for it; none where there is none.
pub fn listener() -> io::Result<Option<TcpListener>> {
    let Some(listener) = listenfd::ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Some)
}

/// Says that requests are answered from now on.
pub fn ready() {
    say(&[NotifyState::Ready]);
}

/// Says that no new connection is taken any more.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// Does nothing if nobody asked to be told.
fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("cannot tell whoever started this: {error}");
    }
}
