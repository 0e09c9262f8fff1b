//! How the stack is: each service's state, health, address and age, in one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::service::{Service, local};
use super::state::{EngineKind, Server, Source, State};
use super::watch::report::WatchReport;
use crate::failure::{Exit, Failure};
use crate::lock::Holder;
use crate::project::Project;
use crate::settings::Settings;

/// The tasks that start services: while one of them runs, what does not run yet is no crash.
const STARTING: [&str; 3] = ["up", "watch", "restart"];

/// How the stack is.
#[derive(Debug, Serialize)]
pub struct Report {
    schema_version: u32,
    /// The checkout.
    pub root: String,
    /// What runs it; none when it was never started.
    pub engine: Option<EngineKind>,
    /// All of it in a word.
    pub state: Overall,
    /// Where the API answers.
    pub url: Option<String>,
    /// The task that is changing the stack now.
    pub task: Option<Holder>,
    /// Why the last start failed, where it did.
    pub failure: Option<String>,
    /// Processes that belong to it and that no record tells of, as name and number.
    pub strays: Vec<(String, u32)>,
    /// Each part.
    pub services: Vec<ServiceReport>,
}

/// A stack in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overall {
    /// What should run runs and is healthy.
    Up,
    /// A task is starting it.
    Starting,
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
    pub health: Option<HealthState>,
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

/// What an engine sees of all services.
#[derive(Debug, Clone, Default)]
pub struct View {
    services: BTreeMap<Service, Seen>,
    strays: Vec<(String, u32)>,
}

/// Whether a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It does.
    Running,
    /// A task is starting it.
    Starting,
    /// It was started, and ended by itself.
    Exited,
    /// It was not started, or was stopped.
    Stopped,
}

/// Whether a service answers as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// It does.
    Healthy,
    /// It does not.
    Unhealthy,
}

/// What a service that answers as it should tells of itself.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// What it is, where it tells.
    pub about: Option<About>,
}

/// What a service tells of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// The product.
    pub product: String,
    /// Its version.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
}

impl View {
    /// What the function sees of each service.
    pub fn of_each(see: impl Fn(Service) -> Seen) -> Self {
        Self { services: Service::ALL.into_iter().map(|service| (service, see(service))).collect(), strays: Vec::new() }
    }

    /// The same, with processes that no record tells of.
    pub fn with_strays(self, strays: Vec<(String, u32)>) -> Self {
        Self { strays, ..self }
    }
}

impl Seen {
    /// A service of which there is nothing.
    pub fn nothing(service: Service) -> Self {
        Self {
            state: RunState::Stopped,
            pid: None,
            container: None,
            age: None,
            server: None,
            ended: None,
            log: format!("cargo xtask logs {service}"),
            watch: None,
        }
    }
}

impl Report {
    /// Asks every service.
    pub fn of(
        project: &Project,
        state: Option<&State>,
        settings: Option<&Settings>,
        view: &View,
        task: Option<Holder>,
    ) -> Self {
        let starter = task.as_ref().filter(|task| STARTING.contains(&task.task.as_str()));
        let is_part = |service: &Service| {
            let is_wanted = state.is_some_and(|state| state.wanted.contains(service));
            let is_seen = view.services.get(service).is_some_and(|seen| seen.state != RunState::Stopped);
            !service.is_optional() || is_wanted || is_seen
        };
        let services: Vec<ServiceReport> = Service::ALL
            .into_iter()
            .filter(is_part)
            .map(|service| {
                let seen = view.services.get(&service).cloned().unwrap_or_else(|| Seen::nothing(service));
                ServiceReport::of(service, seen, state, settings, starter)
            })
            .collect();
        let mut wanted = services.iter().filter(|service| service.wanted).peekable();
        let overall = match (wanted.peek().is_some(), view.strays.is_empty()) {
            (false, true) if starter.is_none() => Overall::Down,
            (true, true) if wanted.all(ServiceReport::is_well) => Overall::Up,
            _ if starter.is_some() => Overall::Starting,
            _ => Overall::Degraded,
        };
        let backend = services.iter().find(|service| service.name == Service::Backend && service.health.is_some());
        Self {
            schema_version: 1,
            root: project.root().display().to_string(),
            engine: state.map(|state| state.engine),
            state: overall,
            url: backend.and_then(|backend| backend.address.clone()),
            failure: state.and_then(|state| state.failure.clone()),
            strays: view.strays.clone(),
            task,
            services,
        }
    }

    /// A failure unless everything that should run does and is healthy.
    pub fn check(&self) -> Result<()> {
        match self.state {
            Overall::Up | Overall::Down => Ok(()),
            Overall::Starting => {
                let task = self.task.as_ref().map_or("up", |task| task.task.as_str());
                let age = self.task.as_ref().and_then(Holder::age).unwrap_or_default();
                let what = format!("`{task}` has been starting the stack for {}", humantime::format_duration(age));
                Err(Failure::new(Exit::Unhealthy, what).hint("cargo xtask up, which waits for it").into())
            }
            Overall::Degraded => Err(self.what_is_bad().into()),
        }
    }

