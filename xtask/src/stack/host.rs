//! The host engine: the stack as processes of this machine, on data and ports of its own.

pub mod lanes;
mod watched;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::lanes::{BackendFacts, DataFacts, PREPARE, Recipe};
use super::folder::StackFolder;
use super::ports::Claims;
use super::report::{RunState, Seen};
use super::servers::{Origin, Search};
use super::state::{Engine, State};
use super::thunder::{self, DATABASE, POSTGRES_PASSWORD, Service};
use super::{ground, probe};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::launch;
use crate::lock::Lock;
use crate::plan::{Action, Folder, Lane, Plan};
use crate::process::{self, Record};
use crate::settings::Settings;
use crate::step::{Step, User};
use crate::tool::backend::Thunder;
use crate::tool::postgres::{self, Durability};
use crate::tool::system;

/// The least that has to be free on the disk: data, logs and a little air.
pub const DISK: u64 = 300_000_000;

/// The stack of a checkout on the host engine.
pub struct Host<'a> {
    context: &'a Context,
    folder: StackFolder,
    user: Option<User>,
    state: Option<State>,
}

/// What `up` is asked to do.
pub struct Request {
    /// The services, in the order in which they start.
    pub services: Vec<Service>,
    /// Which servers may be used.
    pub origin: Origin,
    /// How long a service may take to become ready.
    pub timeout: Duration,
    /// Whether the backend is the image that ships, instead of what is built from source.
    pub production: bool,
    /// How many backends; only the image that ships can be several.
    pub replicas: u16,
    /// Whether the backend is to be built and reloaded at each change; none to leave that as it is.
    pub watch: Option<bool>,
    /// Whether the watcher is to look at intervals, instead of as the settings say.
    pub polls: bool,
}

/// What `up` did.
#[derive(Debug, PartialEq, Eq)]
pub enum UpOutcome {
    /// Everything was running.
    Unchanged,
    /// What was missing was started.
    Started,
    /// A dry run printed what would be done.
    Planned,
}

impl<'a> Host<'a> {
    /// The stack of the context's checkout.
    pub fn open(context: &'a Context) -> Result<Self> {
        let user = service_user()?;
        let folder = StackFolder::of(&context.project, user.as_ref());
        let state = State::load(&folder.state())?;
        let host = Self { context, folder, user, state };
        if !context.dry_run {
            host.cut_logs();
        }
        Ok(host)
    }

    /// The stack, for a task that changes it and holds its lock: what is running now is all that there is.
    pub fn open_locked(context: &'a Context, lock: Option<&Lock>) -> Result<Self> {
        let host = Self::open(context)?;
        host.settle(lock)?;
        Ok(host)
    }

    /// Brings to its end what a killed task had begun: launches are cancelled, stops and removals are finished.
    fn settle(&self, lock: Option<&Lock>) -> Result<()> {
        let Some(_) = lock else { return Ok(()) };
        for service in Service::ALL.into_iter().rev() {
            launch::cancel(&self.folder.record(service))?;
            let stop = lanes::stop(&self.folder, service, self.shutdown_timeout());
            crate::plan::finish_stop(&stop, &|text| self.context.terminal.warn(text))?;
        }
        self.settle_watch()?;
        file::remove(&self.folder.postgres_removed())
    }

    /// The stack even where what it says of itself cannot be understood: to remove it, its files are enough.
    pub fn open_for_removal(context: &'a Context, lock: Option<&Lock>) -> Result<Self> {
        let user = service_user()?;
        let folder = StackFolder::of(&context.project, user.as_ref());
        let state = State::load(&folder.state()).unwrap_or_default();
        let host = Self { context, folder, user, state };
        host.settle(lock)?;
        Ok(host)
    }

    /// Nothing of xtask runs on to keep logs short, so that whoever looks at the stack does it.
    fn cut_logs(&self) {
        for service in Service::ALL {
            if let Err(error) = crate::log_file::rotate(&self.folder.log(service)) {
                self.context.terminal.warn(format!("{error:#}"));
            }
        }
    }

