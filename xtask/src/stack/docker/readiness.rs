//! Whether a service's containers are ready, and why not.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::failure::{Exit, Failure};
use crate::plan::{Probe, Unready};
use crate::runner::Runner;
use crate::stack::service::Service;
use crate::tool::compose::{self, Compose, Container};
use crate::tool::docker;

/// How many of a container's last lines are shown when it fails.
const EVIDENCE: u32 = 25;
/// How long what was seen of the containers is good for: several services are waited for at once. Recorded answers take
/// no time.
const MAXIMUM_AGE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 250 });

/// The containers of a stack, looked at for all services at once.
pub struct Containers {
    compose: Compose,
    maximum_age: Duration,
    seen: Mutex<Option<(Instant, Vec<Container>)>>,
}

impl Containers {
    /// Those of this project.
    pub fn of(compose: Compose) -> Self {
        Self { compose, maximum_age: MAXIMUM_AGE, seen: Mutex::new(None) }
    }

    fn of_service(&self, service: Service, runner: &dyn Runner) -> Result<Vec<Container>, String> {
        // Held while asking, so that those who wait at the same time get the same answer.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.as_ref().is_none_or(|(when, _)| when.elapsed() > self.maximum_age) {
            *seen = Some((Instant::now(), all(&self.compose, runner)?));
        }
        let containers = seen.iter().flat_map(|(_, containers)| containers);
        Ok(containers.filter(|container| container.service == service.name()).cloned().collect())
    }
}

/// Every container of the project.
pub fn all(compose: &Compose, runner: &dyn Runner) -> Result<Vec<Container>, String> {
    let output = runner.read(&compose.containers()).map_err(|error| format!("{error:#}"))?;
    if !output.is_success() {
        return Err(output.stderr.lines().last().unwrap_or("docker compose ps fails").to_owned());
    }
    compose::parse_containers(&output)
}

/// A service's container answers as the service's clients would have it; several are healthy by their own check.
pub struct ContainerIsReady {
    /// The service.
    pub service: Service,
    /// Where to look for it.
    pub containers: Arc<Containers>,
    /// The question that its clients would ask.
    pub answers: Box<dyn Probe>,
}

impl Probe for ContainerIsReady {
    fn look(&self, runner: &dyn Runner) -> Result<(), Unready> {
        let containers = self.containers.of_service(self.service, runner)?;
        for container in &containers {
            if let Some(failure) = failure(container, runner) {
                return Err(Unready::Failed(failure));
            }
        }
        match containers.as_slice() {
            [] => Err("its container is not there yet".to_owned().into()),
            // Its own check comes at intervals: what that says may be old, in both directions.
            [one] if one.state == "running" => self.answers.look(runner),
            all if all.iter().all(|container| container.health == "healthy") => Ok(()),
            all => {
                let healthy = all.iter().filter(|container| container.health == "healthy").count();
                Err(format!("{healthy} of {} containers are healthy", all.len()).into())
            }
        }
    }

    fn evidence(&self, runner: &dyn Runner) -> Vec<String> {
        let containers = self.containers.of_service(self.service, runner).unwrap_or_default();
        containers.iter().flat_map(|container| evidence(container, runner)).collect()
    }
}

impl fmt::Display for ContainerIsReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.answers.fmt(f)
    }
}

/// Why the container will not become healthy, if that is so.
fn failure(container: &Container, runner: &dyn Runner) -> Option<Failure> {
    if !["exited", "dead", "restarting"].contains(&container.state.as_str()) {
        return None;
    }
    let state = runner.read(&docker::state(&container.name)).ok().as_ref().and_then(docker::parse_state);
    let how = match &state {
        Some(state) if state.is_out_of_memory => "used more memory than it may, and was killed".to_owned(),
        Some(state) => format!("ended with exit code {}", state.exit_code),
        None => format!("ended with exit code {}", container.exit_code),
    };
    let again = if container.state == "restarting" { ", again and again" } else { "" };
    let words = evidence(container, runner);
    let failure = Failure::new(Exit::Failed, format!("{} {how}{again}, before it was ready", container.service));
    let is_older = words.iter().any(|line| line.contains("database files are incompatible with server"));
    let failure = failure.details(words);
    Some(if is_older {
        failure
            .hint("cargo xtask clean, which removes that data, then again")
            .hint("take the data over with the PostgreSQL that made it (pg_dump), which leaves it as it is")
    } else {
        failure.hint(format!("cargo xtask logs {}", container.service))
    })
}

/// What the container's check said last, and the end of what the container itself said.
fn evidence(container: &Container, runner: &dyn Runner) -> Vec<String> {
    let mut lines = Vec::new();
    let state = runner.read(&docker::state(&container.name)).ok().as_ref().and_then(docker::parse_state);
    if let Some(health) = state.as_ref().and_then(docker::State::last_health) {
        lines.push(format!("its check says: {health}"));
    }
    let words = runner.read(&docker::last_words(&container.name, EVIDENCE)).unwrap_or_default().lines();
    if words.is_empty() {
        lines.push(format!("{} says nothing", container.name));
    } else {
        lines.push(format!("the end of what {} says:", container.name));
        lines.extend(words.into_iter().map(|line| format!("| {line}")));
    }
    lines
}

#[cfg(test)]
mod tests;
