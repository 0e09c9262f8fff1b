//! Which ports a stack listens on.
//!
//! A checkout asks for the ports in its settings. A service whose port is taken moves to its place in a block that is
//! derived from the checkout's path, so that it is the same every time, and the state remembers it; the others stay.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::service::Service;
use crate::failure::{Exit, Failure};
use crate::lock::Lock;
use crate::product::SLUG;
use crate::settings::Settings;
use crate::tool::system;

/// Blocks begin here: below what systems give out to clients (Linux from 32768, macOS from 49152).
const FIRST: u16 = 20_000;
/// How many blocks there are.
const BLOCKS: u32 = 1000;
/// How far one block is from the next.
const WIDTH: u16 = 10;
/// How many blocks are tried.
const TRIES: u32 = 50;

/// A port for each service that is part of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ports(BTreeMap<Service, u16>);

impl Ports {
    /// The port that the function gives each usual service.
    pub fn of_each(port: impl Fn(Service) -> u16) -> Self {
        Self::of_these(Service::USUAL, port)
    }

    /// The port that the function gives each of these services.
    pub fn of_these(services: impl IntoIterator<Item = Service>, port: impl Fn(Service) -> u16) -> Self {
        Self(services.into_iter().map(|service| (service, port(service))).collect())
    }

    /// The ports that the settings ask for, for each of these services.
    pub fn from_settings(settings: &Settings, services: &[Service]) -> Result<Self> {
        let port = |service: &Service| -> Result<(Service, u16)> {
            Ok((*service, settings.require(service.definition().port_setting())?.parse()?))
        };
        Ok(Self(services.iter().map(port).collect::<Result<_>>()?))
    }

    /// The ports of the block that starts there.
    pub fn block(start: u16) -> Self {
        Self::of_each(|service| start + service.definition().port_offset())
    }

    /// The port of one service; that of the first block for one that a state from before it was invented lacks.
    pub fn of(&self, service: Service) -> u16 {
        self.0.get(&service).copied().unwrap_or(FIRST + service.definition().port_offset())
    }

    /// The port of a service that is part of the stack.
    pub fn get(&self, service: Service) -> Option<u16> {
        self.0.get(&service).copied()
    }

    /// Gives one service another port.
    pub fn set(&mut self, service: Service, port: u16) {
        self.0.insert(service, port);
    }
}

/// The ports that were chosen, and those that were wanted and taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where to listen.
    pub ports: Ports,
    /// What was in the way.
    pub taken: Vec<(Service, u16)>,
}

/// The ports to use. Each service in `starting` has the wanted one where that is free, else its place in the first block
/// of the checkout with that number in which it is free. Services that run already keep theirs.
pub fn choose(
    wanted: &Ports,
    number: u32,
    starting: &[Service],
    is_free: &mut dyn FnMut(u16) -> bool,
) -> Result<Choice> {
    let (mut ports, mut taken) = (wanted.clone(), Vec::new());
    for service in starting {
        let port = wanted.of(*service);
        let mut are_free = |port| service.definition().listens_on(port).into_iter().all(&mut *is_free);
        if are_free(port) {
            continue;
        }
        taken.push((*service, port));
        let places = (0..TRIES).map(|attempt| own_place(number.wrapping_add(attempt), *service));
        let Some(free) = places.into_iter().find(|place| *place != port && are_free(*place)) else {
            return Err(Failure::new(Exit::Missing, format!("no free port for {service}: {TRIES} places are taken"))
                .hint(format!("set {} in .env.docker to a port that is free", service.definition().port_setting()))
                .into());
        };
        ports.set(*service, free);
    }
    Ok(Choice { ports, taken })
}

/// The block of the checkout with that number.
pub fn own_block(number: u32) -> Ports {
    Ports::of_each(|service| own_place(number, service))
}

