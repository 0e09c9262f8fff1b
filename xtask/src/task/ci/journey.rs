//! A new user's journey in a fresh clone of HEAD: up, smoke, status, edits, every service killed, up, down, up, the
//! same at a terminal, clean.

mod edits;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Error, Result, ensure};
use serde::Deserialize;

use crate::context::Context;
use crate::failure::Exit;
use crate::plan::{Access, Action, Phase, Plan, Rollout, Value};
use crate::process;
use crate::product::{BINARY, HEALTH_PATH, STORED};
use crate::runner;
use crate::stack::detect::EngineChoice;
use crate::stack::ports;
use crate::stack::servers::Origin;
use crate::stack::service::{Service, local};
use crate::task::ci::fresh::FreshClone;
use crate::tool::cargo::{self, Tests};
use crate::tool::{backend, docker};

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

/// The clone, and what its tasks showed.
struct Journey {
    clone: FreshClone,
    /// The text of the handler that is edited.
    original: OnceLock<String>,
    /// How it was after the first `up`, after the services were killed, and after `down` and `up`.
    first: Value<Status>,
    second: Value<Status>,
    third: Value<Status>,
}

/// Makes the clone, takes it through the journey, and removes it whatever came of it.
pub fn run(context: &Context, engine: EngineChoice, servers: Origin) -> Result<u8> {
    let folder = tempfile::Builder::new().prefix("journey-").tempdir()?;
    let journey = Journey {
        clone: FreshClone::in_folder(context, &folder, engine, servers)?,
        original: OnceLock::new(),
        first: Value::new("status"),
        second: Value::new("status"),
        third: Value::new("status"),
    };
    Rollout::new(phases(&Arc::new(journey)))?.run(context)?;
    Ok(0)
}

/// Where the journey saves its data.
const DUMP: &str = "dumps/journey.dump";

fn phases(journey: &Arc<Journey>) -> Vec<Phase> {
    let phase = |name, purpose: &str, actions: fn(&Arc<Journey>) -> Vec<Action>| {
        let journey = Arc::clone(journey);
        Phase::new(name, purpose, move |_| Ok(Plan::of(name, actions(&journey), "as promised")))
    };
    let (to_clone, to_clean) = (Arc::clone(journey), Arc::clone(journey));
    let clone = move |_: &Context| Ok(Plan::of("clone", vec![to_clone.clone.make()], "made"));
    // Nothing may be left running, however far the journey came.
    let clean = move || Ok(Plan::of("clean", vec![Action::Run(to_clean.clone.xtask(&["clean", "--yes"]))], "cleaned"));
    vec![
        Phase::new("clone", "have what a new user has", clone),
        phase("first", "see the stack come up and work", Journey::first).undo(clean),
        phase("edit", "see edits and migrations go live", edits::all),
        phase("kill", "see that killed services are told of and started again", Journey::kill),
        phase("keep", "see the data outlive a stop", Journey::keep),
        phase("data", "see the data come back from a dump", Journey::data),
        phase("mail", "see a catcher for mail come and go", Journey::mail),
        phase("terminal", "see every task work at a terminal, at 80 and at 40 columns", Journey::at_a_terminal),
        phase("clean", "see that nothing is left", Journey::clean),
    ]
}

impl Journey {
    fn first(self: &Arc<Self>) -> Vec<Action> {
        vec![
            self.up(),
            self.task(&["seed"]),
            self.task(&["smoke"]),
            self.status("up", &self.first),
            self.expect(&["logs", "--json", "-n", "50"], 0, |said| {
                ensure!(said.lines().any(|line| line.contains("\"backend\"")), "the backend says nothing");
                Ok(())
            }),
            self.expect(&["exec", "backend", "--", BINARY, "--version"], 0, |said| {
                ensure!(said.starts_with(BINARY), "exec says {said:?}");
                Ok(())
            }),
        ]
    }

    fn kill(self: &Arc<Self>) -> Vec<Action> {
        let journey = Arc::clone(self);
        let mut actions = vec![Action::check("kill every service", move |access| {
            let status = journey.first.get()?;
            Service::USUAL.into_iter().try_for_each(|service| kill(access, status.of(service)?))
        })];
        actions.push(self.expect(&["status"], Exit::Unhealthy as u8, |_| Ok(())));
        actions.push(self.up());
        actions.push(self.status("up", &self.second));
        let journey = Arc::clone(self);
        actions.push(Action::check("see that every service was started again", move |_| {
            for service in Service::USUAL {
                let (first, second) = (journey.first.get()?.of(service)?, journey.second.get()?.of(service)?);
                ensure!(first.pid.is_none() || first.pid != second.pid, "{service} was not started again");
            }
            expect_reports(journey.second.get()?)
        }));
        actions
    }

    fn keep(self: &Arc<Self>) -> Vec<Action> {
        let journey = Arc::clone(self);
        vec![
            self.task(&["down"]),
            self.status("down", &Value::new("status")),
            self.up(),
            self.status("up", &self.third),
            Action::check("see that the data is still there", move |_| expect_reports(journey.third.get()?)),
        ]
    }

