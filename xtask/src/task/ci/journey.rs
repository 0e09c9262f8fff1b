//! A new user's journey in a fresh clone of HEAD: up, smoke, status, edits, every service killed, up, down,
//! up, clean.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::cli::{Engine, ServerOrigin};
use crate::context::Context;
use crate::failure::Exit;
use crate::file;
use crate::interrupt::CancelToken;
use crate::process;
use crate::runner::Output;
use crate::stack::ports;
use crate::stack::thunder::{HANDLER, HEALTH_PATH, MIGRATIONS, Service};
use crate::step::Step;
use crate::terminal::GOOD;
use crate::tool::cargo::{self, Tests};
use crate::tool::{backend, docker, git};
use crate::wait::{self, Poll, Waited};

/// How long an edit may take to be live; the first after a build in a container compiles more than later ones.
const EDIT: Duration = Duration::from_mins(3);

/// What `status --json` says, as somebody outside would read it.
#[derive(Deserialize)]
struct Status {
    state: String,
    services: Vec<ServiceStatus>,
}

#[derive(Deserialize)]
struct ServiceStatus {
    name: String,
    pid: Option<u32>,
    container: Option<String>,
    port: Option<u16>,
}

struct Journey<'a> {
    context: &'a Context,
    clone: PathBuf,
    target: PathBuf,
    /// What `up` is told besides.
    how: [&'static str; 4],
}

/// Makes the clone, takes it through the journey, and removes it whatever came of it.
pub fn run(context: &Context, engine: Engine, servers: ServerOrigin) -> Result<u8> {
    let folder = std::env::temp_dir().join(format!("thunder-journey-{}", std::process::id()));
    let journey = Journey {
        context,
        clone: folder.join("clone"),
        // Kept between runs, beside the target folder that we were built in: only the first one builds everything.
        target: context.project.root().join("target").join("journey"),
        how: [
            "--engine",
            if engine == Engine::Docker { "docker" } else { "host" },
            "--servers",
            match servers {
                ServerOrigin::Auto => "auto",
                ServerOrigin::System => "system",
                ServerOrigin::Portable => "portable",
            },
        ],
    };
    if context.dry_run {
        context.terminal.data(git::clone(context.project.root(), &journey.clone))?;
        journey.tasks().iter().try_for_each(|words| context.terminal.data(journey.xtask(words)))?;
        return Ok(0);
    }
    let changes = context.runner.read(&git::changes(context.project.root()))?;
    if !changes.stdout.trim().is_empty() {
        context.terminal.warn("the journey is made with HEAD; changes that are not committed are not in it");
    }
    let outcome = journey.make();
    if outcome.is_err() {
        // Nothing may be left running, however far the journey came.
        drop(context.runner.read(&journey.xtask(&["clean", "--yes"])));
    }
    file::remove(&folder)?;
    outcome.map(|()| 0)
}

