//! How the stack is: each service's state, health, address and age, in one answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::state::{Engine, Server, Source, State};
use super::thunder::{self, DATABASE, HEALTH_PATH, ROLE, Service};
use super::watch::report::WatchReport;
use crate::failure::{Exit, Failure};
use crate::settings::Settings;
use crate::tool::{backend, postgres, redis};

/// How the stack is.
#[derive(Debug, Serialize)]
pub struct Report {
    schema_version: u32,
    /// The checkout.
    pub root: String,
    /// What runs it; none when it was never started.
    pub engine: Option<Engine>,
    /// All of it in a word.
    pub state: Overall,
    /// Where the API answers.
    pub url: Option<String>,
    /// Each part.
    pub services: Vec<ServiceReport>,
}

/// A stack in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overall {
    /// What should run runs and is healthy.
    Up,
    /// Something that should run does not, or is not healthy.
    Degraded,
    /// Nothing should run.
    Down,
}

/// How one service is.
#[derive(Debug, Serialize)]
pub struct ServiceReport {
    /// Which.
    pub name: Service,
    /// Whether it should run.
    pub wanted: bool,
    /// Whether it does.
    pub state: RunState,
    /// Whether it answers as it should; none when it does not run.
    pub health: Option<Health>,
    /// What is wrong, if anything is.
    pub detail: Option<String>,
    /// Where it listens.
    pub address: Option<String>,
    /// The port of that.
    pub port: Option<u16>,
    /// Its process.
    pub pid: Option<u32>,
    /// Its container.
    pub container: Option<String>,
    /// For how long it has been running.
    pub uptime_seconds: Option<u64>,
    /// What it is, such as `PostgreSQL`.
    pub product: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Where its program came from.
    pub source: Option<Source>,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// What it says: a file, or the command that shows it.
    pub log: String,
    /// How its watcher stands; none where it has none.
    pub watch: Option<Watch>,
}

/// How the watcher of a service stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Watch {
    /// Whether it is there at all.
    pub running: bool,
    /// What it says of itself.
    #[serde(flatten)]
    pub says: Option<WatchReport>,
}

/// What an engine sees of a service.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whether it runs.
    pub state: RunState,
    /// Its process.
    pub pid: Option<u32>,
    /// Its container.
    pub container: Option<String>,
    /// For how long it has been running.
    pub age: Option<Duration>,
    /// What it is.
    pub server: Option<Server>,
    /// How it ended, where it did.
    pub ended: Option<String>,
    /// What it says: a file, or the command that shows it.
    pub log: String,
    /// How its watcher stands; none where it has none.
    pub watch: Option<Watch>,
}

/// Whether a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It does.
    Running,
    /// It was started, and ended by itself.
    Exited,
    /// It was not started, or was stopped.
    Stopped,
}

/// Whether a service answers as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It does.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl Report {
    /// Asks every service.
    pub fn of(root: &str, state: Option<&State>, settings: Option<&Settings>, seen: impl Fn(Service) -> Seen) -> Self {
        let services: Vec<ServiceReport> = Service::ALL
            .into_iter()
            .map(|service| ServiceReport::of(service, seen(service), state, settings))
            .collect();
        let wanted: Vec<&ServiceReport> = services.iter().filter(|service| service.wanted).collect();
        let overall = if wanted.is_empty() {
            Overall::Down
        } else if wanted.iter().all(|service| service.is_well()) {
            Overall::Up
        } else {
            Overall::Degraded
        };
        let has_backend = services.iter().any(|service| service.name == Service::Backend && service.health.is_some());
        Self {
            schema_version: 1,
            root: root.to_owned(),
            engine: state.map(|state| state.engine),
            state: overall,
            url: state.filter(|_| has_backend).map(|state| thunder::backend_url(state.ports)),
            services,
        }
    }

    /// A failure unless everything that should run does and is healthy.
    pub fn check(&self) -> Result<()> {
        if self.state != Overall::Degraded {
            return Ok(());
        }
        let bad: Vec<&ServiceReport> =
            self.services.iter().filter(|service| service.wanted && !service.is_well()).collect();
        let names: Vec<&str> = bad.iter().map(|service| service.name.name()).collect();
        let what = if names.len() == 1 { "is" } else { "are" };
        let failure = Failure::new(Exit::Unhealthy, format!("{} {what} not as it should be", names.join(" and ")));
        let failure = failure.details(bad.iter().map(|service| {
            let why = service.detail.clone().unwrap_or_else(|| "it ended by itself".to_owned());
            format!("{}: {why}", service.name)
        }));
        let has_exited = bad.iter().any(|service| service.state != RunState::Running || service.lost_its_watcher());
        let failure = if has_exited { failure.hint("cargo xtask up") } else { failure.hint("cargo xtask restart") };
        Err(failure.hint(format!("cargo xtask logs {}", names.join(" "))).into())
    }
}

