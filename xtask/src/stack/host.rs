//! The host engine: the stack as processes of this machine, on data and ports of its own.

pub mod clean;
pub mod clients;
mod orphans;
pub mod recipe;
pub mod stop;
mod watched;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::recipe::{Recipe, Source};
use super::engine::{Engine, Standing, Start};
use super::environment;
use super::folder::StackFolder;
use super::foundation;
use super::logs::{LogSource, Reader};
use super::owner;
use super::report::{RunState, Seen, View};
use super::request::Request;
use super::servers::{Origin, Search};
use super::service::{Client, Service};
use super::state::{EngineKind, State};
use crate::checkout;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::plan::{self, Action, Lane, Plan};
use crate::process::Record;
use crate::product::setting::OPERATOR_TOKEN;
use crate::product::{BINARY, DATABASE};
use crate::runner::Launch;
use crate::runner::launch;
use crate::settings::Settings;
use crate::step::{Step, User};
use crate::supervise::{self, Stop};
use crate::tool::backend::{Program, Variable};
use crate::tool::postgres::Durability;
use crate::tool::system;

/// The least that has to be free on the disk: data, logs and a little air.
pub const MINIMUM_FREE_BYTES: u64 = 300_000_000;

/// The stack of a checkout on the host engine.
pub struct Host<'a> {
    context: &'a Context,
    folder: StackFolder,
    /// Whom PostgreSQL runs as; an error where nobody can be found, which only matters to a start.
    user: Option<User>,
}

impl<'a> Host<'a> {
    /// The stack of the context's checkout.
    pub fn open(context: &'a Context) -> Self {
        let user = service_user().unwrap_or_default();
        let folder = StackFolder::of(&context.project, user.as_ref());
        let host = Self { context, folder, user };
        if !context.dry_run {
            host.cut_logs();
        }
        host
    }

    /// Nothing of xtask runs on to keep logs short, so that whoever looks at the stack does it.
    pub fn cut_logs(&self) {
        for service in Service::ALL {
            if let Err(error) = crate::log_file::rotate(&self.folder.log(service)) {
                self.context.terminal.warn(format!("{error:#}"));
            }
        }
    }

    fn warn(&self) -> impl Fn(String) + '_ {
        |text| self.context.terminal.warn(text)
    }

    /// Whether that service is running.
    pub fn is_running(&self, service: Service) -> bool {
        Record::load(&self.folder.record(service)).is_some_and(|record| record.is_running())
    }

    fn search(&self, origin: Origin) -> Search<'_> {
        Search { project: &self.context.project, runner: &*self.context.runner, origin, user: self.user.as_ref() }
    }

    /// What it takes to build the backend.
    pub fn source(&self) -> Result<Source<'_>> {
        Ok(Source {
            root: self.context.project.root(),
            binary: binary()?,
            is_colored: self.context.terminal.is_colored(),
            migration_timeout: foundation::MIGRATION_TIMEOUT,
            drafts: checkout::drafts(self.context),
            watcher: None,
            replaces: false,
        })
    }

    /// What builds the backend.
    pub fn build(&self) -> Result<Plan> {
        Ok(Plan::of("build", vec![recipe::build(&self.source()?)], "done"))
    }

    /// Checks the settings with the program that is there, before anything is started: one that is there already need
    /// not be built for it. One that is older may know less; then the build comes first.
    fn check_settings(&self, start: &Start<'_>) -> Result<()> {
        let path = binary()?;
        let environment = environment::of_backend(start.settings, start.ports, DATABASE)?;
        let check = Program::with(&path, &environment).check_settings();
        if self.context.dry_run || !start.starting.contains(&Service::Backend) || !path.exists() {
            return Ok(());
        }
        if self.context.runner.read(&check)?.is_success() {
            return Ok(());
        }
        self.build()?.run(self.context).result?;
        crate::runner::read_well(&*self.context.runner, &check).map(drop)
    }
}

