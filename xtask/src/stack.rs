//! The local stack of a checkout: what it is, and what is done with it, whichever engine runs it.

pub mod detect;
pub mod docker;
pub mod elsewhere;
pub mod engine;
pub mod environment;
pub mod folder;
pub mod foundation;
pub mod host;
pub mod logs;
pub mod owner;
pub mod ports;
pub mod report;
pub mod request;
pub mod scratch;
pub mod servers;
pub mod service;
pub mod state;
mod up;
pub mod watch;

use anyhow::Result;

use self::docker::Docker;
use self::engine::Engine;
use self::folder::StackFolder;
use self::host::Host;
use self::logs::LogSource;
use self::report::Report;
use self::service::{Client, Service, not_up};
use self::state::{EngineKind, State};
use crate::context::Context;
use crate::database::target::Target;
use crate::lock::Lock;
use crate::plan::Plan;
use crate::product::DATABASE;
use crate::settings::Settings;
use crate::step::Step;
use crate::tool::backend::Program;
use crate::tool::system::Package;

/// What dumps and restores a database; `psql` and `pg_restore` come with it.
pub const DATABASE_CLIENTS: Client = Client { programs: &["pg_dump"], port_flag: None, package: Package::Psql };

/// The stack of a checkout.
pub struct Stack<'a> {
    context: &'a Context,
    state: Option<State>,
    engine: Box<dyn Engine + 'a>,
}

impl<'a> Stack<'a> {
    /// The stack as it is, to look at it.
    pub fn open(context: &'a Context) -> Result<Self> {
        let mut state = State::load(&StackFolder::of(&context.project, None))?;
        if state.is_none() {
            // Somebody may have removed the folder while it ran.
            state = rediscover(context)?;
        }
        Ok(Self::with(context, state))
    }

    /// Whether something of a stack runs of which the checkout's folder no longer tells.
    pub fn find_lost(context: &Context) -> Result<bool> {
        Ok(!Host::open(context).orphans().is_empty() || Docker::open(context).rediscover()?.is_some())
    }

    /// The stack, for a task that changes it and holds its lock: what a killed task had begun is finished first, and what
    /// is there of a stack whose state is lost is found again.
    pub fn open_locked(context: &'a Context, lock: Option<&Lock>) -> Result<Self> {
        let folder = StackFolder::of(&context.project, None);
        let mut state = State::load_or_set_aside(&folder, &|text| context.terminal.warn(text))?;
        if state.is_none() && lock.is_some() {
            state = rediscover(context)?;
            if let Some(state) = &state {
                state.store(&folder)?;
            }
        }
        let stack = Self::with(context, state);
        if lock.is_some() {
            stack.engine.settle(stack.state.as_ref())?;
        }
        Ok(stack)
    }

    /// The same on that engine, for a task that starts it.
    pub fn on(mut self, kind: EngineKind, lock: Option<&Lock>) -> Result<Self> {
        if self.engine.kind() != kind {
            self.engine = engine_of(self.context, kind);
            if lock.is_some() {
                self.engine.settle(self.state.as_ref())?;
            }
        }
        Ok(self)
    }

    fn with(context: &'a Context, state: Option<State>) -> Self {
        let kind = state.as_ref().map_or(EngineKind::Host, |state| state.engine);
        Self { context, engine: engine_of(context, kind), state }
    }

    /// What it is; none when it was never started here.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The state of a stack that has one, for tasks that need a running service.
    fn known(&self, service: Service) -> Result<&State> {
        self.state.as_ref().ok_or_else(|| not_up(service).into())
    }

    /// Where its files lie.
    pub fn folder(&self) -> &StackFolder {
        self.engine.folder()
    }

    /// Which services run.
    pub fn running(&self) -> Result<Vec<Service>> {
        self.engine.running(self.state.as_ref())
    }

    fn expect_running(&self, services: &[Service]) -> Result<&State> {
        let running = self.running()?;
        match services.iter().find(|service| !running.contains(service)) {
            Some(missing) => Err(not_up(*missing).into()),
            None => self.known(services[0]),
        }
    }

    /// How it is.
    pub fn report(&self, settings: Option<&Settings>) -> Result<Report> {
        let view = self.engine.see(self.state.as_ref())?;
        let task = crate::lock::Holder::of(&self.folder().lock());
        Ok(Report::of(&self.context.project, self.state.as_ref(), settings, &view, task))
    }

    /// A command in the environment of a service.
    pub fn inside(&self, service: Service, command: &[String]) -> Result<Step> {
        self.engine.inside(self.expect_running(&[service])?, service, command)
    }

    /// The words that open a service's client, or a shell, and what has to be fetched for them first.
    pub fn shell(&self, service: Service) -> Result<(Vec<String>, Plan)> {
        self.engine.shell(self.expect_running(&[service])?, service)
    }

    /// The backend's own program with the stack's environment, while these services run, and what makes it first.
    pub fn program(&self, services: &[Service]) -> Result<(Program, Plan)> {
        self.engine.program(self.expect_running(services)?, DATABASE)
    }

    /// The URL of the stack's database on this machine, with its password.
    pub fn database_url(&self) -> Result<String> {
        let state = self.expect_running(&[Service::Postgres])?;
        environment::database_url(&Settings::load(&self.context.project)?, &state.ports, DATABASE)
    }

    /// What reaches the stack's databases, and what has to be fetched first. The backend's program is not built for it.
    pub fn database(&self) -> Result<(Target<'_>, Plan)> {
        let state = self.expect_running(&[Service::Postgres])?;
        let fetch = self.engine.fetch(state, Service::Postgres, &DATABASE_CLIENTS)?;
        let client = |words: &[String]| self.engine.client(state, Service::Postgres, words);
        let program = |database: &str| self.engine.program(state, database).map(|(program, _)| program);
        Ok((Target { database: DATABASE.to_owned(), client: Box::new(client), program: Box::new(program) }, fetch))
    }

    /// The program that serves, as it is, what makes it where it is gone, and the address at which it finds itself.
    pub fn serving_program(&self) -> Result<(Program, Plan, String)> {
        self.engine.serving_program(self.expect_running(&[Service::Backend])?)
    }

    /// What these services have said, of which at most so many lines are wanted, and will say.
    pub fn logs(&self, services: &[Service], lines: usize) -> Result<LogSource> {
        self.engine.logs(self.state.as_ref(), services, lines)
    }

    fn write_state(&self) -> Result<()> {
        self.state.as_ref().map_or(Ok(()), |state| state.store(self.folder()))
    }
}

fn engine_of(context: &Context, kind: EngineKind) -> Box<dyn Engine + '_> {
    match kind {
        EngineKind::Host => Box::new(Host::open(context)),
        EngineKind::Docker => Box::new(Docker::open(context)),
    }
}

/// What there is of a stack of which no state tells.
fn rediscover(context: &Context) -> Result<Option<State>> {
    for kind in [EngineKind::Host, EngineKind::Docker] {
        if let Some(state) = engine_of(context, kind).rediscover()? {
            context
                .terminal
                .warn(format!("the stack's state is lost; what there is of it was found on the {kind} engine"));
            return Ok(Some(state));
        }
    }
    Ok(None)
}
