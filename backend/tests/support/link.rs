//! A link to a server that a test may freeze: connections stay open, new ones are accepted, and nothing comes through.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// The link. It ends with the process.
#[derive(Debug, Clone)]
pub struct Link {
    pub address: SocketAddr,
    is_frozen: Arc<(Mutex<bool>, Condvar)>,
}

impl Link {
    /// One to the server of that URL, and the URL by way of it.
    pub fn to(url: &str) -> (Self, String) {
        let (before, rest) = url.rsplit_once('@').expect("a URL with a user");
        let (server, path) = rest.split_once('/').expect("a URL with a path");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let link = Self { address, is_frozen: Arc::default() };
        let (serving, server) = (link.clone(), server.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let (a, b) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                let (one, other) = (serving.clone(), serving.clone());
                std::thread::spawn(move || one.carry(client, b));
                std::thread::spawn(move || other.carry(server, a));
            }
        });
        (link, format!("{before}@{address}/{path}"))
    }

    pub fn freeze(&self) {
        *self.is_frozen.0.lock().expect("nobody panics with it") = true;
    }

    pub fn thaw(&self) {
        *self.is_frozen.0.lock().expect("nobody panics with it") = false;
        self.is_frozen.1.notify_all();
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let (is_frozen, changed) = &*self.is_frozen;
            let guard = is_frozen.lock().expect("nobody panics with it");
            drop(changed.wait_while(guard, |is_frozen| *is_frozen).expect("the same"));
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Write).ok();
    }
}
