//! Which engine runs the stack, and what both of them do.

use anyhow::Result;

use super::docker::Docker;
use super::host::{Host, Request, UpOutcome};
use super::report::Report;
use super::state::{Engine, State};
use super::thunder::Service;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::lock::Lock;
use crate::plan::Plan;
use crate::runner::Runner;
use crate::settings::Settings;
use crate::step::Step;
use crate::tool::docker::{self, Daemon};
use crate::tool::system::{Package, install_command};
use crate::tool::{backend, compose};

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// The best there is.
    #[default]
    Auto,
    /// Containers.
    Docker,
    /// Processes of this machine.
    Host,
}

/// The stack of a checkout, on whichever engine it is.
pub enum Stack<'a> {
    /// As processes.
    Host(Host<'a>),
    /// As containers.
    Docker(Docker<'a>),
}

impl<'a> Stack<'a> {
    /// The stack as it is; one that was never started is the host's.
    pub fn open(context: &'a Context) -> Result<Self> {
        let host = Host::open(context)?;
        match host.state().map(|state| state.engine) {
            Some(Engine::Docker) => Ok(Self::Docker(Docker::open(context)?)),
            _ => Ok(Self::Host(host)),
        }
    }

    /// The stack, for a task that changes it and holds its lock.
    pub fn open_locked(context: &'a Context, lock: Option<&Lock>) -> Result<Self> {
        match Self::open(context)? {
            Self::Host(_) => Ok(Self::Host(Host::open_locked(context, lock)?)),
            docker @ Self::Docker(_) => Ok(docker),
        }
    }

    /// The stack on that engine, for a task that starts it and holds its lock.
    pub fn open_on(engine: Engine, context: &'a Context, lock: Option<&Lock>) -> Result<Self> {
        match engine {
            Engine::Host => Ok(Self::Host(Host::open_locked(context, lock)?)),
            Engine::Docker => Ok(Self::Docker(Docker::open(context)?)),
        }
    }

    /// What it is; none when it was never started here.
    pub fn state(&self) -> Option<&State> {
        match self {
            Self::Host(host) => host.state(),
            Self::Docker(docker) => docker.state(),
        }
    }

    /// Whether that service is running.
    pub fn is_running(&self, service: Service) -> Result<bool> {
        match self {
            Self::Host(host) => Ok(host.is_running(service)),
            Self::Docker(docker) => docker.is_running(service),
        }
    }

    /// Starts what is not running and waits for all of it; on failure stops what it had started.
    pub fn up(&mut self, request: &Request) -> Result<UpOutcome> {
        match self {
            Self::Host(host) => host.up(request),
            Self::Docker(docker) => docker.up(request),
        }
    }

    /// Stops what is running, keeping the data; false when nothing was.
    pub fn down(&mut self) -> Result<bool> {
        match self {
            Self::Host(host) => host.down(),
            Self::Docker(docker) => docker.down(),
        }
    }

    /// Stops these services, so that `up` starts them anew.
    pub fn stop_for_restart(&self, services: &[Service]) -> Result<()> {
        match self {
            Self::Host(host) => host.stop_for_restart(services),
            Self::Docker(docker) => docker.stop_for_restart(services),
        }
    }

    /// Stops these services for good, also after somebody has asked for an end of everything else.
    pub fn force_stop(&mut self, services: &[Service]) -> Result<()> {
        match self {
            Self::Host(host) => host.force_stop(services),
            Self::Docker(docker) => docker.force_stop(services),
        }
    }

    /// How it is.
    pub fn report(&self, context: &Context, settings: Option<&Settings>) -> Result<Report> {
        let root = context.project.root().display().to_string();
        Ok(match self {
            Self::Host(host) => Report::of(&root, host.state(), settings, |service| host.see(service)),
            Self::Docker(docker) => {
                let seen = docker.see()?;
                Report::of(&root, docker.state(), settings, |service| seen.of(service))
            }
        })
    }

    /// A command in the surroundings of a service.
    pub fn inside(&self, service: Service, command: &[String]) -> Result<Step> {
        match self {
            Self::Host(host) => host.inside(service, command),
            Self::Docker(docker) => docker.inside(service, command),
        }
    }

    /// The backend's own program with the stack's environment, while `service` is running, and what makes it first.
    pub fn thunder(&self, service: Service) -> Result<(backend::Thunder, Plan)> {
        match self {
            Self::Host(host) => host.thunder(service),
            Self::Docker(docker) => docker.thunder(service),
        }
    }
}

/// The engine, and in a line why it is this one; no line where there was nothing to decide.
///
/// `auto` takes Docker only where everything is there: what is missing of `images` is fetched now, because somebody who
/// can not, goes on without Docker.
pub fn choose(
    choice: EngineChoice,
    state: Option<&State>,
    runner: &dyn Runner,
    fetch: &dyn Fn() -> Result<()>,
) -> Result<(Engine, Option<String>)> {
    // A stack that is up keeps its engine until `down`.
    let running = state.filter(|state| !state.wanted.is_empty()).map(|state| state.engine);
    match (choice, running) {
        (EngineChoice::Docker, Some(Engine::Host)) => Err(is_up(Engine::Host).into()),
        (EngineChoice::Host, Some(Engine::Docker)) => Err(is_up(Engine::Docker).into()),
        (_, Some(engine)) => Ok((engine, None)),
        (EngineChoice::Host, None) => host(None),
        (EngineChoice::Docker, None) => look_for_docker(runner).map(|_| (Engine::Docker, None)).map_err(Into::into),
        (EngineChoice::Auto, None) => {
            match look_for_docker(runner).map_err(anyhow::Error::from).and_then(|_| fetch()) {
                Ok(()) => Ok((Engine::Docker, Some("engine: docker (--engine host runs without it)".to_owned()))),
                Err(error) if crate::failure::exit_code(&error) == Exit::Missing as u8 => {
                    host(Some(format!("engine: host ({error})")))
                }
                Err(error) => Err(error),
            }
        }
    }
}

fn is_up(engine: Engine) -> Failure {
    Failure::new(Exit::Failed, format!("the stack is up on the {engine} engine, and each engine has data of its own"))
        .hint("cargo xtask down, then again")
}

fn host(why: Option<String>) -> Result<(Engine, Option<String>)> {
    if cfg!(unix) {
        return Ok((Engine::Host, why));
    }
    let why = why.map(|why| format!("; {why}")).unwrap_or_default();
    Err(Failure::new(Exit::Missing, format!("the host engine runs on Linux and macOS only{why}"))
        .hint("run it inside of WSL 2")
        .hint(install_command(Package::Docker))
        .into())
}

/// A Docker that a stack can run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The engine's version.
    pub engine: String,
    /// Compose's version.
    pub compose: String,
    /// What is special about it, for `doctor`.
    pub kind: Option<&'static str>,
}

