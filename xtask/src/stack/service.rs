//! The services of the stack. Each has a file that holds what is particular to it; everything else iterates.

mod backend;
pub mod mail;
mod postgres;
mod redis;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::host::recipe::{HostLane, Recipe};
use super::ports::Ports;
use super::report::Health;
use crate::failure::Failure;
use crate::plan::Probe;
use crate::settings::Settings;
use crate::tool::backend::Variable;
use crate::tool::system::Package;

/// A part of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// The database.
    Postgres,
    /// The cache.
    Redis,
    /// The mail catcher.
    Mail,
    /// The API.
    Backend,
}

/// What is particular to a service.
pub trait Definition: Sync {
    /// The word on the command line, and the service's name in the compose file.
    fn name(&self) -> &'static str;

    /// What it is called by those who make it.
    fn product(&self) -> &'static str;

    /// What has to run before.
    fn needs(&self) -> &'static [Service] {
        &[]
    }

    /// What it is told the address of, where that is part of the stack.
    fn uses(&self) -> &'static [Service] {
        &[]
    }

    /// The setting that names the port to ask for first.
    fn port_setting(&self) -> &'static str;

    /// The setting with the password that its clients need; another one counts from its next start on.
    fn password_setting(&self) -> Option<&'static str> {
        None
    }

    /// Its place in a block of ports.
    fn port_offset(&self) -> u16;

    /// The ports that it takes on this machine, where that is its port.
    fn listens_on(&self, port: u16) -> Vec<u16> {
        vec![port]
    }

    /// The port that it listens on inside of its container.
    fn container_port(&self) -> u16;

    /// The image that it runs from in development; none where it is built from source.
    fn image(&self) -> Option<&'static str>;

    /// Its address on this machine, as its clients write it.
    fn address(&self, port: u16) -> String {
        format!("127.0.0.1:{port}")
    }

    /// How to come in from this machine, for a person; none where the address says it.
    fn sign_in(&self) -> Option<&'static str> {
        None
    }

    /// What a person sees at its address; none where that is nothing to look at.
    fn page(&self) -> Option<&'static str> {
        None
    }

    /// The question whether it is ready, asked as its clients would.
    fn probe(&self, port: u16, settings: &Settings) -> Result<Box<dyn Probe>>;

    /// How it is, with what it tells of itself.
    fn health(&self, address: SocketAddr, settings: Option<&Settings>) -> Result<Health, String>;

    /// The time that a line of its log says.
    fn log_time(&self, line: &str) -> Option<SystemTime>;

    /// The signals that end it, each with the time that it is given.
    fn stop_signals(&self, shutdown_timeout: Duration) -> Vec<(&'static str, Duration)>;

    /// The variables that its clients on this machine read.
    fn client_variables(&self, port: u16, settings: &Settings) -> Result<Vec<Variable>>;

    /// The client that `shell` opens inside of its container, and the one on this machine with what installs it; none
    /// where that is a shell.
    fn client(&self) -> Option<Client>;

    /// What starts it as a process of this machine.
    fn host_lane(&self, recipe: &Recipe<'_>) -> Result<HostLane>;
}

/// A program that talks to a service.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its names; the first is the usual one.
    pub programs: &'static [&'static str],
    /// The flag before its port, where it reads that from no variable.
    pub port_flag: Option<&'static str>,
    /// What brings it.
    pub package: Package,
}

impl Service {
    /// In the order in which they start; they stop the other way round.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Redis, Self::Mail, Self::Backend];

    /// Those of them that are part of every stack.
    pub const USUAL: [Self; 3] = [Self::Postgres, Self::Redis, Self::Backend];

