//! Which engine runs the stack.

use anyhow::Result;

use super::state::{Engine, State};
use crate::failure::{Exit, Failure};
use crate::runner::Runner;
use crate::tool::docker::{self, Daemon};
use crate::tool::system::{Package, install_command};

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// The best there is.
    #[default]
    Auto,
    /// Containers.
    Docker,
    /// Processes of this machine.
    Host,
}

/// The engine, and in a line why it is this one; no line where there was nothing to decide.
pub fn choose(wish: Wish, state: Option<&State>, runner: &dyn Runner) -> Result<(Engine, Option<String>)> {
    // A stack that is up keeps its engine until `down`.
    let running = state.filter(|state| !state.wanted.is_empty()).map(|state| state.engine);
    match (wish, running) {
        (Wish::Docker, _) => Err(no_docker_engine().into()),
        (_, Some(engine)) => Ok((engine, None)),
        (Wish::Host, None) => host(None),
        (Wish::Auto, None) => host(Some(why_not_docker(runner))),
    }
}

fn host(why: Option<String>) -> Result<(Engine, Option<String>)> {
    if cfg!(unix) {
        return Ok((Engine::Host, why));
    }
    Err(Failure::new(Exit::Missing, "the host engine runs on Linux and macOS only")
        .next("run it inside of WSL 2")
        .next(format!("{}, once the Docker engine is there", install_command(Package::Docker)))
        .into())
}

fn no_docker_engine() -> Failure {
    Failure::new(Exit::Missing, "xtask has no Docker engine yet").next("--engine host, which needs no Docker")
}

/// Why `auto` is not Docker, as it is here.
fn why_not_docker(runner: &dyn Runner) -> String {
    if which::which("docker").is_err() {
        return "engine: host (Docker is not installed)".to_owned();
    }
    match runner.read(&docker::daemon_version()).map(|output| docker::parse_daemon(&output)) {
        Ok(Daemon::Answers(version)) => {
            format!("engine: host (Docker {version} answers here, but xtask has no Docker engine yet)")
        }
        Ok(Daemon::Silent(_, reason)) => format!("engine: host (no Docker daemon answers: {reason})"),
        Err(error) => format!("engine: host (Docker does not answer: {error:#})"),
    }
}
