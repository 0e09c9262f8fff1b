//! An image, booted exactly as production would, against a throw-away PostgreSQL and Redis.

#[cfg(test)]
pub mod tests;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Action, Await, Lane, Phase, Plan, Probe, Unready, Value};
use crate::product::setting::{DATABASE_URL, FOR_A_TRY, GENERATED, POSTGRES_PASSWORD, REDIS_URL};
use crate::product::{self, BINARY, DATABASE, POSTGRES_IMAGE, REDIS_IMAGE, ROLE};
use crate::runner::{self, Runner};
use crate::settings;
use crate::step::Step;
use crate::tool::backend::{self, Variable};
use crate::tool::docker::{self, Kind};
use crate::wait;

/// How long the servers, and then the backend, may take to become ready.
const READINESS_TIMEOUT: Duration = Duration::from_mins(1);
/// Seconds that the backend is given to end after SIGTERM: its own timeout, and a little.
const STOP_TIMEOUT: u64 = 12;
/// How long memory is left to settle before it is measured.
const IDLE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 2 });
/// How long the walk through the service may take.
const SMOKE_TIMEOUT: Duration = Duration::from_mins(2);
/// How many lines of a container's output are shown when it fails.
const EVIDENCE: u32 = 25;

/// What a boot showed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Boot {
    /// From the start of its process to the first healthy answer.
    pub healthy_ms: u128,
    /// What the process and its files in memory take when nobody asks anything.
    pub idle_memory_bytes: u64,
    /// From SIGTERM to its end.
    pub stopped_ms: u128,
}

/// The containers and the network of one boot.
struct Surroundings {
    /// The name of the network, and what the containers' names begin with.
    name: String,
    project: String,
    /// The stack's own label, so that `clean` finds what a killed task has left.
    label: String,
    password: String,
    image: String,
}

/// The phases of a boot: what it needs, the image as it migrates and serves, and its end. Nothing of it is left,
/// whatever came of it.
pub fn phases(context: &Context, image: &str, boot: &Value<Boot>) -> Result<Vec<Phase>> {
    let project = context.project.name();
    let around = Arc::new(Surroundings {
        name: format!("{project}-boot-{}", std::process::id()),
        label: format!("com.docker.compose.project={project}"),
        password: settings::secret()?,
        image: image.to_owned(),
        project,
    });
    let (healthy, memory) = (Value::new("time to healthy"), Value::new("memory"));
    let port = Value::new("port");
    Ok(vec![
        Phase::new("network", "have a network of its own", {
            let around = Arc::clone(&around);
            move |_| Ok(around.network())
        })
        .finally(remove(&around, "the network", Surroundings::remove_network)),
        Phase::new("servers", "have a throw-away PostgreSQL and Redis", {
            let around = Arc::clone(&around);
            move |context| around.servers(context)
        })
        .finally(remove(&around, "every container of", Surroundings::remove_containers)),
        Phase::new("migrate", "bring the schema up, as a deploy does before anything serves", {
            let around = Arc::clone(&around);
            move |_| around.migrate()
        }),
        Phase::new("serve", "see the image become healthy and work", {
            let (around, healthy, memory) = (Arc::clone(&around), healthy.clone(), memory.clone());
            move |_| around.serve(&port, &healthy, &memory)
        }),
        Phase::new("stop", "see it end by itself after SIGTERM", {
            let (around, boot) = (Arc::clone(&around), boot.clone());
            move |_| Ok(around.stop(&healthy, &memory, &boot))
        }),
    ])
}

/// The plan that removes something of a boot.
fn remove(
    around: &Arc<Surroundings>,
    what: &str,
    remove: fn(&Surroundings, &dyn Runner) -> Result<()>,
) -> impl Fn() -> Result<Plan> + use<> {
    let (around, what) = (Arc::clone(around), format!("remove {what} {}", around.name));
    move || {
        let around = Arc::clone(&around);
        let action = Action::check(&what, move |access| remove(&around, access.runner));
        Ok(Plan::of("clean", vec![action], "removed"))
    }
}

