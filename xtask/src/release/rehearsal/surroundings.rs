//! What a rehearsal stands on: a network, a PostgreSQL and a Redis of its own, and the edge. All of it stays for the next
//! rehearsal while a version serves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::Rehearsal;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::image;
use crate::plan::{Access, Action, Lane, Phase, Plan};
use crate::process::Record;
use crate::product::setting::POSTGRES_PASSWORD;
use crate::product::{DATABASE, POSTGRES_IMAGE, REDIS_IMAGE, ROLE};
use crate::runner::{self, Launch, Runner};
use crate::step::Step;
use crate::supervise::{self, Stop};
use crate::tool::backend::Variable;
use crate::tool::cargo;
use crate::tool::docker::{self, Kind};
use crate::tool::edge;
use crate::wait::{self, Poll, Waited};

/// How long a server, or the edge, may take until it answers.
const READINESS_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });
/// How long the edge may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds that a server may take to end.
const SERVER_TIMEOUT: u64 = 30;

/// A server that the versions stand on.
struct Server {
    /// How the versions reach it.
    alias: &'static str,
    image: &'static str,
    /// Where its data lies in its container.
    data: &'static str,
    command: &'static [&'static str],
    /// What says that it is ready.
    ready: &'static [&'static str],
}

const SERVERS: [Server; 2] = [
    Server {
        alias: "postgres",
        image: POSTGRES_IMAGE,
        data: "/var/lib/postgresql/data",
        command: &[],
        ready: &["pg_isready", "--quiet", "--host=127.0.0.1"],
    },
    Server {
        alias: "redis",
        image: REDIS_IMAGE,
        data: "/data",
        command: &["redis-server", "--appendonly", "yes", "--protected-mode", "no"],
        ready: &["redis-cli", "ping"],
    },
];

impl Rehearsal {
    /// The name of a server's container.
    pub(super) fn server(&self, alias: &str) -> String {
        format!("{}-{alias}", self.network)
    }

    pub(super) fn label(&self) -> String {
        format!("com.docker.compose.project={}", self.network)
    }

    fn record(&self) -> PathBuf {
        self.edge.folder.join("edge.json")
    }

    /// Whether the edge serves.
    pub(super) fn is_up(&self) -> bool {
        Record::load(&self.record()).is_some_and(|record| record.is_running())
    }

    fn stop_edge(&self) -> Stop {
        let signals = vec![("TERM", STOP_TIMEOUT), ("KILL", STOP_TIMEOUT)];
        Stop { service: "the edge".to_owned(), record: self.record(), signals }
    }

    /// Has all of it; where nothing serves in the end, what runs for it is stopped again.
    pub(super) fn have_surroundings(&self) -> Phase {
        let (rehearsal, resting) = (self.clone(), self.clone());
        Phase::new("surroundings", "have servers and an edge of its own", move |context| {
            let mut plan = Plan { lanes: vec![rehearsal.edge_lane(context), rehearsal.network_lane()] };
            plan.lanes.extend(SERVERS.iter().map(|server| rehearsal.server_lane(server)));
            Ok(plan)
        })
        .finally(move || {
            let rehearsal = resting.clone();
            let rest = Action::check("stop what serves nothing", move |access| rehearsal.rest(access));
            Ok(Plan::of("rest", vec![rest], "done"))
        })
    }

    fn network_lane(&self) -> Lane {
        let rehearsal = self.clone();
        let commands = vec![docker::make_network(&self.network, &self.label())];
        let make = Action::drive("make secrets and a network, unless they are there", commands, move |access| {
            file::create(&rehearsal.edge.folder)?;
            rehearsal.variables.make_secrets(access.context)?;
            let there = runner::lines(access.runner, &docker::resources(Kind::Network, &rehearsal.network))?;
            if there.contains(&rehearsal.network) {
                return Ok(());
            }
            let step = docker::make_network(&rehearsal.network, &rehearsal.label());
            runner::read_well(access.runner, &step).map(drop)
        });
        Lane { name: "network".to_owned(), actions: vec![make], result: "there".to_owned() }
    }

    fn server_lane(&self, server: &'static Server) -> Lane {
        let rehearsal = self.clone();
        let what = format!("start {}, unless it runs", server.alias);
        let start = Action::drive(what, vec![self.start(server, "<password>")], move |access| {
            rehearsal.have_server(server, access)
        });
        Lane {
            name: server.alias.to_owned(),
            actions: vec![Action::After("network".to_owned()), start],
            result: "ready".to_owned(),
        }
    }

    fn start(&self, server: &Server, password: &str) -> Step {
        let (name, label) = (self.server(server.alias), self.label());
        let volume = format!("{name}:{}", server.data);
        let flags = ["--detach", "--network", &self.network, "--network-alias", server.alias, "--label", &label]
            .into_iter()
            .chain(["--restart", "unless-stopped", "--volume", &volume]);
        let flags: Vec<&str> = flags.collect();
        let variables = [
            Variable::secret(POSTGRES_PASSWORD, password),
            Variable::plain("POSTGRES_USER", ROLE),
            Variable::plain("POSTGRES_DB", DATABASE),
        ];
        let variables = if server.alias == "postgres" { &variables[..] } else { &[] };
        docker::run(&format!("start {}", server.alias), &name, &flags, variables, server.image, server.command)
    }

