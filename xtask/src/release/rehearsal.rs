//! The rehearsal, as a target of releases: the Docker Engine of this machine, behind the workspace's own edge.
//!
//! It goes through the same phases as a deploy to Railway and needs no account. A version is built from what would be
//! uploaded, starts beside the one before, is asked for its health, and takes over.

mod store;
mod surroundings;
mod variables;
mod version;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::store::Store;
use self::variables::Variables;
use super::declaration::Declaration;
use super::platform::{Deployment, Destination, Log, LogLine, Order, Place, Platform, Refusal, Target, Workflow};
use super::preflight::Finding;
use super::{Release, Request};
use crate::context::Context;
use crate::file;
use crate::interrupt::CancelToken;
use crate::plan::{Access, Phase, Plan};
use crate::product::{DATABASE, ROLE};
use crate::runner::{self, Output, Runner};
use crate::step::Step;
use crate::tool::backend::Variable;
use crate::tool::docker;
use crate::tool::edge::{self, Answers, Begun, Edge, Known, Standing};
use crate::tool::railway::answer::{Instance, Name};

/// What its environment is called, also in the declaration.
pub const ENVIRONMENT: &str = "rehearsal";
/// Within which time a file that somebody writes is seen by everybody.
const SETTLE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 200 });
/// How long a dump of its database may take.
const DUMP_TIMEOUT: Duration = Duration::from_mins(15);
/// What is known to be done: nothing here goes on after its order has come back.
const DONE: &str = "done";

/// The rehearsal of a checkout.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    edge: Edge,
    /// The name of the network, and what the containers' names begin with.
    network: String,
    variables: Variables,
}

impl Rehearsal {
    /// That of the context's checkout.
    pub fn of(context: &Context, request: &Request) -> Result<Self> {
        let folder = context.project.state().join(ENVIRONMENT);
        let built = request.program.parent().ok_or_else(|| anyhow!("the backend's program lies in no folder"))?;
        let program = built.join(format!("{}{}", edge::PACKAGE, std::env::consts::EXE_SUFFIX));
        Ok(Self {
            variables: Variables::of(context.project.root(), &folder),
            network: format!("{}-{ENVIRONMENT}", context.project.name()),
            edge: Edge { program, folder },
        })
    }

    fn store(&self) -> Store {
        Store::of(&self.edge.folder)
    }

    /// What its images are called. Not as those of the stack, which `clean` removes.
    fn repository(&self) -> String {
        format!("{ENVIRONMENT}-of-{}", self.network.trim_end_matches(&format!("-{ENVIRONMENT}")))
    }

    fn image(&self, commit: &str) -> String {
        format!("{}:{commit}", self.repository())
    }

    fn backups(&self) -> PathBuf {
        self.edge.folder.join("backups")
    }

    fn dump(&self, name: &str) -> Step {
        let words = ["pg_dump", "--format=custom", "--username", ROLE, "--dbname", DATABASE];
        docker::exec(&self.server("postgres"), &words)
            .into_file(self.backups().join(format!("{name}.dump")))
            .timeout(DUMP_TIMEOUT)
    }
}

/// Removes the rehearsal of a checkout with its data; whether there was one.
pub fn remove(context: &Context, request: &Request) -> Result<bool> {
    let plan: Plan = Rehearsal::of(context, request)?.removal(&*context.runner)?;
    let is_there = !plan.is_empty();
    plan.print_or_run(context)?;
    Ok(is_there)
}

impl Target for Rehearsal {
    fn name(&self) -> &'static str {
        "the rehearsal"
    }

    fn surroundings(&self) -> Vec<Phase> {
        vec![self.have_surroundings()]
    }

    fn by<'a>(&'a self, runner: &'a dyn Runner, cancel: &'a CancelToken) -> Box<dyn Platform + 'a> {
        Box::new(Asked { rehearsal: self, runner, cancel })
    }

    fn commands(&self, order: &Order<'_>) -> Vec<Step> {
        match *order {
            // Both stand in a file.
            Order::Settings(..) | Order::Image(..) => Vec::new(),
            Order::Upload(..) => {
                let tag = self.image("<commit>");
                let build = docker::build(Path::new("<folder>"), "<Dockerfile>", &tag, "production", &[], false, false);
                vec![build, self.edge.begin(&json!({}))]
            }
            Order::RollBack(deployment) => vec![self.edge.roll_back(deployment)],
            Order::BackUp(_, name) => vec![self.dump(name)],
        }
    }

    fn network(&self) -> &[Variable] {
        &[]
    }

    fn operator_token(&self) -> Option<Variable> {
        self.variables.operator_token()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn log_hint(&self, deployment: &str) -> String {
        format!("docker logs {}-{deployment}-1", self.network)
    }

    fn flags(&self, _: &str) -> String {
        "--rehearse".to_owned()
    }
}

