//! What runs a stack. An engine gives lanes and facts; what is done with them is the same for both.

use anyhow::Result;

use super::folder::StackFolder;
use super::logs::LogSource;
use super::ports::Ports;
use super::report::View;
use super::request::Request;
use super::service::{Client, Service};
use super::state::{EngineKind, State};
use crate::plan::{Lane, Plan};
use crate::runner::Launch;
use crate::settings::Settings;
use crate::step::Step;
use crate::tool::backend::Program;

/// How a service stands before a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does not run.
    Absent,
    /// It runs, in another form than is asked for.
    Outdated,
    /// It runs as is asked for.
    Current,
}

/// A start: what is asked for, and what was found out about it.
pub struct Start<'s> {
    /// What is asked for.
    pub request: &'s Request,
    /// The settings.
    pub settings: &'s Settings,
    /// Where the stack listens.
    pub ports: &'s Ports,
    /// What is started.
    pub starting: Vec<Service>,
    /// Those of them that run, in another form.
    pub outdated: Vec<Service>,
    /// What runs and is not ready yet.
    pub waiting: Vec<Service>,
    /// Whether the backend is to have a watcher.
    pub watch: bool,
    /// Whether that looks at intervals.
    pub polls: bool,
    /// What the stack was.
    pub before: Option<&'s State>,
}

/// An engine, for the stack of one checkout.
pub trait Engine {
    /// Which.
    fn kind(&self) -> EngineKind;

    /// Where the stack's files lie.
    fn folder(&self) -> &StackFolder;

    /// Brings to its end what a killed task had begun. Only with the lock.
    fn settle(&self, state: Option<&State>) -> Result<()>;

    /// What there is of a stack of which no state tells: what runs or what data lies there; none where there is nothing.
    fn rediscover(&self) -> Result<Option<State>>;

    /// How each of the services stands.
    fn standing(&self, state: Option<&State>, request: &Request, watch: bool) -> Result<Vec<(Service, Standing)>>;

    /// Which services run, in whatever form.
    fn running(&self, state: Option<&State>) -> Result<Vec<Service>>;

    /// What has to be there before anything is changed, such as room on the disk.
    fn check(&self) -> Result<()>;

    /// The lane that prepares the folder says this when it is done.
    fn prepared(&self) -> String;

    /// What starts the services. `state` is what the stack will be, and gets what only the engine knows.
    fn start(&self, start: &Start<'_>, state: &mut State) -> Result<Vec<Lane>>;

    /// What makes sure, before the backend is stopped, that it can be started again; with migrations only where it gets
    /// into the database that runs.
    fn rehearse(&self, settings: &Settings, state: &State, migrates: bool) -> Result<Vec<Lane>>;

    /// What stops those of the services that run, each after those that need it.
    fn stop(&self, state: Option<&State>, services: &[Service]) -> Result<Vec<Lane>>;

    /// Stops what a failed start has started, also after Ctrl-C, and gives back what that was.
    fn take_back(&self, start: &Start<'_>, state: &State, launched: &[Launch]) -> Result<Vec<Service>>;

    /// Stops these services in order, also after Ctrl-C.
    fn force_stop(&self, state: &State, services: &[Service]) -> Result<()>;

    /// What is to be seen of the services.
    fn see(&self, state: Option<&State>) -> Result<View>;

    /// A command in the environment of a service.
    fn inside(&self, state: &State, service: Service, command: &[String]) -> Result<Step>;

    /// A client of a service. Its environment has the service's address and no more; its input and output are bytes.
    fn client(&self, state: &State, service: Service, command: &[String]) -> Result<Step>;

    /// What has to be fetched before [`Engine::client`] can be run.
    fn fetch(&self, state: &State, service: Service, client: &Client) -> Result<Plan>;

    /// The words that open a service's client, or a shell, and what has to be fetched for them first.
    fn shell(&self, state: &State, service: Service) -> Result<(Vec<String>, Plan)>;

    /// The backend's own program with the stack's environment and that database, and what makes it first.
    fn program(&self, state: &State, database: &str) -> Result<(Program, Plan)>;

    /// The program that serves, as it is, what makes it where it is gone, and the address at which it finds itself.
    fn serving_program(&self, state: &State) -> Result<(Program, Plan, String)>;

    /// What these services have said, of which at most so many lines are wanted, and will say.
    fn logs(&self, state: Option<&State>, services: &[Service], lines: usize) -> Result<LogSource>;
}