impl Engine for Host<'_> {
    fn kind(&self) -> EngineKind {
        EngineKind::Host
    }

    fn folder(&self) -> &StackFolder {
        &self.folder
    }

    fn settle(&self, _: Option<&State>) -> Result<()> {
        let shutdown = foundation::shutdown_timeout_of(self.context);
        for service in Service::ALL.into_iter().rev() {
            launch::cancel(&self.folder.record(service))?;
            supervise::finish_stop(&stop::of(&self.folder, service, shutdown), &self.warn())?;
        }
        self.settle_watch()?;
        supervise::end_orphans(self.context.project.root(), &self.warn())?;
        self.settle_orphans()?;
        file::remove(&self.folder.postgres_removed())?;
        for folder in [self.folder.root().to_owned(), self.folder.run(), self.context.project.home().to_owned()] {
            file::remove_drafts(&folder)?;
        }
        Ok(())
    }

    fn rediscover(&self) -> Result<Option<State>> {
        let has_data = self.folder.postgres_data().join("PG_VERSION").is_file() || self.folder.redis().is_dir();
        let mut state = State::new(EngineKind::Host, foundation::usual_ports(self.context));
        for service in Service::ALL {
            let record = Record::load(&self.folder.record(service)).filter(Record::is_running);
            if let Some(port) = record.and_then(|record| owner::port_of(record.pid)) {
                state.ports.set(service, port);
                state.want(&[service]);
            }
        }
        state.watch = self.is_watched();
        Ok((has_data || !state.wanted.is_empty()).then_some(state))
    }

    fn standing(&self, state: Option<&State>, request: &Request, watch: bool) -> Result<Vec<(Service, Standing)>> {
        let polls = state.map(|state| state.polls);
        let looks_as_asked = !watch || request.polls.is_none_or(|asked| polls == Some(asked));
        let is_as_asked = self.is_watched() == watch && looks_as_asked;
        let standing = |service: Service| match service {
            Service::Backend if is_as_asked && self.is_there(service) => Standing::Current,
            Service::Backend if self.is_there(service) => Standing::Outdated,
            service if self.is_running(service) => Standing::Current,
            _ => Standing::Absent,
        };
        Ok(request.services.iter().map(|service| (*service, standing(*service))).collect())
    }

    fn running(&self, _: Option<&State>) -> Result<Vec<Service>> {
        Ok(Service::ALL.into_iter().filter(|service| self.is_there(*service)).collect())
    }

    fn check(&self) -> Result<()> {
        foundation::check(&[self.folder.root(), self.folder.postgres()], MINIMUM_FREE_BYTES)
    }

    fn prepared(&self) -> String {
        format!("in {}", self.context.project.relative(self.folder.root()))
    }

    fn start(&self, start: &Start<'_>, state: &mut State) -> Result<Vec<Lane>> {
        let user = service_user()?;
        self.check_settings(start)?;
        if self.folder.is_split() {
            self.context.terminal.note(format!(
                "PostgreSQL's files lie in {}, because its user may not go to {}",
                self.folder.postgres().display(),
                self.context.project.root().display()
            ));
        }
        let source = if start.starting.contains(&Service::Backend) {
            let watcher = start.watch.then(|| self.watcher(start.polls)).transpose()?;
            // A new watcher takes over from a server that has none, without a gap.
            let is_taken_over = start.watch && !self.is_watched();
            let replaces = start.outdated.contains(&Service::Backend) && !is_taken_over;
            Some(Source { watcher, replaces, ..self.source()? })
        } else {
            None
        };
        let recipe = Recipe {
            folder: &self.folder,
            settings: start.settings,
            ports: start.ports,
            search: self.search(start.request.origin),
            user,
            durability: Durability::Safe,
            timeout: start.request.timeout,
            database: DATABASE,
            schema: Vec::new(),
            beside: [start.starting.as_slice(), &start.waiting].concat(),
            source,
        };
        let mut lanes = Vec::new();
        for service in &start.waiting {
            lanes.push(recipe.waiting(*service, self.is_watched())?);
        }
        for service in &start.starting {
            let host_lane = service.definition().host_lane(&recipe)?;
            if let Some(server) = host_lane.server {
                state.servers.insert(*service, server);
            }
            lanes.push(host_lane.lane);
        }
        Ok(lanes)
    }

    fn rehearse(&self, settings: &Settings, state: &State, migrates: bool) -> Result<Vec<Lane>> {
        let source = self.source()?;
        let program = Program::with(&source.binary, &environment::of_backend(settings, &state.ports, DATABASE)?);
        let mut actions = vec![recipe::build(&source), Action::Run(program.check_settings())];
        if migrates && self.is_running(Service::Postgres) {
            actions.push(Action::Run(program.migrate(source.migration_timeout, &source.drafts)));
        }
        Ok(vec![Lane { name: "build".to_owned(), actions, result: "ready to start again".to_owned() }])
    }

    fn stop(&self, _: Option<&State>, services: &[Service]) -> Result<Vec<Lane>> {
        let there: Vec<Service> = services.iter().copied().filter(|service| self.is_there(*service)).collect();
        let mut lanes = stop::lanes(&self.folder, &there, foundation::shutdown_timeout_of(self.context));
        let ended =
            services.iter().filter(|service| !there.contains(service)).map(|service| self.folder.record(*service));
        let left: Vec<Action> = ended.filter(|record| record.exists()).map(Action::Remove).collect();
        if !left.is_empty() {
            lanes.push(Lane { name: "records".to_owned(), actions: left, result: "removed".to_owned() });
        }
        Ok(lanes)
    }

    fn take_back(&self, start: &Start<'_>, _: &State, launched: &[Launch]) -> Result<Vec<Service>> {
        let is_launched = |service: &Service| {
            let mut records = vec![self.folder.record(*service)];
            if service.is_built() {
                records.push(self.folder.watch().watcher());
            }
            launched.iter().any(|launch| records.contains(&launch.record))
        };
        let services: Vec<Service> = start.starting.iter().copied().filter(is_launched).rev().collect();
        for service in &services {
            plan::stop_all(&stop::quick_actions(&self.folder, *service), &self.warn())?;
        }
        Ok(services)
    }

    fn force_stop(&self, _: &State, services: &[Service]) -> Result<()> {
        let shutdown = foundation::shutdown_timeout_of(self.context);
        services
            .iter()
            .rev()
            .try_for_each(|service| plan::stop_all(&stop::actions(&self.folder, *service, shutdown), &self.warn()))
    }

    fn see(&self, state: Option<&State>) -> Result<View> {
        Ok(View::of_each(|service| self.see_service(service, state)).with_strays(self.orphans()))
    }

    fn inside(&self, state: &State, service: Service, command: &[String]) -> Result<Step> {
        let settings = Settings::load(&self.context.project)?;
        foundation::hide(self.context, &settings);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = self.programs(state, service)?;
        let folders = programs.into_iter().chain(std::env::split_paths(&path).collect::<Vec<_>>());
        let step = Step::new(format!("run {}", command[0]), &command[0])
            .args(&command[1..])
            .env("PATH", std::env::join_paths(folders)?);
        let environment = environment::of_clients(&settings, &state.ports, DATABASE)?;
        Ok(environment.iter().fold(step, |step, variable| variable.give_to(step)))
    }

    fn shell(&self, state: &State, service: Service) -> Result<(Vec<String>, Plan)> {
        let Some(client) = service.definition().client() else {
            return Ok((vec![std::env::var("SHELL").unwrap_or_else(|_| "sh".to_owned())], Plan::default()));
        };
        self.find_client(state, service, &client)
    }

    fn client(&self, state: &State, service: Service, command: &[String]) -> Result<Step> {
        let settings = Settings::load(&self.context.project)?;
        foundation::hide(self.context, &settings);
        let program = clients::program(self.context, &self.programs(state, service)?, &command[0]);
        let step = Step::new(format!("run {}", command[0]), program).args(&command[1..]);
        let environment = service.definition().client_variables(state.ports.of(service), &settings)?;
        Ok(environment.iter().fold(step, |step, variable| variable.give_to(step)))
    }

    fn fetch(&self, state: &State, service: Service, client: &Client) -> Result<Plan> {
        self.find_client(state, service, client).map(|(_, plan)| plan)
    }

    fn program(&self, state: &State, database: &str) -> Result<(Program, Plan)> {
        let settings = Settings::load(&self.context.project)?;
        foundation::hide(self.context, &settings);
        Ok((Program::with(&binary()?, &environment::of_backend(&settings, &state.ports, database)?), self.build()?))
    }

    fn serving_program(&self, state: &State) -> Result<(Program, Plan, String)> {
        let path = binary()?;
        let build = if path.exists() { Plan::default() } else { self.build()? };
        let address = Service::Backend.definition().address(state.ports.of(Service::Backend));
        let settings = Settings::load(&self.context.project)?;
        foundation::hide(self.context, &settings);
        let token = settings.get(OPERATOR_TOKEN).map(|token| Variable::secret(OPERATOR_TOKEN, token));
        Ok((Program::with(&path, token.as_slice()), build, address))
    }

    fn logs(&self, _: Option<&State>, services: &[Service], _: usize) -> Result<LogSource> {
        if !services.iter().any(|service| self.folder.log(*service).exists()) {
            return Err(Failure::new(Exit::Unhealthy, "nothing was started here yet, so there are no logs")
                .hint("cargo xtask up")
                .into());
        }
        Ok(LogSource::Files(Reader::new(&self.folder, services)))
    }
}

