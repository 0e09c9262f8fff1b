//! An image, booted exactly as production would, against a throw-away PostgreSQL and Redis.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::runner::{self, Runner};
use crate::settings;
use crate::stack::thunder::{self, Service};
use crate::step::Step;
use crate::tool::backend;
use crate::tool::docker::{self, Kind};
use crate::wait::{self, Poll, Waited};

/// How long the servers, and then the backend, may take to become ready.
const READY: Duration = Duration::from_mins(1);
/// How long the backend is given to end after SIGTERM: its own timeout, and a little.
const STOP: u64 = 12;
/// How long memory is left to settle before it is looked at.
const IDLE: Duration = Duration::from_secs(2);

/// How long the walk through the service may take.
const SMOKE: Duration = Duration::from_mins(2);

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

struct Booth<'a> {
    context: &'a Context,
    name: String,
    label: String,
    password: String,
}

/// Boots the image, walks through it, stops it; nothing of it is left, whatever came of it.
pub fn try_out(context: &Context, image: &str) -> Result<Boot> {
    let booth = Booth {
        context,
        name: format!("{}-boot-{}", super::project(context), std::process::id()),
        // The stack's own label, so that `clean` finds what a killed task has left.
        label: format!("com.docker.compose.project={}", super::project(context)),
        password: settings::secret()?,
    };
    let outcome = booth.try_out(image);
    let swept = booth.sweep();
    let boot = outcome?;
    swept?;
    Ok(boot)
}