    /// Where its files lie.
    pub fn folder(&self) -> &StackFolder {
        &self.folder
    }

    /// What it is; none when it was never started here.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// What is to be seen of a service.
    pub fn see(&self, service: Service) -> Seen {
        let record = Record::load(&self.folder.record(service));
        let running = record.as_ref().filter(|record| record.is_running());
        let watch = (service == Service::Backend).then(|| self.see_watch()).flatten();
        let state = match (running, &record) {
            (Some(_), _) => RunState::Running,
            (None, Some(_)) => RunState::Exited,
            (None, None) => RunState::Stopped,
        };
        let server = self.state.as_ref().and_then(|state| match service {
            Service::Postgres => state.postgres.clone(),
            Service::Redis => state.redis.clone(),
            Service::Backend => None,
        });
        Seen {
            state,
            pid: running.map(|record| record.pid),
            container: None,
            age: running.and_then(Record::age),
            server,
            // It knows how, and what it does about it.
            ended: watch.as_ref().and_then(|watch| watch.says.as_ref()?.problem.clone()),
            log: self.folder.log(service).display().to_string(),
            watch,
        }
    }

    /// Whether that service is running.
    pub fn is_running(&self, service: Service) -> bool {
        Record::load(&self.folder.record(service)).is_some_and(|record| record.is_running())
    }

    /// Starts what is not running and waits for all of it; on failure stops what it had started.
    pub fn up(&mut self, request: &Request) -> Result<UpOutcome> {
        let watch = self.is_to_be_watched(request);
        if !watch && self.is_watched() && request.services.contains(&Service::Backend) {
            self.stop(&[Service::Backend])?;
        }
        let is_up = |service: Service| match service {
            Service::Backend if watch => self.is_watched(),
            service => self.is_running(service),
        };
        let (running, starting): (Vec<Service>, Vec<Service>) =
            request.services.iter().partition(|service| is_up(**service));
        let (settings, write_settings) = ground::settings(self.context)?;
        // Held until the services listen.
        let mut claims = Claims::new(self.context.dry_run);
        // A server whose watcher is gone has its port.
        let moving: Vec<Service> = starting.iter().copied().filter(|service| !self.is_running(*service)).collect();
        let ports = ground::ports(self.context, self.state.as_ref(), &settings, &moving, &mut claims)?;
        let recipe = Recipe {
            folder: &self.folder,
            settings: &settings,
            ports,
            user: self.user.clone(),
            durability: Durability::Safe,
            timeout: request.timeout,
            database: DATABASE,
            schema: Vec::new(),
        };
        let mut waiting = Vec::new();
        for service in running {
            if probe::of(service, ports, &settings)?.look(&*self.context.runner).is_err() {
                waiting.push(service);
            }
        }
        if starting.is_empty() && waiting.is_empty() {
            return Ok(UpOutcome::Unchanged);
        }
        ground::check(&[self.folder.root(), self.folder.postgres()], DISK)?;
        let (mut plan, mut state) = self.plan(request, &recipe, &starting, &waiting)?;
        state.watch = watch;
        plan.lanes.insert(0, self.prepare(&state, write_settings)?);
        if self.context.dry_run {
            plan.print(&self.context.terminal)?;
            return Ok(UpOutcome::Planned);
        }
        let before = self.state.replace(state);
        let outcome = plan.run(self.context);
        if let Err(error) = outcome.result {
            let watcher = self.folder.watch().watcher();
            let is_started = |service: &Service| {
                let record = self.folder.record(*service);
                let is_its = |path: &Path| path == record || (*service == Service::Backend && path == watcher);
                outcome.started.iter().any(|launch| is_its(&launch.record))
            };
            let started: Vec<Service> = starting.into_iter().filter(is_started).collect();
            self.roll_back(&started, before, ground::shutdown_timeout(&settings));
            return Err(error);
        }
        Ok(UpOutcome::Started)
    }

