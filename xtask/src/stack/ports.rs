//! Which ports a stack listens on.
//!
//! A checkout asks for the usual ports. Where one is taken, the whole stack moves to a block that is derived from the
//! checkout's path, so that it is the same every time, and the state file remembers it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::thunder::{Ports, Service};
use crate::failure::{Exit, Failure};
use crate::lock::Lock;
use crate::tool::system;

/// Blocks begin here: below what systems give out to clients (Linux from 32768, macOS from 49152).
const FIRST: u16 = 20_000;
/// How many blocks there are.
const BLOCKS: u32 = 1000;
/// How far one block is from the next.
const WIDTH: u16 = 10;
/// How many blocks are tried.
const TRIES: u32 = 50;

/// The ports that were chosen, and those that were wanted and taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where to listen.
    pub ports: Ports,
    /// What was in the way.
    pub taken: Vec<(Service, u16)>,
}

/// The ports to use: `wanted` where those of the services in `starting` are free, else the first free block of the
/// checkout with that number. Services that run already keep theirs.
pub fn choose(
    wanted: Ports,
    number: u32,
    starting: &[Service],
    is_free: &mut dyn FnMut(u16) -> bool,
) -> Result<Choice> {
    let wishes = starting.iter().map(|service| (*service, wanted.of(*service)));
    let taken: Vec<(Service, u16)> = wishes.filter(|(_, port)| !is_free(*port)).collect();
    if taken.is_empty() {
        return Ok(Choice { ports: wanted, taken });
    }
    for attempt in 0..TRIES {
        let block = own_block(number.wrapping_add(attempt));
        if starting.iter().all(|service| is_free(block.of(*service))) {
            let mut ports = wanted;
            for service in starting {
                ports.set(*service, block.of(*service));
            }
            return Ok(Choice { ports, taken });
        }
    }
    let last = own_block(number.wrapping_add(TRIES - 1));
    Err(Failure::new(Exit::Missing, format!("no free ports: {TRIES} blocks up to {} are taken", last.backend))
        .hint("set BACKEND_PORT, POSTGRES_PORT and REDIS_PORT in .env.docker to ports that are free")
        .into())
}

/// The block of the checkout with that number.
pub fn own_block(number: u32) -> Ports {
    let index = u16::try_from(number % BLOCKS).unwrap_or(0);
    Ports::block(FIRST + index * WIDTH)
}

/// Whether anybody listens on the port of this machine.
pub fn is_taken(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Binding alone is not enough everywhere: on macOS a special address may be bound beside a general one.
    TcpListener::bind(address).is_err() || TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok()
}

/// A block of ports for a stack that is thrown away: above those of checkouts, and still below what systems give out
/// to clients, any of which could take one away before a server has it.
pub fn throw_away_block(claims: &mut Claims) -> Result<Ports> {
    const FIRST: u16 = 30_000;
    const BLOCKS: u16 = 270;
    // Each process begins elsewhere, so that those that run at once hardly ever meet.
    let begin = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap_or(0);
    for attempt in 0..BLOCKS {
        let block = Ports::block(FIRST + (begin + attempt) % BLOCKS * WIDTH);
        if Service::ALL.iter().all(|service| claims.take(block.of(*service))) {
            return Ok(block);
        }
    }
    Err(Failure::new(Exit::Missing, format!("no free ports: all from {FIRST} on are taken")).into())
}

/// The first of that many ports in a row, for containers that are several.
pub fn row(count: u16, claims: &mut Claims) -> Result<u16> {
    const FIRST: u16 = 32_000;
    const LAST: u16 = 32_700;
    (FIRST..LAST - count)
        .step_by(usize::from(count))
        .find(|start| (*start..start + count).all(|port| claims.take(port)))
        .ok_or_else(|| {
            Failure::new(Exit::Missing, format!("there are no {count} free ports in a row from {FIRST} on")).into()
        })
}

/// Ports that were found free and are about to be used: others who look for some at the same moment see them as taken.
///
/// A port counts as taken only once somebody listens on it, and between looking and listening lies a database to be
/// made or a backend to be compiled.
pub struct Claims {
    folder: PathBuf,
    locks: Vec<Lock>,
    is_dry: bool,
}

impl Claims {
    /// No claims yet; in a dry run none are made.
    pub fn new(is_dry: bool) -> Self {
        // All checkouts of a user share it. Other users' stacks are seen by their listeners.
        let folder = std::env::temp_dir().join(format!("thunder-ports-{}", system::own_uid()));
        let claims = Self { folder, locks: Vec::new(), is_dry };
        if !is_dry {
            claims.clear_abandoned();
        }
        claims
    }

    /// Removes the files of claims whose process was killed; nobody has their locks.
    fn clear_abandoned(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if let Ok(Some(lock)) = Lock::attempt(&entry.path()) {
                // What cannot be removed stays an empty file in a folder for temporary files.
                drop(lock.remove_file());
            }
        }
    }

    /// Claims the port; false when somebody listens on it or has claimed it.
    pub fn take(&mut self, port: u16) -> bool {
        if is_taken(port) {
            return false;
        }
        if self.is_dry {
            return true;
        }
        match Lock::attempt(&self.folder.join(port.to_string())) {
            Ok(Some(lock)) => self.locks.push(lock),
            Ok(None) => return false,
            // Without a place for claims it is as it would be without claims.
            Err(_) => {}
        }
        true
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        for lock in &self.locks {
            // What stays is an empty file in a folder for temporary files.
            drop(lock.remove_file());
        }
        drop(std::fs::remove_dir(&self.folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Ports = Ports { postgres: 5432, redis: 6379, backend: 3000 };

    #[test]
    fn free_ports_are_taken_as_they_are_wanted() {
        let choice = choose(WANTED, 7, &Service::ALL, &mut |_| true).unwrap();
        assert_eq!(choice, Choice { ports: WANTED, taken: Vec::new() });
    }

    #[test]
    fn one_taken_port_moves_the_whole_stack() {
        let choice = choose(WANTED, 7, &Service::ALL, &mut |port| port != 6379).unwrap();
        assert_eq!(choice.ports, Ports { backend: 20_070, postgres: 20_071, redis: 20_072 });
        assert_eq!(choice.taken, [(Service::Redis, 6379)]);
    }

    #[test]
    fn what_runs_stays_where_it_is() {
        let choice = choose(WANTED, 7, &[Service::Backend], &mut |port| port != 3000).unwrap();
        assert_eq!(choice.ports, Ports { backend: 20_070, ..WANTED });
    }

    #[test]
    fn a_taken_block_leads_to_the_next_and_never_past_the_range() {
        let choice = choose(WANTED, 999, &Service::ALL, &mut |port| port != 3000 && port != 29_991).unwrap();
        assert_eq!(choice.ports.backend, 20_000);
        assert!(choose(WANTED, 0, &Service::ALL, &mut |_| false).is_err());
    }

    #[test]
    fn a_claimed_port_is_taken_for_others_until_the_claim_is_dropped() {
        let mut first = Claims::new(false);
        let ports = throw_away_block(&mut first).unwrap();
        let mut second = Claims::new(false);
        assert!(!second.take(ports.redis));
        assert!(Claims::new(true).take(ports.redis), "a dry run claims nothing, and nobody listens");
        drop(first);
        assert!(second.take(ports.redis));
    }

    #[test]
    fn a_port_with_a_listener_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_taken(port));
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        assert!(is_taken(everywhere.local_addr().unwrap().port()));
    }
}