/// The place of a service in that block.
pub fn own_place(number: u32, service: Service) -> u16 {
    let index = u16::try_from(number % BLOCKS).unwrap_or(0);
    FIRST + index * WIDTH + service.definition().port_offset()
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
        if Service::USUAL.iter().all(|service| claims.take(block.of(*service))) {
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
    own: BTreeSet<u16>,
    is_dry: bool,
}

impl Claims {
    /// No claims yet; in a dry run none are made.
    pub fn new(is_dry: bool) -> Self {
        // All checkouts of a user share it. Other users' stacks are seen by their listeners.
        let folder = std::env::temp_dir().join(format!("{SLUG}-ports-{}", system::own_uid()));
        let claims = Self { folder, locks: Vec::new(), own: BTreeSet::new(), is_dry };
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
        if self.own.contains(&port) {
            return false;
        }
        if is_taken(port) {
            return false;
        }
        if self.is_dry {
            return self.own.insert(port);
        }
        match Lock::attempt(&self.folder.join(port.to_string())) {
            Ok(Some(lock)) => self.locks.push(lock),
            Ok(None) => return false,
            // Without a place for claims it is as it would be without claims.
            Err(_) => {}
        }
        self.own.insert(port)
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

    fn wanted() -> Ports {
        Ports::of_these(Service::ALL, |service| match service {
            Service::Postgres => 5432,
            Service::Redis => 6379,
            Service::Mail => 8025,
            Service::Backend => 3000,
        })
    }

    #[test]
    fn free_ports_are_taken_as_they_are_wanted() {
        let choice = choose(&wanted(), 7, &Service::ALL, &mut |_| true).unwrap();
        assert_eq!(choice, Choice { ports: wanted(), taken: Vec::new() });
    }

    #[test]
    fn only_what_is_taken_moves() {
        let choice = choose(&wanted(), 7, &Service::ALL, &mut |port| port != 6379).unwrap();
        let mut moved = wanted();
        moved.set(Service::Redis, 20_072);
        assert_eq!(choice, Choice { ports: moved, taken: vec![(Service::Redis, 6379)] });
    }

    #[test]
    fn what_runs_stays_where_it_is() {
        let choice = choose(&wanted(), 7, &[Service::Backend], &mut |port| port != 3000).unwrap();
        assert_eq!((choice.ports.of(Service::Backend), choice.ports.of(Service::Redis)), (20_070, 6379));
    }

    #[test]
    fn a_taken_place_leads_to_the_next_block_and_never_past_the_range() {
        let choice = choose(&wanted(), 999, &Service::ALL, &mut |port| port != 3000 && port != 29_990).unwrap();
        assert_eq!((choice.ports.of(Service::Backend), choice.ports.of(Service::Postgres)), (20_000, 5432));
        assert!(choose(&wanted(), 0, &Service::ALL, &mut |_| false).is_err());
    }

    #[test]
    fn a_service_that_moved_stays_in_its_block_when_another_has_to_move_as_well() {
        let mut claims = Claims::new(true);
        let mut moved = wanted();
        moved.set(Service::Postgres, own_block(7).of(Service::Postgres));
        let choice = choose(&moved, 7, &Service::ALL, &mut |port| port != 6379 && claims.take(port)).unwrap();
        assert_eq!(choice.ports.of(Service::Redis), own_block(7).of(Service::Redis));
    }

    #[test]
    fn a_service_with_two_ports_moves_where_either_is_taken() {
        for taken in [8025, 8026] {
            let choice = choose(&wanted(), 7, &[Service::Mail], &mut |port| port != taken).unwrap();
            assert_eq!(choice.ports.of(Service::Mail), 20_073, "{taken}");
        }
    }

    #[test]
    fn a_claimed_port_is_taken_for_others_until_the_claim_is_dropped() {
        let mut first = Claims::new(false);
        let port = throw_away_block(&mut first).unwrap().of(Service::Redis);
        let mut second = Claims::new(false);
        assert!(!second.take(port));
        assert!(Claims::new(true).take(port), "a dry run claims nothing, and nobody listens");
        drop(first);
        assert!(second.take(port));
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
