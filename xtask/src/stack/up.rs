//! Starting and stopping a stack: the frame that both engines fill.

use anyhow::Result;

use super::engine::{Standing, Start};
use super::foundation::{self, PortAssignment};
use super::host::recipe::PREPARE;
use super::ports::{Claims, Ports};
use super::request::{Request, UpOutcome};
use super::service::{self, Service, in_words};
use super::state::State;
use super::{Stack, ports};
use crate::failure::exit_code;
use crate::plan::{Action, Folder, Lane, Plan};
use crate::runner::Launch;
use crate::settings::Settings;

impl Stack<'_> {
    /// Starts what is not running and waits for all of it; on failure stops what it had started.
    pub fn up(&mut self, request: &Request) -> Result<UpOutcome> {
        self.start(request, &[])
    }

    /// The same after these were stopped, which a dry run only says.
    pub fn start_stopped(&mut self, request: &Request, stopped: &[Service]) -> Result<UpOutcome> {
        self.start(request, stopped)
    }

    fn start(&mut self, request: &Request, stopped: &[Service]) -> Result<UpOutcome> {
        let context = self.context;
        let (settings, write_settings) = foundation::settings(context, self.folder())?;
        let changed = self.stop_those_with_another_password(&settings, stopped)?;
        let request = &Request {
            services: Service::with_needs(&[request.services.as_slice(), &changed].concat()),
            ..request.clone()
        };
        let (watch, polls) = self.is_to_be_watched(request)?;
        // Held until the services listen.
        let mut claims = Claims::new(context.dry_run);
        let work = self.work(request, watch, &settings, &[stopped, &changed].concat(), &mut claims)?;
        if work.starting.is_empty() && work.waiting.is_empty() {
            self.write_settings(write_settings)?;
            return Ok(UpOutcome::Unchanged);
        }
        self.engine.check()?;

        let mut state = self.intended_state(request, &work.assignment);
        if request.services.contains(&Service::Backend) {
            (state.watch, state.polls) = (watch, polls);
        }
        let before = self.state.clone();
        let start = Start {
            request,
            settings: &settings,
            ports: &work.assignment.ports,
            outdated: work.outdated,
            starting: work.starting,
            waiting: work.waiting,
            watch,
            polls,
            before: before.as_ref(),
        };
        let mut lanes = self.engine.start(&start, &mut state)?;
        lanes.insert(0, self.prepare(&state, &settings, write_settings)?);
        let plan = Plan { lanes };
        plan.check()?;
        if context.dry_run {
            plan.print(&context.terminal)?;
            return Ok(UpOutcome::Planned);
        }
        self.state = Some(state);
        let outcome = plan.run(context);
        if let Err(error) = outcome.result {
            self.take_back(&start, &outcome.started, &error);
            return Err(error);
        }
        // With what only a plan that was done to its end may say.
        self.write_state()?;
        Ok(UpOutcome::Started)
    }

    /// Stops what runs with another password than the settings have, but has not been stopped already.
    fn stop_those_with_another_password(&self, settings: &Settings, stopped: &[Service]) -> Result<Vec<Service>> {
        let mut changed = self.with_another_password(settings)?;
        changed.retain(|service| !stopped.contains(service));
        if !changed.is_empty() {
            let names = in_words(&changed);
            self.context.terminal.note(format!("the settings have another password: restarting {names}"));
            Plan { lanes: self.engine.stop(self.state.as_ref(), &changed)? }.print_or_run(self.context)?;
        }
        Ok(changed)
    }

    /// What has to be started and what only waited for, and where each service will listen.
    fn work(
        &self,
        request: &Request,
        watch: bool,
        settings: &Settings,
        stopped: &[Service],
        claims: &mut Claims,
    ) -> Result<Work> {
        let standing = self.engine.standing(self.state.as_ref(), request, watch)?;
        let of = |wanted: Standing| -> Vec<Service> {
            standing.iter().filter(|(_, found)| *found == wanted).map(|(service, _)| *service).collect()
        };
        let (absent, mut outdated, current) = (of(Standing::Absent), of(Standing::Outdated), of(Standing::Current));
        let mut starting = [absent.as_slice(), &outdated].concat();
        starting.extend(current.iter().filter(|service| stopped.contains(service)));

        let moving = moving(request, &absent);
        let mut assignment = foundation::assign_ports(self.context, self.state.as_ref(), settings, &moving, claims)?;
        if request.replicas > 1 && starting.contains(&Service::Backend) {
            assignment.ports.set(Service::Backend, ports::row(request.replicas, claims)?);
        }
        outdated.extend(self.cut_off(&assignment.ports, &starting)?);
        starting.extend(outdated.clone());
        starting.sort();
        starting.dedup();

        let mut waiting = Vec::new();
        for service in current.into_iter().filter(|service| !starting.contains(service)) {
            if service::probe(service, &assignment.ports, settings)?.look(&*self.context.runner).is_err() {
                waiting.push(service);
            }
        }
        Ok(Work { starting, outdated, waiting, assignment })
    }

    /// The state once everything that was asked for is started.
    fn intended_state(&self, request: &Request, assignment: &PortAssignment) -> State {
        let new = || State::new(self.engine.kind(), assignment.ports.clone());
        let mut state = self.state.clone().unwrap_or_else(new);
        state.engine = self.engine.kind();
        state.ports = assignment.ports.clone();
        state.asked = Some(assignment.asked.clone());
        state.want(&request.services);
        state.failure = None;
        state
    }

    /// What runs with another password than the settings have, and what uses it: only a new start brings them together.
    pub fn with_another_password(&self, settings: &Settings) -> Result<Vec<Service>> {
        let Ok(before) = std::fs::read_to_string(self.folder().settings_copy()) else { return Ok(Vec::new()) };
        let before = Settings::parse(&before)?;
        let running = self.running()?;
        let is_changed = |service: &Service| {
            let setting = service.definition().password_setting();
            running.contains(service) && setting.is_some_and(|name| before.get(name) != settings.get(name))
        };
        let changed: Vec<Service> = Service::ALL.into_iter().filter(is_changed).collect();
        if changed.is_empty() {
            return Ok(changed);
        }
        Ok(Service::with_users(&changed).into_iter().filter(|service| running.contains(service)).collect())
    }

    /// What runs and was told where a service listens that will listen elsewhere, or that comes or goes.
    fn cut_off(&self, ports: &Ports, starting: &[Service]) -> Result<Vec<Service>> {
        let Some(state) = &self.state else { return Ok(Vec::new()) };
        let moves = |service: &Service| state.ports.get(*service) != ports.get(*service);
        let running = self.running()?;
        let told = |service: &Service| service.needs().iter().chain(service.definition().uses()).any(moves);
        let needs_one = |service: &&Service| told(service) && !starting.contains(service);
        Ok(running.iter().filter(needs_one).copied().collect())
    }

    /// Whether the backend is to have a watcher, and whether that looks at intervals: as was asked for, else as it is,
    /// else yes and no.
    fn is_to_be_watched(&self, request: &Request) -> Result<(bool, bool)> {
        if request.production {
            return Ok((false, false));
        }
        let is_there = self.engine.running(self.state.as_ref())?.contains(&Service::Backend);
        let now = self.state.as_ref().filter(|state| is_there && state.containers.production.is_none());
        let watch = request.watch.or(now.map(|state| state.watch)).unwrap_or(true);
        let polls = request.polls.or(self.state.as_ref().map(|state| state.polls)).unwrap_or(false);
        Ok((watch, polls))
    }

    /// The folder and what it says about itself, before anything is started in it.
    fn prepare(&self, state: &State, settings: &Settings, write: Option<Action>) -> Result<Lane> {
        let folder = self.folder();
        let mut actions: Vec<Action> = write.into_iter().collect();
        for (path, mode) in [(folder.root().to_owned(), 0o755), (folder.run(), 0o700)] {
            actions.push(Action::Folder(Folder { path, mode, owner: None }));
        }
        // Not yet what only a plan that was done to its end may say.
        let mut early = state.clone();
        early.containers.development = self.state.as_ref().and_then(|state| state.containers.development.clone());
        actions.extend(early.write(folder)?);
        actions.push(foundation::remember_settings(folder, settings));
        Ok(Lane { name: PREPARE.to_owned(), actions, result: self.engine.prepared() })
    }

    /// Stops what a failed start has started, and notes why it failed.
    fn take_back(&mut self, start: &Start<'_>, launched: &[Launch], error: &anyhow::Error) {
        let terminal = &self.context.terminal;
        let Some(state) = &mut self.state else { return };
        match self.engine.take_back(start, state, launched) {
            Ok(stopped) if stopped.is_empty() => {}
            Ok(stopped) => terminal.note(format!("stopped {}", in_words(&stopped))),
            Err(error) => terminal.warn(format!("not everything could be stopped: {error:#}")),
        }
        state.wanted = start.before.map(|before| before.wanted.clone()).unwrap_or_default();
        state.containers.development = start.before.and_then(|before| before.containers.development.clone());
        let is_interrupted = matches!(exit_code(error), 130 | 143);
        state.failure = Some(if is_interrupted { "it was interrupted".to_owned() } else { error.to_string() });
        if let Err(error) = self.write_state() {
            terminal.warn(format!("{error:#}"));
        }
    }

    /// Stops what is running, keeping the data; false when nothing was.
    pub fn down(&mut self, named: &[Service]) -> Result<bool> {
        let services = Service::with_users(named);
        let is_running = self.running()?.iter().any(|service| services.contains(service));
        let was_wanted = self.state.as_ref().is_some_and(|state| !state.wanted.is_empty());
        let plan = Plan { lanes: self.engine.stop(self.state.as_ref(), &services)? };
        plan.check()?;
        if self.context.dry_run {
            plan.print(&self.context.terminal)?;
            return Ok(is_running);
        }
        plan.run(self.context).result?;
        if let Some(state) = &mut self.state {
            state.wanted.retain(|service| !services.contains(service));
            state.failure = None;
            self.write_state()?;
        }
        Ok(is_running || (was_wanted && named.is_empty()))
    }

    /// Stops services, so that `up` starts them again, once it is sure that they can be started again.
    pub fn stop_for_restart(&self, services: &[Service]) -> Result<()> {
        let (settings, write_settings) = foundation::settings(self.context, self.folder())?;
        self.write_settings(write_settings)?;
        self.engine.check()?;
        if let Some(state) = self.state.as_ref().filter(|_| services.contains(&Service::Backend)) {
            // With another password nobody gets into a server that still has the old one.
            let migrates = !self.with_another_password(&settings)?.contains(&Service::Postgres);
            Plan { lanes: self.engine.rehearse(&settings, state, migrates)? }.print_or_run(self.context)?;
        }
        Plan { lanes: self.engine.stop(self.state.as_ref(), services)? }.print_or_run(self.context)
    }

    /// Writes the settings again where their file is gone.
    fn write_settings(&self, write: Option<Action>) -> Result<()> {
        write.map_or(Ok(()), |write| Plan::of("settings", vec![write], "written").print_or_run(self.context))
    }

    /// Stops these services for good, also after somebody has asked for an end of everything else.
    pub fn force_stop(&mut self, services: &[Service]) -> Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        self.engine.force_stop(state, services)?;
        state.wanted.retain(|service| !services.contains(service));
        self.write_state()
    }
}

/// What an `up` has to do.
struct Work {
    /// What is started.
    starting: Vec<Service>,
    /// What of that runs, but not as it should.
    outdated: Vec<Service>,
    /// What runs and does not answer yet.
    waiting: Vec<Service>,
    assignment: PortAssignment,
}

/// The services that need a port: of several backends some may be running, on ports that are the stack's already.
fn moving(request: &Request, absent: &[Service]) -> Vec<Service> {
    let is_row = request.replicas > 1;
    absent.iter().copied().filter(|service| !(is_row && *service == Service::Backend)).collect()
}

#[cfg(test)]
mod tests;