impl Journey<'_> {
    /// The tasks in their order, for a dry run.
    fn tasks(&self) -> Vec<Vec<&str>> {
        let up = self.up();
        vec![
            up.clone(),
            vec!["seed"],
            vec!["smoke"],
            vec!["status", "--json"],
            up.clone(),
            vec!["down"],
            up,
            vec!["clean", "--yes"],
        ]
    }

    fn up(&self) -> Vec<&str> {
        [&["up"][..], &self.how].concat()
    }

    fn make(&self) -> Result<()> {
        crate::runner::read_well(&*self.context.runner, &git::clone(self.context.project.root(), &self.clone))?;
        let up = self.up();
        self.expect(&up, 0)?;
        self.expect(&["seed"], 0)?;
        self.expect(&["smoke"], 0)?;
        let first = self.status("up")?;

        let logs = self.expect(&["logs", "--json", "-n", "50"], 0)?;
        ensure!(logs.stdout.lines().any(|line| line.contains("\"backend\"")), "the backend says nothing");
        let seen = self.expect(&["exec", "backend", "--", "thunder", "--version"], 0)?;
        ensure!(seen.stdout.starts_with("thunder "), "exec says {:?}", seen.stdout);
        self.edit(&first)?;
        for service in Service::ALL {
            self.kill(first.of(service)?)?;
        }
        self.expect(&["status"], Exit::Unhealthy as u8)?;
        self.say("status tells that every service was killed");
        self.expect(&up, 0)?;
        let second = self.status("up")?;
        for service in Service::ALL {
            let (first, second) = (first.of(service)?, second.of(service)?);
            ensure!(first.pid.is_none() || first.pid != second.pid, "{service} was not started anew");
        }
        Self::expect_reports(&second)?;

        self.expect(&["down"], 0)?;
        self.status("down")?;
        self.expect(&up, 0)?;
        let third = self.status("up")?;
        Self::expect_reports(&third)?;
        self.say("the data is still there");

        self.expect(&["clean"], Exit::Refused as u8)?;
        self.at_a_terminal()?;
        self.expect(&["clean", "--yes"], 0)?;
        self.expect_nothing_left(&third)
    }

    /// The same tasks on a pseudo-terminal, which leaves nothing but a stack that is cleaned.
    fn at_a_terminal(&self) -> Result<()> {
        let root = self.context.project.root();
        let step = cargo::test(root, false, Tests::Terminal, &[])
            .env("TERMINAL_CHECKOUT", &self.clone)
            .env("TERMINAL_UP", self.how.join(" "))
            .env("TERMINAL_TARGET", &self.target);
        self.context.runner.run(&step, &CancelToken::on(&self.context.interrupt), &|_, _| ())?;
        self.say("every task works at a terminal, at 80 and at 40 columns");
        Ok(())
    }

    /// Edits that work, that do not compile, and that bring a migration.
    fn edit(&self, status: &Status) -> Result<()> {
        let port = status.of(Service::Backend)?.port.context("the backend has no port")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let answers = |version: &str| {
            let health = backend::health(address, HEALTH_PATH);
            health.as_ref().is_ok_and(|health| health.version == version)
        };
        let path = self.clone.join(HANDLER.0);
        let text = std::fs::read_to_string(&path)?;
        let handler = |version: &str| text.replace(HANDLER.1, &format!("{version:?}"));
        std::fs::write(&path, handler("0.0.1"))?;
        self.until("an edit is live", || Ok(answers("0.0.1")))?;

        std::fs::write(&path, format!("{}\nfn broken() -> u32 {{ \"text\" }}\n", handler("0.0.2")))?;
        self.until("status tells of the compile error", || {
            let output = self.context.runner.read(&self.xtask(&["status", "--json"]))?;
            Ok(output.stdout.contains("serving an older build: 1 error in health.rs:"))
        })?;
        ensure!(answers("0.0.1"), "the older build does not serve");

        let migration = self.clone.join(MIGRATIONS).join("20990101000000_journey.up.sql");
        std::fs::write(migration, "CREATE TABLE journey (id bigint);\n")?;
        std::fs::write(&path, handler("0.0.3"))?;
        self.until("the mended edit is live", || Ok(answers("0.0.3")))?;
        let logs = self.context.runner.read(&self.xtask(&["logs", "backend", "-n", "1000"]))?;
        ensure!(logs.stdout.contains("migration applied 20990101000000"), "no migration is told: {}", logs.stdout);
        Ok(())
    }

    fn until(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let cancel = CancelToken::on(&self.context.interrupt);
        let look = || Ok(if is_so()? { Poll::Ready(()) } else { Poll::Pending(String::new()) });
        match wait::until(EDIT, &cancel, look)? {
            Waited::Done(()) => self.say(what),
            Waited::TimedOut(_) => {
                let logs = self.context.runner.read(&self.xtask(&["logs", "backend", "-n", "50"]))?;
                bail!("waited in vain until {what}\n{}", logs.stdout);
            }
        }
        Ok(())
    }

    fn kill(&self, service: &ServiceStatus) -> Result<()> {
        if let Some(container) = &service.container {
            crate::runner::read_well(&*self.context.runner, &docker::kill(container))?;
        } else {
            let pid = service.pid.with_context(|| format!("{} has no process", service.name))?;
            process::signal(pid, "KILL")?;
        }
        Ok(())
    }

    fn xtask(&self, words: &[&str]) -> Step {
        Step::new(format!("run cargo xtask {}", words.join(" ")), cargo::program())
            .arg("xtask")
            .args(words.iter().copied())
            .env("CARGO_TARGET_DIR", &self.target)
            .folder(&self.clone)
    }

    /// Runs a task of the clone that has to end with this code.
    fn expect(&self, words: &[&str], code: u8) -> Result<Output> {
        self.context.interrupt.check()?;
        let step = self.xtask(words);
        let output = self.context.runner.read(&step)?;
        if output.code != Some(i32::from(code)) {
            let failure = crate::runner::failure(&step, output.code, &output.lines());
            return Err(anyhow::Error::new(failure).context(format!("exit code {code} was expected")));
        }
        self.say(&format!("cargo xtask {} ends with {code}", words.join(" ")));
        Ok(output)
    }

    fn status(&self, state: &str) -> Result<Status> {
        let output = self.expect(&["status", "--json"], 0)?;
        let status: Status = serde_json::from_str(&output.stdout).context("status --json is not what it promises")?;
        ensure!(status.state == state, "the stack is {} instead of {state}", status.state);
        Ok(status)
    }

    /// What was seeded is still there.
    fn expect_reports(status: &Status) -> Result<()> {
        let port = status.of(Service::Backend)?.port.context("the backend has no port")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        backend::health(address, HEALTH_PATH).map_err(anyhow::Error::msg)?;
        let page = minreq::get(format!("http://{address}/api/v1/reports?limit=1")).with_timeout(5).send()?;
        ensure!(page.as_str()?.contains("\"number\""), "the reports that were added are gone: {}", page.as_str()?);
        Ok(())
    }

    fn expect_nothing_left(&self, last: &Status) -> Result<()> {
        ensure!(!self.clone.join(".stack").exists(), ".stack is still there");
        for service in Service::ALL {
            let status = last.of(service)?;
            let gone = status.pid.is_none_or(|pid| process::started(pid).is_none());
            ensure!(gone, "{service} is still running");
            if let Some(container) = &status.container {
                let found = crate::runner::lines(&*self.context.runner, &docker::containers_named(container))?;
                ensure!(found.is_empty(), "the container {container} is still there");
            }
            let port = status.port.context("a service without a port")?;
            ensure!(!ports::is_taken(port), "somebody still listens on port {port}");
        }
        ensure!(process::working_in(&self.clone).is_empty(), "processes still work in the clone");
        self.say("no process, no port and no folder is left");
        Ok(())
    }

    fn say(&self, what: &str) {
        self.context.terminal.note(format!("{GOOD}✓{GOOD:#} {what}"));
    }
}

impl Status {
    fn of(&self, service: Service) -> Result<&ServiceStatus> {
        let found = self.services.iter().find(|status| status.name == service.name());
        found.with_context(|| format!("status does not tell of {service}"))
    }
}
