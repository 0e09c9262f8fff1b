//! The listening socket, and how many connections its process can hold.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::{info, warn};

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

/// What the process needs besides connections of clients: its own files, pools, epoll and name lookups.
const OTHER_FILES: u64 = 128;

/// Raises the limit on open files as far as `connections` need and the system allows, and says how many of them fit.
/// Beyond it every attempt to accept would fail at once, and be repeated at once.
pub fn make_room(connections: u32) -> u32 {
    let wanted = u64::from(connections) + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is without a limit.
    if current.is_none_or(|current| current >= wanted) {
        return connections;
    }
    let possible = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum });
    let files = if raised.is_ok() { possible } else { current.unwrap_or(possible) };
    let room = u32::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(connections).max(16);
    if room < connections {
        warn!(files, connections = room, "the limit on open files leaves room for fewer connections");
    }
    room.min(connections)
}