impl Booth<'_> {
    fn runner(&self) -> &dyn Runner {
        &*self.context.runner
    }

    fn named(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    fn read(&self, step: &Step) -> Result<String> {
        self.context.interrupt.check()?;
        runner::read_well(self.runner(), step)
    }

    fn try_out(&self, image: &str) -> Result<Boot> {
        self.read(&docker::make_network(&self.name, &self.label))?;
        self.start_servers()?;
        // As a deploy does: before anything serves.
        self.run("migrate", image, &["--rm"], &["migrate", "run"])?;
        let backend = self.named("backend");
        self.run("backend", image, &["--detach", "--publish", "127.0.0.1::3000"], &[])?;
        let healthy = self.wait_until_healthy(&backend)?;
        self.read(&docker::exec(&backend, &["thunder", "healthcheck"]).with_purpose("run the image's health check"))?;
        self.read(&docker::exec(&backend, &["thunder", "smoke", "--url", thunder::CONTAINER_URL]).timeout(SMOKE))?;
        wait::pause(IDLE);
        let said = self.read(&docker::memory(&backend))?;
        let idle_memory_bytes = memory(&said).with_context(|| format!("docker stats says {said:?}"))?;
        let asked = Instant::now();
        self.read(&docker::stop(&backend, STOP))?;
        let stopped_ms = asked.elapsed().as_millis();
        let state = docker::parse_state(&self.runner().read(&docker::state(&backend))?);
        match state.map(|state| state.exit_code) {
            Some(0) => Ok(Boot { healthy_ms: healthy.as_millis(), idle_memory_bytes, stopped_ms }),
            code => Err(self.failure(&backend, &format!("it ended with {code:?} instead of 0 after SIGTERM")).into()),
        }
    }

    fn start_servers(&self) -> Result<()> {
        let image = |service| thunder::image(service, None).unwrap_or_default();
        let (postgres, redis) = (self.named("postgres"), self.named("redis"));
        for name in [image(Service::Postgres), image(Service::Redis)] {
            if !super::has_image(self.runner(), name)? {
                self.read(&docker::pull(name))?;
            }
        }
        let flags = |alias: &'static str| {
            ["--detach", "--network", &self.name, "--network-alias", alias, "--label", &self.label].map(str::to_owned)
        };
        let start = |name: &str, alias, variables: &[(&str, &str)], image, command: &[&str]| {
            let flags = flags(alias);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            self.read(&docker::run(&format!("start {alias}"), name, &flags, variables, image, command))
        };
        let (user, database) = (("POSTGRES_USER", thunder::ROLE), ("POSTGRES_DB", thunder::DATABASE));
        let variables = [("POSTGRES_PASSWORD", self.password.as_str()), user, database];
        start(&postgres, "postgres", &variables, image(Service::Postgres), &["-c", "fsync=off"])?;
        start(&redis, "redis", &[], image(Service::Redis), &["redis-server", "--save", ""])?;
        let by_tcp = ["pg_isready", "--quiet", "--host=127.0.0.1"];
        self.wait_for(&docker::exec(&postgres, &by_tcp).only_reads(), &postgres)?;
        self.wait_for(&docker::exec(&redis, &["redis-cli", "ping"]).only_reads(), &redis)
    }

    fn wait_for(&self, step: &Step, container: &str) -> Result<()> {
        let waited = wait::until(READY, &CancelToken::on(&self.context.interrupt), || {
            let output = self.runner().read(step)?;
            Ok(if output.is_success() { Poll::Ready(()) } else { Poll::Pending(output.lines().join(" ")) })
        })?;
        match waited {
            Waited::Done(()) => Ok(()),
            Waited::TimedOut(seen) => Err(self.failure(container, &format!("it was not ready in time: {seen}")).into()),
        }
    }

    /// Starts the image as production does: nothing that it could write to, nothing that it may do, little that it gets.
    fn run(&self, part: &str, image: &str, flags: &[&str], command: &[&str]) -> Result<()> {
        let database = format!("postgres://{}:{}@postgres:5432/{}", thunder::ROLE, self.password, thunder::DATABASE);
        let (access, refresh, token) = (settings::secret()?, settings::secret()?, settings::secret()?);
        let variables = [
            ("DATABASE_URL", database.as_str()),
            ("REDIS_URL", "redis://redis:6379"),
            ("JWT_SECRET", &access),
            ("JWT_REFRESH_SECRET", &refresh),
            ("HEALTH_TOKEN", &token),
        ];
        let mut all = vec!["--network", &self.name, "--label", &self.label, "--read-only", "--cap-drop", "ALL"];
        all.extend(["--security-opt", "no-new-privileges", "--memory", "256m", "--pids-limit", "128"]);
        all.extend(flags);
        let name = self.named(part);
        self.read(&docker::run(&format!("start the image ({part})"), &name, &all, &variables, image, command))?;
        Ok(())
    }

    fn wait_until_healthy(&self, backend: &str) -> Result<Duration> {
        let port = self.read(&docker::published_port(backend, 3000))?;
        let port = port.lines().next().and_then(|line| line.rsplit_once(':')?.1.trim().parse().ok());
        let port: u16 = port.context("docker does not tell the published port")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let waited = wait::until(READY, &CancelToken::on(&self.context.interrupt), || {
            Ok(match backend::health(address, thunder::HEALTH_PATH) {
                Ok(_) => Poll::Ready(SystemTime::now()),
                Err(seen) => Poll::Pending(seen),
            })
        })?;
        let Waited::Done(healthy) = waited else {
            return Err(self.failure(backend, "it did not become healthy in time").into());
        };
        let state = docker::parse_state(&self.runner().read(&docker::state(backend))?);
        let started = state.and_then(|state| humantime::parse_rfc3339(&state.started_at).ok());
        let started = started.context("docker does not tell when the container was started")?;
        Ok(healthy.duration_since(started).unwrap_or_default())
    }

    fn failure(&self, container: &str, what: &str) -> Failure {
        let words = self.runner().read(&docker::last_words(container, 25)).unwrap_or_default().lines();
        Failure::new(Exit::Unhealthy, format!("the image was booted, and {what}"))
            .details(words.into_iter().map(|line| format!("| {line}")))
    }

    fn sweep(&self) -> Result<()> {
        let runner = self.context.runner.without_cancel();
        let project = super::project(self.context);
        let mut containers = runner::lines(&*runner, &docker::belongings(Kind::Container, &project))?;
        containers.retain(|name| name.starts_with(&self.name));
        if !containers.is_empty() {
            runner::read_well(&*runner, &docker::remove_containers(&containers))?;
        }
        if runner::lines(&*runner, &docker::belongings(Kind::Network, &project))?.contains(&self.name) {
            runner::read_well(&*runner, &docker::remove(Kind::Network, std::slice::from_ref(&self.name)))?;
        }
        Ok(())
    }
}

/// The bytes in what `docker stats` says: `12.34MiB / 256MiB`.
fn memory(said: &str) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_every_unit() {
        assert_eq!(memory("12.5MiB / 256MiB\n"), Some(13_107_200));
        assert_eq!(memory("512KiB / 1GiB"), Some(524_288));
        assert_eq!(memory("-- / --"), None);
    }
}
