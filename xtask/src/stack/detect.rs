//! Which engine runs a stack, and which Docker there is.

use anyhow::Result;

use super::state::{EngineKind, State};
use crate::failure::{Exit, Failure, exit_code};
use crate::runner::Runner;
use crate::step::Step;
use crate::tool::docker::{self, Daemon};
use crate::tool::system::{Package, install_command};
use crate::tool::{compose, version};

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum EngineChoice {
    /// The best there is
    #[default]
    Auto,
    /// Containers
    Docker,
    /// Processes of this machine
    Host,
}

/// The engine, and in a line why it is this one; no line where there was nothing to decide.
///
/// A stack that is up keeps its engine until `down`, and `auto` stays where this checkout's data is. Else it takes
/// Docker, but only where everything is there: `fetch` gets what is missing of the images, because somebody who cannot,
/// goes on without Docker.
pub fn choose(
    choice: EngineChoice,
    state: Option<&State>,
    runner: &dyn Runner,
    fetch: &dyn Fn() -> Result<()>,
) -> Result<(EngineKind, Option<String>)> {
    let before = state.map(|state| state.engine);
    let running = before.filter(|_| state.is_some_and(|state| !state.wanted.is_empty()));
    match (choice, running, before) {
        (EngineChoice::Docker, Some(EngineKind::Host), _) => Err(is_up(EngineKind::Host).into()),
        (EngineChoice::Host, Some(EngineKind::Docker), _) => Err(is_up(EngineKind::Docker).into()),
        (_, Some(engine), _) => Ok((engine, None)),
        (EngineChoice::Host, None, _) => host(moves(EngineKind::Host, before)),
        (EngineChoice::Docker, None, _) => {
            look_for_docker(runner)?;
            Ok((EngineKind::Docker, moves(EngineKind::Docker, before)))
        }
        (EngineChoice::Auto, None, Some(engine)) => stay(engine, runner),
        (EngineChoice::Auto, None, None) => {
            match look_for_docker(runner).map_err(anyhow::Error::from).and_then(|_| fetch()) {
                Ok(()) => Ok((EngineKind::Docker, Some("engine: docker (--engine host runs without it)".to_owned()))),
                Err(error) if exit_code(&error) == Exit::Missing as u8 => host(Some(format!("engine: host ({error})"))),
                Err(error) => Err(error),
            }
        }
    }
}

/// What somebody has to know who asks for another engine than the one that this checkout had so far.
fn moves(engine: EngineKind, before: Option<EngineKind>) -> Option<String> {
    let other = before.filter(|before| *before != engine)?;
    Some(format!("engine: {engine}, with data of its own; what was stored so far is kept for --engine {other}"))
}

/// Where this checkout's data is.
fn stay(engine: EngineKind, runner: &dyn Runner) -> Result<(EngineKind, Option<String>)> {
    if engine == EngineKind::Docker
        && let Err(failure) = look_for_docker(runner)
    {
        let what = format!("this checkout's data is in Docker, and {failure}");
        return Err(failure.hints().iter().fold(Failure::new(Exit::Missing, what), Failure::hint).into());
    }
    let why = format!("engine: {engine}, where this checkout's data is (--engine {} has its own)", engine.other());
    Ok((engine, Some(why)))
}

fn is_up(engine: EngineKind) -> Failure {
    Failure::new(Exit::Failed, format!("the stack is up on the {engine} engine, and each engine has data of its own"))
        .hint("cargo xtask down, then again")
}

fn host(why: Option<String>) -> Result<(EngineKind, Option<String>)> {
    if cfg!(unix) {
        return Ok((EngineKind::Host, why));
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
    /// Whether it builds images by itself: Podman has no `BuildKit`, and would have to fetch one.
    pub has_own_builder: bool,
}

fn unfit(why: String) -> Failure {
    Failure::new(Exit::Missing, why)
}

/// The Docker that answers, or why a stack cannot run on it.
pub fn look_for_docker(runner: &dyn Runner) -> Result<Found, Failure> {
    if runner.find("docker").is_none() {
        return Err(unfit("Docker is not installed".to_owned()).hint(install_command(Package::Docker)));
    }
    let ask = |step: &Step| runner.read(step).map_err(|error| unfit(format!("Docker does not answer: {error:#}")));
    let (engine, is_podman) = match docker::parse_daemon(&ask(&docker::daemon_version())?) {
        Daemon::Answers { version, is_podman } => (version, is_podman),
        Daemon::Silent(_, reason) => return Err(silent(&reason, runner)),
    };
    if !is_podman && version::major_minor(&engine).is_some_and(|found| found < docker::MINIMUM) {
        let (major, minor) = docker::MINIMUM;
        return Err(unfit(format!("Docker Engine {engine} is too old; {major}.{minor} or newer is needed"))
            .hint(install_command(Package::Docker)));
    }
    let output = ask(&docker::compose_version())?;
    let found = output.stdout.trim().to_owned();
    match version::major_minor(&found).filter(|_| output.is_success()) {
        Some(numbers) if numbers >= compose::MINIMUM => {
            Ok(Found { engine, compose: found, kind: kind(is_podman, runner), has_own_builder: is_podman })
        }
        found => Err(no_compose(found, runner)),
    }
}

/// What is special about a daemon, for `doctor`; an answer that does not come changes nothing.
fn kind(is_podman: bool, runner: &dyn Runner) -> Option<&'static str> {
    if is_podman {
        return Some("Podman behind Docker's interface");
    }
    let options = runner.read(&docker::security_options()).unwrap_or_default().stdout;
    options.contains("name=rootless").then_some("rootless")
}

fn no_compose(found: Option<(u32, u32)>, runner: &dyn Runner) -> Failure {
    let (major, minor) = compose::MINIMUM;
    let what = match found {
        Some((old_major, old_minor)) => format!("Docker Compose {old_major}.{old_minor} is too old"),
        None if runner.find("docker-compose").is_some() => {
            "docker-compose is version 1, which ended in 2023; `docker compose` is not there".to_owned()
        }
        None => "Docker has no Compose".to_owned(),
    };
    unfit(format!("{what}; {major}.{minor} or newer is needed"))
        .hint("install Docker's compose plugin: https://docs.docker.com/compose/install/")
}

fn silent(reason: &str, runner: &dyn Runner) -> Failure {
    if reason.contains("permission denied") {
        return unfit("you may not use Docker: not in its group".to_owned())
            .hint("sudo usermod --append --groups docker \"$USER\", then log in again");
    }
    let context = runner.read(&docker::context()).unwrap_or_default().stdout.trim().to_owned();
    let is_own = !context.is_empty() && context != "default";
    let place = if is_own { format!(" (context {context})") } else { String::new() };
    let failure = unfit(format!("no Docker daemon answers{place}"));
    let failure = if reason.contains("Is the docker daemon running") || reason.contains("Cannot connect") {
        failure
    } else {
        failure.details([reason.to_owned()])
    };
    let failure = if cfg!(target_os = "linux") {
        failure.hint("sudo systemctl start docker")
    } else {
        failure.hint("start Docker Desktop")
    };
    if is_own { failure.hint("docker context use default, if that is the wrong one") } else { failure }
}

#[cfg(test)]
mod tests;