/// The rehearsal, and who asks it.
pub struct Asked<'a> {
    rehearsal: &'a Rehearsal,
    runner: &'a dyn Runner,
    cancel: &'a CancelToken,
}

impl Asked<'_> {
    /// What the edge says. One that hangs is one that is away.
    fn hear(&self, step: &Step) -> Result<Output> {
        self.runner.read(step).or_else(|error| {
            self.cancel.check()?;
            Ok(Output { code: None, stdout: String::new(), stderr: format!("it does not answer: {error:#}") })
        })
    }

    fn ask<T: DeserializeOwned>(&self, step: &Step) -> Result<T> {
        edge::parse(&self.hear(step)?)
            .map_err(|refusal| anyhow!("the edge refuses to {}: {}", step.purpose(), refusal.text()))
    }

    /// All deployments; none where the edge is not there yet, as in a first dry run.
    fn standing(&self, services: &[&str]) -> Result<Result<Standing, Refusal>> {
        if !self.rehearsal.is_up() {
            return Ok(Ok(Standing::default()));
        }
        Ok(edge::parse(&self.hear(&self.rehearsal.edge.standing(services))?))
    }

    fn standing_now(&self, services: &[&str]) -> Result<Standing> {
        self.standing(services)?.map_err(|refusal| anyhow!("the edge does not answer: {}", refusal.text()))
    }

    fn known(&self, id: &str) -> Result<Known> {
        let all = self.standing_now(&[])?.deployments;
        all.into_iter().find(|one| one.id == id).ok_or_else(|| anyhow!("the rehearsal has no deployment {id}"))
    }
}

fn told(one: Known) -> Deployment {
    let is_over = ["FAILED", "CANCELLED", "DEPLOYING"].contains(&one.status.as_str());
    Deployment {
        id: one.id,
        can_rollback: !is_over,
        status: one.status,
        created_at: one.created_at,
        creator: Some(Name { name: Some(one.spec.creator) }),
        diagnosis: Value::Null,
        instances: (0..one.running).map(|_| Instance { status: "RUNNING".to_owned() }).collect(),
        meta: json!({
            "serviceManifest": one.spec.manifest, "commitHash": one.spec.commit, "commitMessage": one.spec.message,
        }),
    }
}