impl ServiceReport {
    /// Whether it answers, and is kept up to date where it should be.
    fn is_well(&self) -> bool {
        self.health == Some(Health::Healthy) && !self.lost_its_watcher()
    }

    fn lost_its_watcher(&self) -> bool {
        self.wanted && self.watch.as_ref().is_some_and(|watch| !watch.running)
    }

    fn of(service: Service, seen: Seen, state: Option<&State>, settings: Option<&Settings>) -> Self {
        let wanted = state.is_some_and(|state| state.wanted.contains(&service));
        let running = match seen.state {
            RunState::Stopped if wanted => RunState::Exited,
            running => running,
        };
        let port = state.map(|state| state.ports.of(service)).filter(|_| running != RunState::Stopped);
        let server = seen.server.filter(|_| running != RunState::Stopped);
        let mut report = Self {
            name: service,
            wanted,
            state: running,
            health: None,
            detail: None,
            address: port.map(|port| match service {
                Service::Backend => format!("http://127.0.0.1:{port}"),
                Service::Postgres | Service::Redis => format!("127.0.0.1:{port}"),
            }),
            port,
            pid: seen.pid,
            container: seen.container,
            uptime_seconds: seen.age.map(|age| age.as_secs()),
            product: server.as_ref().map(|server| server.product.clone()),
            version: server.as_ref().map(|server| server.version.clone()),
            source: server.as_ref().map(|Server { source, .. }| *source),
            commit: None,
            log: seen.log,
            watch: seen.watch,
        };
        match running {
            RunState::Running => report.examine(port.unwrap_or_default(), settings),
            RunState::Exited => report.detail = Some(seen.ended.unwrap_or_else(|| "it ended by itself".to_owned())),
            RunState::Stopped => {}
        }
        if report.detail.is_none() {
            report.detail = report.of_watch();
        }
        report
    }

    /// Why what was edited last does not serve, if that is so.
    fn of_watch(&self) -> Option<String> {
        let watch = self.watch.as_ref().filter(|_| self.state == RunState::Running)?;
        if self.lost_its_watcher() {
            return Some("its watcher is gone: what is edited is not built".to_owned());
        }
        let problem = watch.says.as_ref()?.problem.as_ref()?;
        Some(format!("serving an older build: {problem}"))
    }

    fn examine(&mut self, port: u16, settings: Option<&Settings>) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let answer = match self.name {
            Service::Postgres => postgres::ping(address, ROLE, DATABASE),
            Service::Redis => match settings.and_then(|settings| settings.get(thunder::REDIS_PASSWORD)) {
                Some(password) => redis::ping(address, password),
                None => Err("its password is not in the settings".to_owned()),
            },
            Service::Backend => backend::health(address, HEALTH_PATH).map(|health| {
                self.product = Some(thunder::PRODUCT.to_owned());
                self.version = Some(health.version);
                self.commit = Some(health.commit);
            }),
        };
        self.health = Some(if answer.is_ok() { Health::Healthy } else { Health::Unhealthy });
        self.detail = answer.err();
    }
}