    /// A lane for each service that is started or waited for, and what the stack is once they are done.
    fn plan(
        &self,
        request: &Request,
        recipe: &Recipe<'_>,
        starting: &[Service],
        waiting: &[Service],
    ) -> Result<(Plan, State)> {
        let mut state = self.state.clone().unwrap_or_else(|| State::new(Engine::Host, recipe.ports));
        state.engine = Engine::Host;
        state.ports = recipe.ports;
        state.want(&request.services);
        let search = self.search(request.origin);
        let beside = [starting, waiting].concat();
        let mut lanes = Vec::new();
        for service in &beside {
            lanes.push(match service {
                service if waiting.contains(service) => recipe.waiting(*service, self.is_watched())?,
                Service::Postgres => {
                    let found = search.postgres(postgres::data_major(&self.folder.postgres_data()))?;
                    state.postgres = Some(found.server.clone());
                    recipe.postgres(found, self.data_facts(recipe.settings)?)?
                }
                Service::Redis => {
                    let found = search.redis()?;
                    state.redis = Some(found.server.clone());
                    recipe.redis(found)?
                }
                Service::Backend => {
                    let watcher = self.is_to_be_watched(request).then(|| self.watcher(request));
                    let facts = BackendFacts { watcher: watcher.transpose()?, ..self.backend_facts()? };
                    recipe.backend(&facts, &beside)?
                }
            });
        }
        Ok((Plan { lanes }, state))
    }