    fn have_server(&self, server: &Server, access: &Access<'_>) -> Result<()> {
        let (runner, name) = (access.runner, self.server(server.alias));
        if runner::lines(runner, &docker::containers_named(&name))?.is_empty() {
            if !image::is_present(runner, server.image)? {
                access.line.state(&format!("fetch {}", server.image));
                runner.run(&docker::pull(server.image), access.cancel, &|_, line| access.line.detail(line))?;
            }
            access.line.state(&format!("start {}", server.alias));
            runner::read_well(runner, &docker::make_volume(&name, &self.label()))?;
            runner::read_well(runner, &self.start(server, &self.variables.password()?))?;
        } else {
            // One that runs stays as it is.
            runner::read_well(runner, &docker::start(std::slice::from_ref(&name)))?;
        }
        access.line.state(&format!("wait until {} answers", server.alias));
        let ask = docker::exec(&name, server.ready).only_reads();
        let waited = wait::until(READINESS_TIMEOUT, access.cancel, || {
            let output = runner.read(&ask)?;
            Ok(if output.is_success() { Poll::Ready(()) } else { Poll::Pending(output.lines().join(" ")) })
        })?;
        self.ready(waited, &format!("docker logs {name}"), server.alias)
    }

    fn ready(&self, waited: Waited<()>, hint: &str, what: &str) -> Result<()> {
        match waited {
            Waited::Done(()) => Ok(()),
            Waited::TimedOut(seen) => {
                let what = format!("{what} of the rehearsal {} did not become ready: {seen}", self.network);
                Err(Failure::new(Exit::Unhealthy, what).hint(hint).into())
            }
        }
    }

    fn edge_lane(&self, context: &Context) -> Lane {
        let build = cargo::build(context.project.root(), edge::PACKAGE, context.terminal.is_colored());
        let rehearsal = self.clone();
        let start = Action::drive("start the edge, unless it serves", vec![self.serve()], move |access| {
            rehearsal.have_edge(access)
        });
        // It removes containers that nobody knows: those of servers are not its own.
        let actions = vec![Action::Follow(build, cargo::progress), Action::After("network".to_owned()), start];
        Lane { name: "edge".to_owned(), actions, result: "ready".to_owned() }
    }

    fn serve(&self) -> Step {
        self.edge.serve(&self.version_label())
    }

    /// The label of the containers that the edge starts.
    pub(super) fn version_label(&self) -> String {
        format!("rehearsal.edge={}", self.network)
    }

    fn have_edge(&self, access: &Access<'_>) -> Result<()> {
        if !self.is_up() {
            supervise::stop(&self.stop_edge(), &|text| access.context.terminal.warn(text))?;
            // What an earlier one has left would be asked in vain.
            file::remove(&self.edge.folder.join(edge::ENTRANCE))?;
            let log = Some(self.edge.folder.join("edge.log"));
            let launch = Launch { step: self.serve(), record: self.record(), log, socket: None };
            access.runner.start(&launch)?;
        }
        let waited = wait::until(READINESS_TIMEOUT, access.cancel, || {
            let output = access.runner.read(&self.edge.standing(&[]))?;
            Ok(match edge::parse::<edge::Standing>(&output) {
                Ok(_) => Poll::Ready(()),
                Err(refusal) => Poll::Pending(refusal.text().to_owned()),
            })
        })?;
        let log = format!("see {}", self.edge.folder.join("edge.log").display());
        self.ready(waited, &log, "the edge")
    }

    /// Stops the edge and the servers where no version serves or is on its way. Their data stays.
    fn rest(&self, access: &Access<'_>) -> Result<()> {
        if self.is_up() {
            // One that does not answer may serve all the same.
            let Ok(standing) = edge::parse::<edge::Standing>(&access.runner.read(&self.edge.standing(&[]))?) else {
                return Ok(());
            };
            if standing.deployments.iter().any(|one| ["SUCCESS", "DEPLOYING"].contains(&one.status.as_str())) {
                return Ok(());
            }
        }
        supervise::stop(&self.stop_edge(), &|text| access.context.terminal.warn(text))?;
        let running = runner::lines(access.runner, &docker::running_of(&self.network))?;
        if !running.is_empty() {
            runner::read_well(access.runner, &docker::stop_all(&running, SERVER_TIMEOUT))?;
        }
        Ok(())
    }

    /// The plan that removes all of it, with the data.
    pub(super) fn removal(&self, runner: &dyn Runner) -> Result<Plan> {
        let mut actions = vec![Action::Stop(self.stop_edge())];
        for kind in [Kind::Container, Kind::Network, Kind::Volume] {
            let names = runner::lines(runner, &docker::resources(kind, &self.network))?;
            if !names.is_empty() {
                actions.push(Action::Run(docker::remove(kind, &names)));
            }
        }
        let images = runner::lines(runner, &docker::tags_of(&self.repository()))?;
        if !images.is_empty() {
            actions.push(Action::Run(docker::remove(Kind::Image, &images)));
        }
        if self.edge.folder.exists() {
            actions.push(Action::Remove(self.edge.folder.clone()));
        }
        // Only the stop of an edge that is not there is left.
        if actions.len() == 1 {
            actions.clear();
        }
        Ok(Plan::of("rehearsal", actions, "removed"))
    }
}