    /// What is particular to it.
    pub fn definition(self) -> &'static dyn Definition {
        match self {
            Self::Postgres => &postgres::Postgres,
            Self::Redis => &redis::Redis,
            Self::Mail => &mail::Mail,
            Self::Backend => &backend::Backend,
        }
    }

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        self.definition().name()
    }

    /// What has to run before.
    pub fn needs(self) -> &'static [Self] {
        self.definition().needs()
    }

    /// Those that are part of a stack only where somebody asks for them.
    pub fn optional() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|service| service.is_optional())
    }

    /// Whether it is part of the stack only where somebody asks for it.
    pub fn is_optional(self) -> bool {
        !Self::USUAL.contains(&self)
    }

    /// Whether it is built from source.
    pub fn is_built(self) -> bool {
        self.definition().image().is_none()
    }

    /// These and what they need, in the order in which they start; every usual one, where none is named.
    pub fn with_needs(named: &[Self]) -> Vec<Self> {
        let is_wanted = |service: &Self| {
            named.is_empty() && !service.is_optional()
                || named.contains(service)
                || named.iter().any(|one| one.needs().contains(service))
        };
        Self::ALL.into_iter().filter(is_wanted).collect()
    }

    /// These and what needs them, in the order in which they stop; all, where none is named.
    pub fn with_users(named: &[Self]) -> Vec<Self> {
        let is_wanted = |service: &Self| {
            named.is_empty() || named.contains(service) || service.needs().iter().any(|need| named.contains(need))
        };
        Self::ALL.into_iter().rev().filter(is_wanted).collect()
    }
}

/// The names of services, as a sentence has them.
pub fn in_words(services: &[Service]) -> String {
    services.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ")
}

/// A port of this machine.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The question whether a service is ready.
pub fn probe(service: Service, ports: &Ports, settings: &Settings) -> Result<Box<dyn Probe>> {
    service.definition().probe(ports.of(service), settings)
}

/// The failure of a task that needs a service which is not running.
pub fn not_up(service: Service) -> Failure {
    Failure::new(crate::failure::Exit::Unhealthy, format!("{service} is not running"))
        .hint(format!("cargo xtask up {service}"))
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|service| service.name() == word).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|service| service.name()).collect();
            format!("there is no such service; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_needs_comes_first() {
        assert_eq!(Service::with_needs(&[]), Service::USUAL);
        assert_eq!(Service::with_needs(&[Service::Backend]), Service::USUAL);
        assert_eq!(Service::with_needs(&[Service::Backend, Service::Mail]), Service::ALL);
        assert_eq!(Service::with_needs(&[Service::Redis]), [Service::Redis]);
        assert_eq!(Service::with_needs(&[Service::Redis, Service::Postgres]), [Service::Postgres, Service::Redis]);
    }

    #[test]
    fn what_needs_a_service_stops_first() {
        assert_eq!(Service::with_users(&[Service::Redis]), [Service::Backend, Service::Redis]);
        assert_eq!(Service::with_users(&[Service::Backend]), [Service::Backend]);
        assert_eq!(Service::with_users(&[]).len(), Service::ALL.len());
    }

    #[test]
    fn no_two_services_share_a_name_a_setting_or_a_place_in_the_block() {
        for (index, one) in Service::ALL.iter().enumerate() {
            for other in &Service::ALL[index + 1..] {
                let (one, other) = (one.definition(), other.definition());
                assert_ne!(one.name(), other.name());
                assert_ne!(one.port_setting(), other.port_setting());
                assert_ne!(one.port_offset(), other.port_offset());
            }
        }
    }

    #[test]
    fn every_service_says_the_time_in_its_own_way() {
        let clock = 14 * 3600 + 3 * 60 + 37;
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() % 86_400;
        for (service, text) in [
            (Service::Postgres, "2026-11-21 14:03:37.954 UTC [12532] LOG:  database system is ready"),
            (Service::Redis, "12345:M 21 Nov 2026 14:03:37.954 * Ready to accept connections"),
            (Service::Backend, "2026-11-21T14:03:37.954321Z  INFO listening"),
            (Service::Backend, "2026-11-21T14:03:37.954Z INFO listening"),
            (Service::Backend, r#"{"timestamp":"2026-11-21T14:03:37.954321Z","level":"INFO"}"#),
        ] {
            assert_eq!(service.definition().log_time(text).map(seconds), Some(clock), "{text}");
        }
        assert_eq!(Service::Backend.definition().log_time("thread 'main' panicked at src/main.rs"), None);
        assert_eq!(Service::Postgres.definition().log_time("ä".repeat(12).as_str()), None);
    }
}