    fn what_is_bad(&self) -> Failure {
        if !self.strays.is_empty() {
            let named = self.strays.iter().map(|(name, pid)| format!("{name} (process {pid})"));
            return Failure::new(Exit::Unhealthy, "processes of this stack run that no record tells of")
                .details(named)
                .hint("cargo xtask up, which ends them and starts the stack again")
                .hint("cargo xtask down, which ends them");
        }
        let bad: Vec<&ServiceReport> =
            self.services.iter().filter(|service| service.wanted && !service.is_well()).collect();
        let names: Vec<&str> = bad.iter().map(|service| service.name.name()).collect();
        let what = if names.len() == 1 { "is" } else { "are" };
        let failure = Failure::new(Exit::Unhealthy, format!("{} {what} not as it should be", names.join(" and ")));
        let failure = failure.details(bad.iter().map(|service| {
            let why = service.detail.clone().unwrap_or_else(|| "it does not run".to_owned());
            format!("{}: {why}", service.name)
        }));
        let has_ended = bad.iter().any(|service| service.state != RunState::Running || service.lost_its_watcher());
        let problems = bad.iter().filter_map(|service| service.watch.as_ref()?.says.as_ref());
        let hints: Vec<&String> = problems.flat_map(|says| &says.hints).collect();
        let failure = match (has_ended, hints.is_empty()) {
            (true, _) => failure.hint("cargo xtask up"),
            (false, true) => failure.hint("cargo xtask restart"),
            (false, false) => hints.into_iter().fold(failure, Failure::hint),
        };
        failure.hint(format!("cargo xtask logs {}", names.join(" ")))
    }
}

impl ServiceReport {
    /// Whether it answers, and is kept up to date where it should be.
    fn is_well(&self) -> bool {
        self.health == Some(HealthState::Healthy) && !self.lost_its_watcher()
    }

    fn lost_its_watcher(&self) -> bool {
        self.wanted && self.watch.as_ref().is_some_and(|watch| !watch.running)
    }

    fn of(
        service: Service,
        seen: Seen,
        state: Option<&State>,
        settings: Option<&Settings>,
        starter: Option<&Holder>,
    ) -> Self {
        let wanted = state.is_some_and(|state| state.wanted.contains(&service));
        let failure = state.and_then(|state| state.failure.as_ref());
        let (running, why) = match (seen.state, starter) {
            (RunState::Running, _) => (RunState::Running, None),
            (_, Some(task)) if wanted => {
                let age = task.age().map(|age| format!(", for {}", humantime::format_duration(age)));
                (RunState::Starting, Some(format!("starting, by `{}`{}", task.task, age.unwrap_or_default())))
            }
            (_, None) if wanted && failure.is_some() => {
                let why = failure.map(|why| format!("stopped, because the last start failed: {why}"));
                (RunState::Stopped, why)
            }
            (RunState::Exited, _) => (RunState::Exited, seen.ended.or_else(|| Some("it ended by itself".to_owned()))),
            _ if wanted => (RunState::Exited, seen.ended.or_else(|| Some("it is gone".to_owned()))),
            _ => (RunState::Stopped, None),
        };
        let is_there = running != RunState::Stopped;
        let port = state.map(|state| state.ports.of(service)).filter(|_| is_there);
        let server = seen.server.filter(|_| is_there);
        let mut report = Self {
            name: service,
            wanted,
            state: running,
            health: None,
            detail: why,
            address: port.map(|port| service.definition().address(port)),
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
        if running == RunState::Running {
            report.examine(port.unwrap_or_default(), settings);
        }
        match report.problem() {
            // It says why, where the service itself can only say that something is wrong.
            Some(problem) if report.health == Some(HealthState::Unhealthy) => report.detail = Some(problem.to_owned()),
            _ if report.detail.is_none() => report.detail = report.of_watch(),
            _ => {}
        }
        report
    }

    /// Why what was edited last does not serve, if that is so.
    fn of_watch(&self) -> Option<String> {
        if self.watch.is_none() || self.state != RunState::Running {
            return None;
        }
        if self.lost_its_watcher() {
            return Some("its watcher is gone: what is edited is not built".to_owned());
        }
        self.problem().map(|problem| format!("serving an older build: {problem}"))
    }

    /// What keeps the watcher from serving what was edited last.
    fn problem(&self) -> Option<&str> {
        self.watch.as_ref()?.says.as_ref()?.problem.as_deref()
    }

    fn examine(&mut self, port: u16, settings: Option<&Settings>) {
        let answer = self.name.definition().health(local(port), settings);
        self.health = Some(if answer.is_ok() { HealthState::Healthy } else { HealthState::Unhealthy });
        match answer {
            Ok(Health { about: Some(about) }) => {
                self.product = Some(about.product);
                self.version = Some(about.version);
                self.commit = Some(about.commit);
            }
            Ok(Health { about: None }) => {}
            Err(why) => self.detail = Some(why),
        }
    }
}

#[cfg(test)]
mod tests;