impl Host<'_> {
    fn see_service(&self, service: Service, state: Option<&State>) -> Seen {
        let record = Record::load(&self.folder.record(service));
        let running = record.as_ref().filter(|record| record.is_running());
        let watch = service.is_built().then(|| self.see_watch(state)).flatten();
        Seen {
            state: match (running, &record) {
                (Some(_), _) => RunState::Running,
                (None, Some(_)) => RunState::Exited,
                (None, None) => RunState::Stopped,
            },
            pid: running.map(|record| record.pid),
            container: None,
            age: running.and_then(Record::age),
            server: state.and_then(|state| state.servers.get(&service).cloned()),
            // It knows how, and what it does about it.
            ended: watch.as_ref().and_then(|watch| watch.says.as_ref()?.problem.clone()),
            log: self.folder.log(service).display().to_string(),
            watch,
        }
    }
}

/// Whom PostgreSQL runs as: ourselves, unless we are root.
pub fn service_user() -> Result<Option<User>> {
    if !system::is_root() {
        return Ok(None);
    }
    let user = system::service_user().ok_or_else(|| {
        Failure::new(Exit::Missing, "PostgreSQL does not run as root, and there is no user postgres or nobody")
            .hint("useradd --system postgres")
    })?;
    Ok(Some(user))
}

/// The backend's binary: cargo puts each profile's binaries into a folder beside that of the profile that ours is of.
pub fn binary() -> Result<PathBuf> {
    Ok(binary_beside(&std::env::current_exe().context("cannot tell where xtask itself is")?))
}

fn binary_beside(ourselves: &Path) -> PathBuf {
    let target = ourselves.ancestors().nth(2).unwrap_or(Path::new(""));
    target.join("debug").join(format!("{BINARY}{}", std::env::consts::EXE_SUFFIX))
}

/// How long a service is given to end that nobody needs any more.
const STRAY_TIMEOUT: Duration = Duration::from_secs(5);

/// The stop of a process that no service is.
fn stray_stop(name: &str, record: PathBuf) -> Stop {
    Stop { service: name.to_owned(), record, signals: vec![("TERM", STRAY_TIMEOUT), ("KILL", STRAY_TIMEOUT)] }
}

#[cfg(test)]
mod tests;