impl Surroundings {
    fn named(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    fn network(&self) -> Plan {
        Plan::of("network", vec![Action::Run(docker::make_network(&self.name, &self.label))], "made")
    }

    fn servers(&self, context: &Context) -> Result<Plan> {
        let variables = [
            Variable::secret(POSTGRES_PASSWORD, &self.password),
            Variable::plain("POSTGRES_USER", ROLE),
            Variable::plain("POSTGRES_DB", DATABASE),
        ];
        let by_tcp: &[&str] = &["pg_isready", "--quiet", "--host=127.0.0.1"];
        let postgres: &[&str] = &["-c", "fsync=off"];
        let redis: &[&str] = &["redis-server", "--save", ""];
        let servers = [
            ("postgres", &variables[..], POSTGRES_IMAGE, postgres, by_tcp),
            ("redis", &[], REDIS_IMAGE, redis, &["redis-cli", "ping"]),
        ];
        let mut plan = Plan::default();
        for (alias, variables, image, command, ready) in servers {
            let name = self.named(alias);
            let mut actions = Vec::new();
            if !super::is_present(&*context.runner, image)? {
                actions.push(Action::Run(docker::pull(image)));
            }
            let flags = ["--detach", "--network", &self.name, "--network-alias", alias, "--label", &self.label];
            let start = docker::run(&format!("start {alias}"), &name, &flags, variables, image, command);
            actions.push(Action::Run(start));
            actions.push(Action::Await(Await {
                service: alias.to_owned(),
                probe: Box::new(ContainerProbe { ask: docker::exec(&name, ready).only_reads(), container: name }),
                timeout: READINESS_TIMEOUT,
                process: None,
            }));
            plan.lanes.push(Lane { name: alias.to_owned(), actions, result: "ready".to_owned() });
        }
        Ok(plan)
    }

    /// Starts the image as production does: nothing that it could write to, nothing that it may do, little that it gets.
    fn run(&self, part: &str, flags: &[&str], command: &[&str]) -> Result<Step> {
        let database = format!("postgres://{ROLE}:{}@postgres:5432/{DATABASE}", self.password);
        let mut variables =
            vec![Variable::secret(DATABASE_URL, database), Variable::secret(REDIS_URL, "redis://redis:6379")];
        for name in GENERATED {
            variables.push(Variable::secret(name, settings::secret()?));
        }
        variables.extend(FOR_A_TRY.iter().map(|(name, value)| Variable::declared(name, *value)));
        let mut all = vec!["--network", &self.name, "--label", &self.label, "--read-only", "--cap-drop", "ALL"];
        all.extend(["--security-opt", "no-new-privileges", "--memory", "256m", "--pids-limit", "128"]);
        all.extend(flags);
        let purpose = format!("start the image ({part})");
        Ok(docker::run(&purpose, &self.named(part), &all, &variables, &self.image, command))
    }

    fn migrate(&self) -> Result<Plan> {
        let migrate = self.run("migrate", &["--rm"], &["migrate", "run"])?;
        Ok(Plan::of("migrate", vec![Action::Run(migrate)], "migrated"))
    }

    fn serve(&self, port: &Value<u16>, healthy: &Value<Duration>, memory: &Value<u64>) -> Result<Plan> {
        let backend = self.named("backend");
        let published = docker::published_port(&backend);
        let smoke = docker::exec(&backend, &[BINARY, "smoke", "--url", product::CONTAINER_URL]);
        let (first, container) = (healthy.clone(), backend.clone());
        let asked = port.clone();
        let actions = vec![
            Action::Run(self.run("backend", &["--detach", "--publish", "127.0.0.1::3000"], &[])?),
            Action::keep(published, port, docker::parse_published_port),
            Action::check("wait until the backend answers as healthy", move |access| {
                first.set(time_to_healthy(access, &container, *asked.get()?)?);
                Ok(())
            }),
            Action::Run(docker::exec(&backend, &[BINARY, "healthcheck"]).with_purpose("run the image's health check")),
            Action::Run(smoke.timeout(SMOKE_TIMEOUT)),
            Action::check("let its memory settle", |_| {
                wait::pause(IDLE);
                Ok(())
            }),
            Action::keep(docker::memory(&backend), memory, memory_of),
        ];
        Ok(Plan::of("serve", actions, "healthy, and every step of the walk passed"))
    }

    fn stop(&self, healthy: &Value<Duration>, memory: &Value<u64>, boot: &Value<Boot>) -> Plan {
        let backend = self.named("backend");
        let stopped = Value::new("time to stopped");
        let stop = Action::Timed(stopped.clone(), Box::new(Action::Run(docker::stop(&backend, STOP_TIMEOUT))));
        let (healthy, memory, boot) = (healthy.clone(), memory.clone(), boot.clone());
        let container = backend.clone();
        let actions = vec![
            stop,
            Action::check("look at its exit code", move |access| {
                let state = docker::parse_state(&access.runner.read(&docker::state(&container))?);
                match state.map(|state| state.exit_code) {
                    Some(0) => {}
                    code => {
                        let code =
                            code.map_or_else(|| "an unknown exit code".to_owned(), |code| format!("exit code {code}"));
                        let what = format!("it ended with {code} instead of 0 after SIGTERM");
                        return Err(failure(access.runner, &container, &what).into());
                    }
                }
                boot.set(Boot {
                    healthy_ms: healthy.get()?.as_millis(),
                    idle_memory_bytes: *memory.get()?,
                    stopped_ms: stopped.get()?.as_millis(),
                });
                Ok(())
            }),
        ];
        Plan::of("stop", actions, "ended with exit code 0")
    }

    fn remove_containers(&self, runner: &dyn Runner) -> Result<()> {
        let mut containers = runner::lines(runner, &docker::resources(Kind::Container, &self.project))?;
        containers.retain(|name| name.starts_with(&self.name));
        if !containers.is_empty() {
            runner::read_well(runner, &docker::remove_containers(&containers))?;
        }
        Ok(())
    }

    fn remove_network(&self, runner: &dyn Runner) -> Result<()> {
        if runner::lines(runner, &docker::resources(Kind::Network, &self.project))?.contains(&self.name) {
            runner::read_well(runner, &docker::remove(Kind::Network, std::slice::from_ref(&self.name)))?;
        }
        Ok(())
    }
}

/// From the start of the container's process to its first healthy answer.
fn time_to_healthy(access: &Access<'_>, container: &str, port: u16) -> Result<Duration> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let waited = wait::until(READINESS_TIMEOUT, access.cancel, || {
        Ok(match backend::health(address, product::HEALTH_PATH) {
            Ok(_) => wait::Poll::Ready(SystemTime::now()),
            Err(seen) => {
                access.line.detail(&seen);
                wait::Poll::Pending(seen)
            }
        })
    })?;
    let wait::Waited::Done(healthy) = waited else {
        return Err(failure(access.runner, container, "it did not become healthy in time").into());
    };
    let state = docker::parse_state(&access.runner.read(&docker::state(container))?);
    let started = state.and_then(|state| humantime::parse_rfc3339(&state.started_at).ok());
    let started = started.context("docker does not tell when the container was started")?;
    Ok(healthy.duration_since(started).unwrap_or_default())
}

