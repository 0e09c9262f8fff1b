//! What is particular to Thunder: the services of its stack, their names, ports and environment.
//!
//! Another backend moves in by changing this file, the settings' template and the backend's crate.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::settings::{Settings, is_secret};
use crate::tool::backend::Variable;

/// The product's name, for people.
pub const PRODUCT: &str = "Thunder";
/// The product's name, for folders and files.
pub const SLUG: &str = "thunder";
/// The role that owns the database.
pub const ROLE: &str = "thunder";
/// The database.
pub const DATABASE: &str = "thunder";
/// The package that the backend is built from.
pub const PACKAGE: &str = "backend";
/// The backend's binary.
pub const BINARY: &str = "thunder";
/// Where the backend listens inside of its container.
pub const CONTAINER_URL: &str = "http://127.0.0.1:3000";
/// Where the watcher inside of the container keeps what it knows.
pub const CONTAINER_WATCH: &str = "/target/watch";
/// What the container runs instead of the watcher.
pub const UNWATCHED: &str = "cargo run --quiet --locked --package backend --bin thunder -- serve";
/// A handler to edit when reloads are measured: its file, and what stands there for the version in its answer.
pub const HANDLER: (&str, &str) = ("backend/src/health/mod.rs", "env!(\"CARGO_PKG_VERSION\")");
/// Where the backend says whether it is healthy.
pub const HEALTH_PATH: &str = "/health";
/// What the backend is made of: a change in one of these, or below, is worth a build.
pub const SOURCES: &[&str] = &["backend", "Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml"];
/// What lies among it and is not in the binary.
pub const NOT_BUILT: &[&str] = &["backend/tests", "backend/benches"];
/// Where the compiler's messages are told from on.
pub const SOURCE_FOLDER: &str = "backend/src";
/// The migrations, which are built into the binary.
pub const MIGRATIONS: &str = "backend/migrations";
/// The oldest PostgreSQL that the backend runs on; production has this one.
pub const POSTGRES_MINIMUM: u32 = 15;
/// The oldest Redis that the backend runs on.
pub const REDIS_MINIMUM: u32 = 7;

/// The settings of the template that the stack itself uses.
pub const POSTGRES_PASSWORD: &str = "POSTGRES_PASSWORD";
/// See [`POSTGRES_PASSWORD`].
pub const REDIS_PASSWORD: &str = "REDIS_PASSWORD";
/// Whether the watcher looks at intervals instead of being told by the system.
pub const WATCH_POLL: &str = "WATCH_POLL";

/// Lets the backend migrate by itself when it starts.
const RUN_MIGRATIONS: &str = "RUN_MIGRATIONS";

/// What the stack sets for the backend, which is why the template has none of it.
pub const SET_BY_THE_STACK: &[&str] =
    &["DATABASE_URL", "REDIS_URL", "HOST", "PORT", "APP_ENV", RUN_MIGRATIONS, "MIGRATION_DRAFTS"];

/// A part of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// The database.
    Postgres,
    /// The cache.
    Redis,
    /// The API.
    Backend,
}

impl Service {
    /// In the order in which they start; they stop the other way round.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::Backend];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Backend => "backend",
        }
    }

    /// What has to run before.
    pub fn needs(self) -> &'static [Self] {
        match self {
            Self::Postgres | Self::Redis => &[],
            Self::Backend => &[Self::Postgres, Self::Redis],
        }
    }

    /// The setting that names its port.
    fn port_setting(self) -> &'static str {
        match self {
            Self::Postgres => "POSTGRES_PORT",
            Self::Redis => "REDIS_PORT",
            Self::Backend => "BACKEND_PORT",
        }
    }

    /// Its place in a block of ports.
    fn offset(self) -> u16 {
        match self {
            Self::Backend => 0,
            Self::Postgres => 1,
            Self::Redis => 2,
        }
    }

    /// These and what they need, in the order in which they start; all, where none is named.
    pub fn with_needs(named: &[Self]) -> Vec<Self> {
        let is_wanted = |service: &Self| {
            named.is_empty() || named.contains(service) || named.iter().any(|one| one.needs().contains(service))
        };
        Self::ALL.into_iter().filter(is_wanted).collect()
    }
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