    fn search(&self, origin: Origin) -> Search<'_> {
        Search { project: &self.context.project, runner: &*self.context.runner, origin, user: self.user.as_ref() }
    }

    /// The folder and what it says about itself, before anything is started in it.
    fn prepare(&self, state: &State, write_settings: Option<Action>) -> Result<Lane> {
        let mut actions: Vec<Action> = write_settings.into_iter().collect();
        actions.push(Action::Folder(Folder { path: self.folder.root().to_owned(), mode: 0o755, owner: None }));
        let run = self.folder.root().join("run");
        actions.push(Action::Folder(Folder { path: run, mode: 0o700, owner: None }));
        if self.folder.is_split() {
            let path = self.folder.postgres().to_owned();
            self.context.terminal.note(format!(
                "PostgreSQL's files lie in {}, because its user may not go to {}",
                path.display(),
                self.context.project.root().display()
            ));
        }
        actions.push(state.write(&self.folder.state())?);
        Ok(Lane {
            name: PREPARE.to_owned(),
            actions,
            result: format!("in {}", self.context.project.relative(self.folder.root())),
        })
    }

    fn data_facts(&self, settings: &Settings) -> Result<DataFacts> {
        let data = self.folder.postgres_data();
        let exists = data.join("PG_VERSION").is_file();
        let password = std::fs::read_to_string(self.folder.postgres_password()).unwrap_or_default();
        let locale = if exists {
            "C"
        } else {
            let installed = self.context.runner.read(&system::locales()).unwrap_or_default();
            system::choose_locale(&installed.stdout)
        };
        Ok(DataFacts {
            exists,
            has_other_password: exists && password != settings.require(POSTGRES_PASSWORD)?,
            is_occupied: !process::working_in(self.folder.postgres()).is_empty(),
            dead_lock_file: postgres::lock_file(&data, process::is_zombie),
            locale,
        })
    }

    /// What builds the backend.
    pub fn build(&self) -> Result<Plan> {
        Ok(Plan::of("build", vec![lanes::build(&self.backend_facts()?)], "done"))
    }

    /// What it takes to build the backend.
    pub fn backend_facts(&self) -> Result<BackendFacts<'_>> {
        Ok(BackendFacts {
            root: self.context.project.root(),
            binary: binary()?,
            commit: ground::commit(self.context),
            is_colored: self.context.terminal.is_colored(),
            migration_timeout: ground::MIGRATIONS,
            watcher: None,
        })
    }

    fn roll_back(&mut self, started: &[Service], before: Option<State>, shutdown_timeout: Duration) {
        let warn = |text: String| self.context.terminal.warn(text);
        for service in started.iter().rev() {
            let stops = lanes::stops(&self.folder, *service, shutdown_timeout);
            match crate::plan::stop_all(&stops, &warn) {
                Ok(()) => self.context.terminal.note(format!("stopped {service}")),
                Err(error) => self.context.terminal.warn(format!("{error:#}")),
            }
        }
        if let Some(state) = &mut self.state {
            state.wanted = before.map(|before| before.wanted).unwrap_or_default();
            if let Err(error) = self.write_state() {
                self.context.terminal.warn(format!("{error:#}"));
            }
        }
    }

    fn write_state(&self) -> Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        state.store(&self.folder.state())
    }

    /// Stops what is running, keeping the data; false when nothing was.
    pub fn down(&mut self) -> Result<bool> {
        let running: Vec<Service> = Service::ALL.into_iter().filter(|service| self.is_there(*service)).collect();
        let plan = Plan { lanes: lanes::stopping(&self.folder, &running, self.shutdown_timeout()) };
        if self.context.dry_run {
            plan.print(&self.context.terminal)?;
            return Ok(!running.is_empty());
        }
        let was_wanted = self.state.as_ref().is_some_and(|state| !state.wanted.is_empty());
        if let Some(state) = self.state.as_mut().filter(|state| !state.wanted.is_empty()) {
            state.wanted.clear();
            self.write_state()?;
        }
        plan.run(self.context).result?;
        for service in Service::ALL {
            file::remove(&self.folder.record(service))?;
        }
        file::remove(&self.folder.watch().watcher())?;
        Ok(was_wanted || !running.is_empty())
    }

    /// Stops these services, so that `up` starts them anew. The backend is built before, so that one that does not
    /// compile leaves the old one running.
    pub fn stop_for_restart(&self, services: &[Service]) -> Result<()> {
        if services.contains(&Service::Backend) {
            self.print_or_run(&self.build()?)?;
        }
        self.stop(services)
    }

    /// Stops what is running of these services.
    pub fn stop(&self, services: &[Service]) -> Result<()> {
        let running: Vec<Service> = services.iter().copied().filter(|service| self.is_there(*service)).collect();
        self.print_or_run(&Plan { lanes: lanes::stopping(&self.folder, &running, self.shutdown_timeout()) })
    }

    /// Stops these services for good, also after somebody has asked for an end of everything else.
    pub fn force_stop(&mut self, services: &[Service]) -> Result<()> {
        if let Some(state) = &mut self.state {
            state.wanted.retain(|service| !services.contains(service));
        }
        self.write_state()?;
        let timeout = self.shutdown_timeout();
        let warn = |text: String| self.context.terminal.warn(text);
        services
            .iter()
            .rev()
            .try_for_each(|service| crate::plan::stop_all(&lanes::stops(&self.folder, *service, timeout), &warn))
    }

    fn print_or_run(&self, plan: &Plan) -> Result<()> {
        if self.context.dry_run { plan.print(&self.context.terminal) } else { plan.run(self.context).result }
    }

    /// The time that the backend is given to finish; the settings may be the very thing that is broken.
    fn shutdown_timeout(&self) -> Duration {
        Settings::load(&self.context.project)
            .map_or(Duration::from_secs(10), |settings| ground::shutdown_timeout(&settings))
    }

    /// Everything of this stack that is there, which is what `clean` removes.
    pub fn belongings(&self) -> Result<Vec<PathBuf>> {
        let root = self.folder.root();
        if std::fs::symlink_metadata(root).is_ok_and(|found| found.is_symlink()) {
            let what = format!("{} is a link, which this project did not make", root.display());
            return Err(Failure::new(Exit::Refused, what).hint(format!("rm {}", root.display())).into());
        }
        Ok(self.folder.everything().into_iter().filter(|path| std::fs::symlink_metadata(path).is_ok()).collect())
    }

    /// Removes what belongs to the stack; what else lies in its folder stays and is given back.
    pub fn remove(&self, belongings: &[PathBuf], lock: Option<&Lock>) -> Result<Vec<PathBuf>> {
        let mut actions = Vec::new();
        if !process::working_in(self.folder.postgres()).is_empty() {
            actions.push(Action::Vacate(self.folder.postgres().to_owned()));
        }
        for path in belongings {
            if path == self.folder.postgres() {
                let removed = self.folder.postgres_removed();
                actions.extend([Action::Rename(path.clone(), removed.clone()), Action::Remove(removed)]);
            } else {
                actions.push(Action::Remove(path.clone()));
            }
        }
        let plan = Plan::of("clean", actions, "removed");
        self.print_or_run(&plan)?;
        let Some(lock) = lock else { return Ok(Vec::new()) };
        self.folder.remove_shared_parent();
        lock.remove_file()?;
        let root = self.folder.root();
        let others: Vec<PathBuf> =
            std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        if others.is_empty() {
            file::remove(root)?;
        }
        Ok(others)
    }

    /// The backend's own program with the stack's environment, while `service` is running, and what makes it first.
    pub fn thunder(&self, service: Service) -> Result<(Thunder, Plan)> {
        let Some(state) = self.state.as_ref().filter(|_| self.is_running(service)) else {
            return Err(not_up(service).into());
        };
        let settings = Settings::load(&self.context.project)?;
        ground::hide(self.context, &settings);
        let environment = thunder::backend_environment(&settings, state.ports, &ground::commit(self.context))?;
        Ok((Thunder::with(&binary()?, &environment), self.build()?))
    }

    /// A command in the surroundings of a service: its programs on PATH, its address in the variables that its clients
    /// read.
    pub fn inside(&self, service: Service, command: &[String]) -> Result<Step> {
        if !self.is_running(service) {
            return Err(not_up(service).into());
        }
        let settings = Settings::load(&self.context.project)?;
        ground::hide(self.context, &settings);
        let state = self.state.as_ref().ok_or_else(|| not_up(service))?;
        let ports = state.ports;
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        let programs = match service {
            Service::Postgres => state.postgres.as_ref().map(|server| server.path.clone()),
            Service::Redis => state.redis.as_ref().and_then(|server| Some(server.path.parent()?.to_owned())),
            Service::Backend => binary()?.parent().map(Path::to_owned),
        };
        if let Some(programs) = programs {
            let folders = std::iter::once(programs).chain(std::env::split_paths(&path).collect::<Vec<_>>());
            path = std::env::join_paths(folders)?;
        }
        let step = Step::new(format!("run {}", command[0]), &command[0]).args(&command[1..]).env("PATH", path);
        let step = step
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", ports.postgres.to_string())
            .env("PGUSER", thunder::ROLE)
            .env("PGDATABASE", DATABASE)
            .secret_env("PGPASSWORD", settings.require(POSTGRES_PASSWORD)?)
            .secret_env("REDISCLI_AUTH", settings.require(thunder::REDIS_PASSWORD)?)
            .env("REDIS_PORT", ports.redis.to_string());
        let environment = thunder::backend_environment(&settings, ports, &ground::commit(self.context))?;
        Ok(environment.iter().fold(step, |step, variable| {
            if variable.is_secret {
                step.secret_env(&variable.name, &variable.value)
            } else {
                step.env(&variable.name, &variable.value)
            }
        }))
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

/// The failure of a task that needs a service which is not running.
pub fn not_up(service: Service) -> Failure {
    Failure::new(Exit::Unhealthy, format!("{service} is not running")).hint(format!("cargo xtask up {service}"))
}

/// The backend's binary.
pub fn binary() -> Result<PathBuf> {
    Ok(thunder::binary(&std::env::current_exe().context("cannot tell where xtask itself is")?))
}