fn failure(runner: &dyn Runner, container: &str, what: &str) -> Failure {
    Failure::new(Exit::Unhealthy, format!("the image was booted, and {what}")).details(last_words(runner, container))
}

fn last_words(runner: &dyn Runner, container: &str) -> Vec<String> {
    let words = runner.read(&docker::last_words(container, EVIDENCE)).unwrap_or_default().lines();
    words.into_iter().map(|line| format!("| {line}")).collect()
}

/// Whether a command in a container ends well.
struct ContainerProbe {
    container: String,
    ask: Step,
}

impl fmt::Display for ContainerProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers", self.container)
    }
}

impl Probe for ContainerProbe {
    fn look(&self, runner: &dyn Runner) -> Result<(), Unready> {
        let output = runner.read(&self.ask).map_err(|error| Unready::NotYet(format!("{error:#}")))?;
        if output.is_success() { Ok(()) } else { Err(Unready::NotYet(output.lines().join(" "))) }
    }

    fn evidence(&self, runner: &dyn Runner) -> Vec<String> {
        last_words(runner, &self.container)
    }
}

/// The bytes in what `docker stats` says: `12.34MiB / 256MiB`.
fn memory_of(said: &str) -> Option<u64> {
    let used = said.split('/').next()?.trim();
    let unit = used.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = used[..unit].parse().ok()?;
    let factor = match &used[unit..] {
        "B" => 1.0,
        "KiB" | "kB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of one process")]
    Some((number * factor) as u64)
}