/// The image that the backend is built in.
pub const RUST_IMAGE: &str = "rust:1.95-slim-bookworm";

/// The image that a service runs from; none where it is built from source.
pub fn image(service: Service, production: Option<&str>) -> Option<&str> {
    match service {
        // Debian's: its collations are those of managed PostgreSQL.
        Service::Postgres => Some("postgres:15-bookworm"),
        Service::Redis => Some("redis:7-bookworm"),
        Service::Backend => production,
    }
}

/// A port for each service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The database's.
    pub postgres: u16,
    /// The cache's.
    pub redis: u16,
    /// The API's.
    pub backend: u16,
}

impl Ports {
    /// The ports that the settings ask for.
    pub fn from_settings(settings: &Settings) -> Result<Self> {
        let port = |service: Service| -> Result<u16> { Ok(settings.require(service.port_setting())?.parse()?) };
        Ok(Self { postgres: port(Service::Postgres)?, redis: port(Service::Redis)?, backend: port(Service::Backend)? })
    }

    /// The ports of the block that starts there.
    pub fn block(start: u16) -> Self {
        let port = |service: Service| start + service.offset();
        Self { postgres: port(Service::Postgres), redis: port(Service::Redis), backend: port(Service::Backend) }
    }

    /// The port of one service.
    pub fn of(self, service: Service) -> u16 {
        match service {
            Service::Postgres => self.postgres,
            Service::Redis => self.redis,
            Service::Backend => self.backend,
        }
    }

    /// Gives one service another port.
    pub fn set(&mut self, service: Service, port: u16) {
        match service {
            Service::Postgres => self.postgres = port,
            Service::Redis => self.redis = port,
            Service::Backend => self.backend = port,
        }
    }
}

/// The backend's address on this machine.
pub fn backend_url(ports: Ports) -> String {
    format!("http://127.0.0.1:{}", ports.backend)
}

/// How to reach a database of the stack.
pub fn database_url(settings: &Settings, ports: Ports, database: &str) -> Result<String> {
    let password = percent_encoded(settings.require(POSTGRES_PASSWORD)?);
    Ok(format!("postgres://{ROLE}:{password}@127.0.0.1:{}/{database}", ports.postgres))
}

/// How to reach the stack's Redis.
pub fn redis_url(settings: &Settings, ports: Ports) -> Result<String> {
    let password = percent_encoded(settings.require(REDIS_PASSWORD)?);
    Ok(format!("redis://:{password}@127.0.0.1:{}", ports.redis))
}

/// The backend's environment on the local stack.
pub fn backend_environment(settings: &Settings, ports: Ports, _commit: &str) -> Result<Vec<Variable>> {
    let variable = |name: &str, value: String| Variable { name: name.to_owned(), value, is_secret: is_secret(name) };
    let mut environment = vec![
        variable("DATABASE_URL", database_url(settings, ports, DATABASE)?),
        variable("REDIS_URL", redis_url(settings, ports)?),
        variable("HOST", "127.0.0.1".to_owned()),
        variable("PORT", ports.backend.to_string()),
        variable("APP_ENV", "development".to_owned()),
    ];
    let is_the_stacks = |name: &str| {
        name == POSTGRES_PASSWORD
            || name == REDIS_PASSWORD
            || name == WATCH_POLL
            || Service::ALL.iter().any(|service| service.port_setting() == name)
    };
    for (name, value) in settings.iter() {
        if !value.is_empty() && !is_the_stacks(name) {
            environment.push(variable(name, value.to_owned()));
        }
    }
    Ok(environment)
}

/// The backend's environment in its container: addresses as the container was given them, everything else from the
/// settings, which may have changed since.
pub fn contained_environment(settings: &Settings, given: impl Fn(&str) -> Option<String>) -> Result<Vec<Variable>> {
    let nowhere = Ports { postgres: 0, redis: 0, backend: 0 };
    let mut environment = backend_environment(settings, nowhere, "")?;
    environment.retain(|variable| !SET_BY_THE_STACK.contains(&variable.name.as_str()));
    for name in SET_BY_THE_STACK.iter().filter(|name| **name != RUN_MIGRATIONS) {
        if let Some(value) = given(name) {
            environment.push(Variable { name: (*name).to_owned(), value, is_secret: is_secret(name) });
        }
    }
    Ok(environment)
}