/// The Docker that answers, or why a stack cannot run on it.
pub fn look_for_docker(runner: &dyn Runner) -> Result<Found, Failure> {
    let unfit = |why: String| Failure::new(Exit::Missing, why);
    let without = "--engine host, which needs no Docker";
    if which::which("docker").is_err() {
        return Err(unfit("Docker is not installed".to_owned()).hint(install_command(Package::Docker)).hint(without));
    }
    let ask = |step: &Step| runner.read(step).map_err(|error| unfit(format!("Docker does not answer: {error:#}")));
    let (version, is_podman) = match docker::parse_daemon(&ask(&docker::daemon_version())?) {
        Daemon::Answers { version, is_podman } => (version, is_podman),
        Daemon::Silent(_, reason) => return Err(silent(&reason, runner).hint(without)),
    };
    if !is_podman && compose::parse_version(&version).is_some_and(|version| version < docker::MINIMUM) {
        let (major, minor) = docker::MINIMUM;
        return Err(unfit(format!("Docker Engine {version} is too old; {major}.{minor} or newer is needed"))
            .hint(install_command(Package::Docker))
            .hint(without));
    }
    let output = ask(&docker::compose_version())?;
    let (major, minor) = compose::MINIMUM;
    let found = output.stdout.trim().to_owned();
    match compose::parse_version(&found).filter(|_| output.is_success()) {
        Some(numbers) if numbers >= compose::MINIMUM => {
            let kind = if is_podman {
                Some("Podman behind Docker's interface")
            } else {
                let options = runner.read(&docker::security_options()).unwrap_or_default().stdout;
                options.contains("name=rootless").then_some("rootless")
            };
            Ok(Found { engine: version, compose: found, kind })
        }
        found => {
            let what = match found {
                Some((old_major, old_minor)) => format!("Docker Compose {old_major}.{old_minor} is too old"),
                None if which::which("docker-compose").is_ok() => {
                    "docker-compose is version 1, which ended in 2023; `docker compose` is not there".to_owned()
                }
                None => "Docker has no Compose".to_owned(),
            };
            Err(unfit(format!("{what}; {major}.{minor} or newer is needed"))
                .hint("install Docker's compose plugin: https://docs.docker.com/compose/install/")
                .hint(without))
        }
    }
}

fn silent(reason: &str, runner: &dyn Runner) -> Failure {
    let context = runner.read(&docker::context()).unwrap_or_default().stdout.trim().to_owned();
    let place =
        if context.is_empty() || context == "default" { String::new() } else { format!(" (context {context})") };
    let failure = Failure::new(Exit::Missing, format!("no Docker daemon answers{place}: {reason}"));
    let failure = if reason.contains("permission denied") {
        failure.hint("sudo usermod --append --groups docker \"$USER\", then log in again")
    } else if cfg!(target_os = "linux") {
        failure.hint("sudo systemctl start docker")
    } else {
        failure.hint("start Docker Desktop")
    };
    if place.is_empty() { failure } else { failure.hint("docker context use default, if that is the wrong one") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::thunder::Ports;

    #[test]
    fn a_stack_that_is_up_keeps_its_engine() {
        let mut state = State::new(Engine::Host, Ports::block(20_000));
        state.want(&[Service::Redis]);
        let terminal = std::sync::Arc::new(crate::terminal::Terminal::new(crate::terminal::Color::Never, false));
        let runner = crate::runner::Processes::new(terminal, crate::interrupt::CancelToken::never(), true);
        let choose = |choice| choose(choice, Some(&state), &runner, &|| Ok(()));
        assert_eq!(choose(EngineChoice::Auto).unwrap(), (Engine::Host, None));
        let error = choose(EngineChoice::Docker).unwrap_err().to_string();
        assert!(error.contains("up on the host engine"), "{error}");
    }
}