    fn data(self: &Arc<Self>) -> Vec<Action> {
        let journey = Arc::clone(self);
        vec![
            self.task(&["db", "dump", DUMP]),
            self.task(&["db", "reset", "--yes"]),
            self.task(&["db", "drill"]),
            self.task(&["db", "restore", DUMP, "--yes"]),
            self.task(&["db", "restore", "--before", "--yes"]),
            self.task(&["db", "restore", "--before", "--yes"]),
            self.task(&["migrate", "revert", "--yes"]),
            self.expect(&["migrate", "status"], Exit::Migrations as u8, |_| Ok(())),
            self.task(&["migrate"]),
            self.task(&["migrate", "bless", "--yes"]),
            Action::check("see that the data is there again", move |_| expect_reports(journey.third.get()?)),
        ]
    }

    /// Where `MailDev` can be had: fetched, or as an image.
    fn mail(self: &Arc<Self>) -> Vec<Action> {
        let [_, engine, _, servers] = self.clone.options;
        if engine != "docker" && servers != "portable" {
            return vec![self.expect(&["up", "--with", "nothing"], 2, |_| Ok(()))];
        }
        let with_mail: Value<Status> = Value::new("status");
        let later = with_mail.clone();
        vec![
            self.task(&["up", "--with", "mail"]),
            self.status("up", &with_mail),
            Action::check("see the page with the mails", move |_| {
                let port = later.get()?.of(Service::Mail)?.port.context("the mail catcher has no port")?;
                let page = minreq::get(format!("http://{}/email", local(port))).with_timeout(5).send()?;
                ensure!(page.as_str()?.trim() == "[]", "there are mails that nobody has sent: {}", page.as_str()?);
                Ok(())
            }),
            self.task(&["down", "mail"]),
            self.up(),
        ]
    }

    /// The same tasks on a pseudo-terminal, which leave a stack for the next phase to clean.
    fn at_a_terminal(self: &Arc<Self>) -> Vec<Action> {
        let terminal = cargo::test(&self.clone.origin, false, Tests::Terminal, &[])
            .env("TERMINAL_CHECKOUT", &self.clone.root)
            .env("TERMINAL_UP", self.clone.options.join(" "))
            .env("TERMINAL_TARGET", &self.clone.target);
        vec![
            self.expect(&["clean"], Exit::Refused as u8, |_| Ok(())),
            Action::Follow(terminal, |line| Some(line.trim().to_owned())),
        ]
    }

    fn clean(self: &Arc<Self>) -> Vec<Action> {
        let journey = Arc::clone(self);
        vec![
            self.task(&["clean", "--yes"]),
            Action::check("see that no process, no port and no folder is left", move |access| {
                expect_nothing_left(access, &journey.clone.root, journey.third.get()?)
            }),
        ]
    }

    fn up(&self) -> Action {
        self.clone.up()
    }

    fn task(&self, words: &[&str]) -> Action {
        self.clone.task(words)
    }

    /// Runs a task of the clone that has to end with this code, and to print what suits.
    fn expect(&self, words: &[&str], code: u8, suits: impl Fn(&str) -> Result<()> + Send + Sync + 'static) -> Action {
        self.clone.expect(words, code, move |output| suits(&output.stdout))
    }

    /// Keeps how the stack is, which has to be like this.
    fn status(&self, state: &'static str, value: &Value<Status>) -> Action {
        let value = value.clone();
        self.expect(&["status", "--json"], 0, move |said| {
            let status: Status = serde_json::from_str(said).context("status --json is not what it promises")?;
            ensure!(status.state == state, "the stack is {} instead of {state}", status.state);
            value.set(status);
            Ok(())
        })
    }
}

fn kill(access: &Access<'_>, service: &ServiceStatus) -> Result<()> {
    if let Some(container) = &service.container {
        runner::read_well(access.runner, &docker::kill(container)).map(drop)
    } else {
        let pid = service.pid.with_context(|| format!("{} has no process", service.name))?;
        process::signal(pid, "KILL").map(drop)
    }
}

/// What was seeded is still there.
fn expect_reports(status: &Status) -> Result<()> {
    let address = status.backend()?;
    backend::health(address, HEALTH_PATH).map_err(Error::msg)?;
    let page = minreq::get(format!("http://{address}{}", STORED.0)).with_timeout(5).send()?;
    ensure!(page.as_str()?.contains(STORED.1), "the reports that were added are gone: {}", page.as_str()?);
    Ok(())
}

fn expect_nothing_left(access: &Access<'_>, clone: &Path, last: &Status) -> Result<()> {
    ensure!(!clone.join(".stack").exists(), ".stack is still there");
    for service in Service::USUAL {
        let status = last.of(service)?;
        let gone = status.pid.is_none_or(|pid| process::started(pid).is_none());
        ensure!(gone, "{service} is still running");
        if let Some(container) = &status.container {
            let found = runner::lines(access.runner, &docker::containers_named(container))?;
            ensure!(found.is_empty(), "the container {container} is still there");
        }
        let port = status.port.context("a service without a port")?;
        ensure!(!ports::is_taken(port), "somebody still listens on port {port}");
    }
    ensure!(process::working_in(clone).is_empty(), "processes still work in the clone");
    Ok(())
}

impl Status {
    fn of(&self, service: Service) -> Result<&ServiceStatus> {
        let found = self.services.iter().find(|status| status.name == service.name());
        found.with_context(|| format!("status does not tell of {service}"))
    }

    /// Where the backend listens.
    fn backend(&self) -> Result<SocketAddr> {
        Ok(local(self.of(Service::Backend)?.port.context("the backend has no port")?))
    }
}