/// The backend's binary: cargo puts each profile's binaries into a folder beside that of the profile that ours is of.
pub fn binary(ourselves: &Path) -> PathBuf {
    let target = ourselves.ancestors().nth(2).unwrap_or(Path::new(""));
    target.join("debug").join(format!("{BINARY}{}", std::env::consts::EXE_SUFFIX))
}

/// The characters of RFC 3986 §2.3 as they are, everything else as `%XX`.
pub fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded + &char::from(byte).to_string()
        } else {
            encoded + &format!("%{byte:02X}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::parse(
            "POSTGRES_PASSWORD=p@ss/1\nREDIS_PASSWORD=r+2\nJWT_SECRET=s\nLOG_LEVEL=debug\nFRONTEND_URL=\n\
             BACKEND_PORT=3000\nPOSTGRES_PORT=5432\nREDIS_PORT=6379\n",
        )
        .unwrap()
    }

    #[test]
    fn what_a_service_needs_comes_first() {
        assert_eq!(Service::with_needs(&[]), Service::ALL);
        assert_eq!(Service::with_needs(&[Service::Backend]), Service::ALL);
        assert_eq!(Service::with_needs(&[Service::Redis]), [Service::Redis]);
        assert_eq!(Service::with_needs(&[Service::Redis, Service::Postgres]), [Service::Postgres, Service::Redis]);
    }

    #[test]
    fn the_backend_gets_addresses_and_its_own_settings_and_nothing_else() {
        let ports = Ports { postgres: 1, redis: 2, backend: 3 };
        let environment = backend_environment(&settings(), ports, "abc").unwrap();
        let lines: Vec<String> =
            environment.iter().map(|one| format!("{}={} {}", one.name, one.value, one.is_secret)).collect();
        assert_eq!(
            lines,
            [
                "DATABASE_URL=postgres://thunder:p%40ss%2F1@127.0.0.1:1/thunder true",
                "REDIS_URL=redis://:r%2B2@127.0.0.1:2 true",
                "HOST=127.0.0.1 false",
                "PORT=3 false",
                "APP_ENV=development false",
                "JWT_SECRET=s true",
                "LOG_LEVEL=debug false",
            ]
        );
    }

    #[test]
    fn in_its_container_it_gets_the_addresses_that_the_container_has() {
        let given = |name: &str| match name {
            "DATABASE_URL" => Some("postgres://postgres:5432/thunder".to_owned()),
            "RUN_MIGRATIONS" => Some("true".to_owned()),
            _ => None,
        };
        let environment = contained_environment(&settings(), given).unwrap();
        let lines: Vec<String> = environment.iter().map(|one| format!("{}={}", one.name, one.value)).collect();
        assert_eq!(lines, ["JWT_SECRET=s", "LOG_LEVEL=debug", "DATABASE_URL=postgres://postgres:5432/thunder"]);
    }

    #[test]
    fn the_template_has_what_the_stack_needs() {
        let text = include_str!("../../../.env.docker.example");
        let template = Settings::parse(text).unwrap();
        assert_eq!(Ports::from_settings(&template).unwrap(), Ports { postgres: 5432, redis: 6379, backend: 3000 });
        for name in [POSTGRES_PASSWORD, REDIS_PASSWORD] {
            assert!(template.get(name).is_some(), "{name}");
        }
        for name in SET_BY_THE_STACK {
            assert!(template.get(name).is_none(), "{name} is set by the stack");
        }
    }

    #[test]
    fn the_binary_is_found_whatever_profile_ours_is_of() {
        for profile in ["xtask", "debug", "release"] {
            assert_eq!(binary(&Path::new("/t").join(profile).join("xtask")), Path::new("/t/debug/thunder"));
        }
    }
}
