//! Which ports a stack listens on.
//!
//! A checkout asks for the usual ports. Where one is taken, the whole stack moves to a block that is derived from the
//! checkout's path, so that it is the same every time, and the state file remembers it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;

use super::thunder::{Ports, Service};
use crate::failure::{Exit, Failure};

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
pub fn choose(wanted: Ports, number: u32, starting: &[Service], is_taken: &dyn Fn(u16) -> bool) -> Result<Choice> {
    let taken: Vec<(Service, u16)> =
        starting.iter().map(|service| (*service, wanted.of(*service))).filter(|(_, port)| is_taken(*port)).collect();
    if taken.is_empty() {
        return Ok(Choice { ports: wanted, taken });
    }
    for attempt in 0..TRIES {
        let block = own_block(number.wrapping_add(attempt));
        if starting.iter().all(|service| !is_taken(block.of(*service))) {
            let mut ports = wanted;
            for service in starting {
                ports.set(*service, block.of(*service));
            }
            return Ok(Choice { ports, taken });
        }
    }
    let last = own_block(number.wrapping_add(TRIES - 1));
    Err(Failure::new(Exit::Missing, format!("no free ports: {TRIES} blocks up to {} are taken", last.backend))
        .next("set BACKEND_PORT, POSTGRES_PORT and REDIS_PORT in .env.docker to ports that are free")
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

/// A block of ports of which nobody listens on any, for a stack that is thrown away.
pub fn free_block() -> Result<Ports> {
    // The system gives out what nobody has; all three are held until all three are known.
    let listeners = [0; 3].map(|_: i32| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(Ports { postgres: ports[0], redis: ports[1], backend: ports[2] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Ports = Ports { postgres: 5432, redis: 6379, backend: 3000 };

    #[test]
    fn free_ports_are_taken_as_they_are_wanted() {
        let choice = choose(WANTED, 7, &Service::ALL, &|_| false).unwrap();
        assert_eq!(choice, Choice { ports: WANTED, taken: Vec::new() });
    }

    #[test]
    fn one_taken_port_moves_the_whole_stack() {
        let choice = choose(WANTED, 7, &Service::ALL, &|port| port == 6379).unwrap();
        assert_eq!(choice.ports, Ports { backend: 20_070, postgres: 20_071, redis: 20_072 });
        assert_eq!(choice.taken, [(Service::Redis, 6379)]);
    }

    #[test]
    fn what_runs_stays_where_it_is() {
        let choice = choose(WANTED, 7, &[Service::Backend], &|port| port == 3000).unwrap();
        assert_eq!(choice.ports, Ports { backend: 20_070, ..WANTED });
    }

    #[test]
    fn a_taken_block_leads_to_the_next_and_never_past_the_range() {
        let choice = choose(WANTED, 999, &Service::ALL, &|port| port == 3000 || port == 29_991).unwrap();
        assert_eq!(choice.ports.backend, 20_000);
        assert!(choose(WANTED, 0, &Service::ALL, &|_| true).is_err());
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