impl Platform for Asked<'_> {
    fn name(&self) -> &'static str {
        self.rehearsal.name()
    }

    fn dashboard(&self) -> &'static str {
        "with docker ps and docker logs"
    }

    fn cancel(&self) -> &CancelToken {
        self.cancel
    }

    fn unusable(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    fn resolve(
        &self,
        declaration: &Declaration,
        _: Option<&str>,
        environment: &str,
    ) -> Result<Result<Place, Vec<Finding>>> {
        let project = &self.rehearsal.network;
        let destination = |name: &str| Destination {
            project: project.clone(),
            environment: environment.to_owned(),
            service: name.to_owned(),
            service_name: name.to_owned(),
        };
        Ok(Ok(Place {
            project: "this machine".to_owned(),
            environment: environment.to_owned(),
            services: declaration.services.iter().map(|service| destination(&service.name)).collect(),
            database: declaration.database.as_deref().map(destination),
        }))
    }

    fn obstacles(&self, _: &Destination, _: &mut Vec<String>) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// Nobody's address matters on this machine.
    fn proxies(&self) -> Option<u8> {
        None
    }

    fn variables_hint(&self, environment: &str, _: &str) -> String {
        format!("write them into .env.{environment}")
    }

    fn variable_names(&self, _: &Destination) -> Result<Vec<String>> {
        self.rehearsal.variables.names()
    }

    fn settings(&self, to: &Destination) -> Result<Value> {
        self.rehearsal.store().settings(&to.service)
    }

    fn staged(&self, _: &str) -> Result<Value> {
        self.rehearsal.store().staged()
    }

    fn url(&self, to: &Destination) -> Result<Option<String>> {
        let standing = self.standing_now(&[&to.service])?;
        let port = standing.ports.get(&to.service).map_or_else(|| "<port>".to_owned(), u16::to_string);
        Ok(Some(format!("http://127.0.0.1:{port}")))
    }

    fn deployments(&self, to: &Destination, statuses: &[&str], most: usize) -> Result<Vec<Deployment>> {
        let all = self.standing_now(&[])?.deployments.into_iter().rev();
        let is_wanted = |one: &Known| {
            one.spec.service == to.service && (statuses.is_empty() || statuses.contains(&one.status.as_str()))
        };
        Ok(all.filter(is_wanted).map(told).take(most).collect())
    }

    fn deployment(&self, id: &str) -> Result<Deployment> {
        self.known(id).map(told)
    }

    fn look_at(&self, id: &str) -> Result<Result<Deployment, Refusal>> {
        let standing = match self.standing(&[])? {
            Ok(standing) => standing,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let found = standing.deployments.into_iter().find(|one| one.id == id);
        Ok(found.map(told).ok_or_else(|| Refusal::Away(format!("it has no deployment {id}"))))
    }

    fn failed_step(&self, id: &str) -> Option<String> {
        self.known(id).ok()?.reason.map(|(step, reason)| format!("{step}: {reason}"))
    }

    fn log(&self, log: Log, id: &str, from: Option<&str>, most: u32) -> Vec<LogLine> {
        // What the build says is shown while it goes on.
        let (Log::Deploy, Ok(known)) = (log, self.known(id)) else { return Vec::new() };
        let containers = known.before.iter().chain(&known.containers);
        let said = containers.flat_map(|name| self.hear(&docker::log(name, from, most)).unwrap_or_default().lines());
        said.filter_map(|line| {
            let (timestamp, message) = line.split_once(' ')?;
            humantime::parse_rfc3339(timestamp).ok()?;
            Some(LogLine { timestamp: timestamp.to_owned(), message: message.to_owned() })
        })
        .collect()
    }

    fn answers(&self, to: &Destination, from: &str, until: &str) -> Result<(f64, f64)> {
        let answers: Answers = self.ask(&self.rehearsal.edge.answers(&to.service, from, until))?;
        Ok((f64::from(answers.all), f64::from(answers.bad)))
    }

    fn shared(&self, _: &Destination, name: &str) -> Result<Option<String>> {
        self.rehearsal.store().shared(name)
    }

    fn set_shared(&self, _: &Destination, name: &str, value: &str) -> Result<()> {
        self.rehearsal.store().set_shared(name, value)
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn stage(&self, _: &Destination, patch: &Value) -> Result<()> {
        self.rehearsal.store().stage(patch)
    }

    fn commit_staged(&self, _: &Destination, _: &str) -> Result<String> {
        self.rehearsal.store().commit().map(|()| DONE.to_owned())
    }

    fn workflow(&self, _: &str) -> Result<Workflow> {
        Ok(Workflow { status: "Complete".to_owned(), error: None })
    }

    fn back_up(&self, _: &Destination, name: &str) -> Result<String> {
        file::create(&self.rehearsal.backups())?;
        runner::read_well(self.runner, &self.rehearsal.dump(name)).map(|_| DONE.to_owned())
    }

    fn begin(
        &self,
        release: &Release,
        access: &Access<'_>,
        index: usize,
        service: &str,
        known: &[String],
    ) -> Result<String> {
        version::begin(self, release, access, index, service, known)
    }

    fn roll_back(&self, id: &str) -> Result<bool> {
        self.ask::<Begun>(&self.rehearsal.edge.roll_back(id)).map(|_| true)
    }

    fn stop_deployment(&self, id: &str) -> Result<()> {
        self.ask::<Value>(&self.rehearsal.edge.stop(id)).map(drop)
    }
}
