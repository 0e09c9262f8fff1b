//! `up` in containers: what is fetched, built, started and waited for, as lanes of a plan.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::image::{self, Image};
use super::readiness::{ContainerIsReady, Containers};
use super::{DOCKERFILE, Docker, SERVERS, has_image, is_running, project};
use crate::plan::{Action, Await, Folder, Lane, Plan, Write};
use crate::runner;
use crate::settings::Settings;
use crate::stack::host::{Request, UpOutcome};
use crate::stack::ports::{self, Claims};
use crate::stack::state::{Engine, State};
use crate::stack::thunder::{self, Ports, Service};
use crate::stack::{ground, probe};
use crate::tool::cargo;
use crate::tool::compose::{Compose, Container};
use crate::tool::docker::{self, Kind};

/// The least that has to be free on the disk, for our own files; the daemon's disk may be another.
const DISK: u64 = 50_000_000;
/// The first actions of every plan: the folder, and what it says about itself.
const PREPARE: &str = "stack";
/// The lane that fetches and builds images.
const IMAGES: &str = "images";

impl Docker<'_> {
    /// Starts what is not running and waits for all of it; on failure stops what it had started.
    pub fn up(&mut self, request: &Request) -> Result<UpOutcome> {
        let (settings, write_settings) = ground::settings(self.context)?;
        let before = self.containers()?;
        let old = self.state.as_ref().map(|state| state.containers.clone()).unwrap_or_default();
        let image = request.production.then(|| Image::of(self.context, None));
        let watch = self.is_to_be_watched(request, &before);
        let was_watched = self.state.as_ref().is_some_and(|state| state.watch);
        let is_as_wanted = |service: Service| {
            service != Service::Backend
                || (old.production.is_some() == request.production
                    && old.replicas == request.replicas
                    && was_watched == watch)
        };
        let (running, starting): (Vec<Service>, Vec<Service>) =
            request.services.iter().partition(|service| is_running(&before, **service) && is_as_wanted(**service));
        let mut claims = Claims::new(self.context.dry_run);
        // One that is made anew in another form has its port already; several need another row of them.
        let kept = |service: Service| {
            (service != Service::Backend || old.replicas == request.replicas)
                && before.iter().any(|one| one.service == service.name() && one.state == "running")
        };
        let moving: Vec<Service> = starting.iter().copied().filter(|service| !kept(*service)).collect();
        let ports = self.choose_ports(request, &settings, moving, &mut claims)?;
        // The image of a commit does not change; one of files that nobody has committed may.
        let image = image.map(|image| match &old.production {
            Some(tag) if !starting.contains(&Service::Backend) => Image { tag: tag.clone(), ..image },
            _ => image,
        });
        let mut compose = self.compose(ports, image.as_ref().map(|image| image.tag.as_str()), request.replicas, watch);
        if request.polls {
            compose.variables.push((thunder::WATCH_POLL, "true".to_owned()));
        }
        let containers = Arc::new(Containers::of(compose.clone()));
        let wait = |service: Service| -> Result<ContainerIsReady> {
            let answers = probe::of(service, ports, &settings)?;
            Ok(ContainerIsReady { service, containers: Arc::clone(&containers), answers })
        };
        let mut waiting = Vec::new();
        for service in running {
            use crate::plan::Probe as _;
            if wait(service)?.look(self.runner()).is_err() {
                waiting.push(service);
            }
        }
        if starting.is_empty() && waiting.is_empty() {
            return Ok(UpOutcome::Unchanged);
        }
        ground::check(&[self.folder.root()], DISK)?;

        let mut state = self.state_of(request, ports, watch, image.as_ref());
        let mut plan = Plan { lanes: vec![self.prepare(&state, write_settings)?] };
        let images = self.images(&starting, image.as_ref(), &compose, &mut state)?;
        let after = if images.is_empty() { PREPARE } else { IMAGES };
        if !images.is_empty() {
            let actions = std::iter::once(Action::After(PREPARE.to_owned())).chain(images).collect();
            plan.lanes.push(Lane { name: IMAGES.to_owned(), actions, result: "there".to_owned() });
        }
        let servers: Vec<&str> =
            starting.iter().filter(|service| **service != Service::Backend).map(|service| service.name()).collect();
        if !servers.is_empty() {
            let mut actions = vec![Action::After(after.to_owned())];
            if starting.contains(&Service::Postgres) {
                actions.extend(self.make_data(&compose, &before)?);
            }
            actions.push(Action::Run(compose.up(&servers, None)));
            plan.lanes.push(Lane { name: SERVERS.to_owned(), actions, result: "started".to_owned() });
        }
        let after = if servers.is_empty() { after } else { SERVERS };
        for service in starting.iter().chain(&waiting) {
            let mut actions = vec![Action::After(after.to_owned())];
            if *service == Service::Postgres {
                actions.extend(self.password(&settings, &compose, &wait)?);
            }
            if *service == Service::Backend && starting.contains(service) {
                actions.extend(self.backend(&compose, request, &before, watch)?);
            }
            actions.push(Action::Await(Await {
                service: service.to_string(),
                probe: Box::new(wait(*service)?),
                timeout: request.timeout,
                process: None,
            }));
            if *service == Service::Postgres {
                actions.push(Action::Remove(self.being_made()));
            }
            let result = match service {
                Service::Backend => format!("healthy on {}", thunder::backend_url(ports)),
                _ => format!("on 127.0.0.1:{}", ports.of(*service)),
            };
            plan.lanes.push(Lane { name: service.to_string(), actions, result });
        }
        if self.context.dry_run {
            plan.print(&self.context.terminal)?;
            return Ok(UpOutcome::Planned);
        }
        let before = self.state.replace(state);
        if let Err(error) = plan.run(self.context).result {
            self.roll_back(&starting, before, &compose);
            return Err(error);
        }
        // With what only a plan that was done to its end may say.
        self.write_state()?;
        Ok(UpOutcome::Started)
    }

    /// What the stack is once it is up.
    fn state_of(&self, request: &Request, ports: Ports, watch: bool, image: Option<&Image>) -> State {
        let mut state = self.state.clone().unwrap_or_else(|| State::new(Engine::Docker, ports));
        state.engine = Engine::Docker;
        state.ports = ports;
        state.want(&request.services);
        if request.services.contains(&Service::Backend) {
            state.watch = watch;
        }
        state.containers.exist = true;
        state.containers.replicas = request.replicas;
        state.containers.production = image.map(|image| image.tag.clone());
        state
    }

    /// Whether the backend is to have a watcher: as was asked for, else as it is, else yes.
    fn is_to_be_watched(&self, request: &Request, before: &[Container]) -> bool {
        if request.production {
            return false;
        }
        let now = self
            .state
            .as_ref()
            .filter(|state| is_running(before, Service::Backend) && state.containers.production.is_none());
        request.watch.or(now.map(|state| state.watch)).unwrap_or(true)
    }

    /// Where the stack listens. `moving` are the services that have no port yet: of several backends some may be
    /// running, on ports that are the stack's already.
    fn choose_ports(
        &self,
        request: &Request,
        settings: &Settings,
        mut moving: Vec<Service>,
        claims: &mut Claims,
    ) -> Result<Ports> {
        let is_row = request.replicas > 1 && moving.contains(&Service::Backend);
        moving.retain(|service| !(is_row && *service == Service::Backend));
        let mut ports = ground::ports(self.context, self.state.as_ref(), settings, &moving, claims)?;
        if is_row {
            ports.backend = ports::row(request.replicas, claims)?;
        }
        Ok(ports)
    }

    /// The folder and what it says about itself, before anything is started.
    fn prepare(&self, state: &State, write_settings: Option<Action>) -> Result<Lane> {
        let mut actions: Vec<Action> = write_settings.into_iter().collect();
        for (path, mode) in [(self.folder.root().to_owned(), 0o755), (self.folder.root().join("run"), 0o700)] {
            actions.push(Action::Folder(Folder { path, mode, owner: None }));
        }
        // Not the new fingerprint yet: a build that fails has made no image of it.
        let mut early = state.clone();
        early.containers.development = self.state.as_ref().and_then(|state| state.containers.development.clone());
        actions.push(early.write(&self.folder.state())?);
        Ok(Lane { name: PREPARE.to_owned(), actions, result: format!("{} in containers", project(self.context)) })
    }

    /// What fetches and builds the images that are not there.
    fn images(
        &self,
        starting: &[Service],
        image: Option<&Image>,
        compose: &Compose,
        state: &mut State,
    ) -> Result<Vec<Action>> {
        let has = |name: &str| has_image(self.runner(), name);
        let mut actions = Vec::new();
        for service in starting.iter().filter(|service| **service != Service::Backend) {
            let name = thunder::image(*service, None).unwrap_or_default();
            if !has(name)? {
                actions.push(Action::Run(docker::pull(name)));
            }
        }
        if !starting.contains(&Service::Backend) {
            return Ok(actions);
        }
        if let Some(image) = image {
            if image.is_dirty() || !has(&image.tag)? {
                state.containers.images.push(image.tag.clone());
                state.containers.images.sort();
                state.containers.images.dedup();
                actions.push(Action::Follow(image.build(self.context, false, false), image::progress));
            }
            return Ok(actions);
        }
        let fingerprint = fingerprint(&self.context.project.root().join(DOCKERFILE))?;
        let is_built = has(&format!("{}-backend", compose.project))?;
        if !is_built && !has(thunder::RUST_IMAGE)? {
            actions.push(Action::Run(docker::pull(thunder::RUST_IMAGE)));
        }
        if !is_built || state.containers.development.as_ref() != Some(&fingerprint) {
            actions.push(Action::Follow(compose.build(), image::progress));
            state.containers.development = Some(fingerprint);
        }
        Ok(actions)
    }

    /// Says that PostgreSQL's data is being made: an image that is stopped meanwhile takes what there is for all of it.
    fn being_made(&self) -> PathBuf {
        self.folder.root().join("run").join("docker-postgres.making")
    }

    /// What comes before a start of PostgreSQL: data whose making was cut short is made anew, and of new data it is
    /// written down that it is not whole yet.
    fn make_data(&self, compose: &Compose, before: &[Container]) -> Result<Vec<Action>> {
        let volume = format!("{}_postgres", compose.project);
        let exists =
            runner::lines(self.runner(), &docker::belongings(Kind::Volume, &compose.project))?.contains(&volume);
        let is_half = exists && self.being_made().exists();
        let mut actions = Vec::new();
        if is_half {
            let names = before.iter().filter(|one| one.service == Service::Postgres.name()).map(|one| one.name.clone());
            let names: Vec<String> = names.collect();
            if !names.is_empty() {
                actions.push(Action::Run(docker::remove_containers(&names)));
            }
            actions.push(Action::Run(docker::remove(Kind::Volume, &[volume])));
        }
        if is_half || !exists {
            actions.push(Action::Write(Write { path: self.being_made(), text: String::new(), mode: 0o644 }));
        }
        Ok(actions)
    }

    /// What gives the role another password where the settings have another.
    fn password(
        &self,
        settings: &Settings,
        compose: &Compose,
        wait: &dyn Fn(Service) -> Result<ContainerIsReady>,
    ) -> Result<Vec<Action>> {
        let password = settings.require(thunder::POSTGRES_PASSWORD)?;
        let path = self.folder.root().join("run").join("docker-postgres.password");
        let known = std::fs::read_to_string(&path).ok();
        let remember = Action::Write(Write { path, text: password.to_owned(), mode: 0o600 });
        match known {
            Some(known) if known == password => Ok(Vec::new()),
            // Made with this one.
            None => Ok(vec![remember]),
            Some(_) => Ok(vec![
                Action::Await(Await {
                    service: Service::Postgres.to_string(),
                    probe: Box::new(wait(Service::Postgres)?),
                    timeout: Duration::from_mins(1),
                    process: None,
                }),
                Action::Run(compose.sql(format!("ALTER ROLE {} PASSWORD '{password}';\n", thunder::ROLE))),
                remember,
            ]),
        }
    }

    /// What makes the backend's program and starts it once its servers are ready.
    fn backend(&self, compose: &Compose, request: &Request, before: &[Container], watch: bool) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        if !request.production {
            let builder = builder(compose);
            let containers = runner::lines(self.runner(), &docker::belongings(Kind::Container, &compose.project))?;
            if containers.contains(&builder) {
                // Left behind by a task that was killed.
                actions.push(Action::Run(docker::remove_containers(std::slice::from_ref(&builder))));
            }
            let build = compose.build_backend(&builder, &cargo::build_words(watch), self.context.terminal.is_colored());
            actions.push(Action::Follow(build, cargo::progress));
        }
        for service in [Service::Postgres, Service::Redis] {
            if request.services.contains(&service) && !is_running(before, service) {
                actions.push(Action::After(service.to_string()));
            }
        }
        let replicas = (request.replicas > 1).then_some(request.replicas);
        actions.push(Action::Run(compose.up(&[Service::Backend.name()], replicas)));
        Ok(actions)
    }

    fn roll_back(&mut self, started: &[Service], before: Option<State>, compose: &Compose) {
        let builder = builder(compose);
        let names: Vec<&str> = started.iter().rev().map(|service| service.name()).collect();
        let runner = self.context.runner.without_cancel();
        let stopped = runner::read_well(&*runner, &compose.stop(&names));
        let builder = runner::lines(&*runner, &docker::containers_named(&builder)).and_then(|found| {
            if found.is_empty() {
                Ok(String::new())
            } else {
                runner::read_well(&*runner, &docker::remove_containers(&[builder]))
            }
        });
        match stopped.and(builder) {
            Ok(_) => self.context.terminal.note(format!("stopped {}", names.join(", "))),
            Err(error) => self.context.terminal.warn(format!("not everything could be stopped: {error:#}")),
        }
        if let Some(state) = &mut self.state {
            let old = before.unwrap_or_else(|| State::new(Engine::Docker, state.ports));
            state.wanted = old.wanted;
            state.containers.development = old.containers.development;
            if let Err(error) = self.write_state() {
                self.context.terminal.warn(format!("{error:#}"));
            }
        }
    }
}

fn builder(compose: &Compose) -> String {
    format!("{}-build", compose.project)
}

/// What tells a file's text from another.
fn fingerprint(path: &Path) -> Result<String> {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    Ok(format!("{:016x}", hasher.finish()))
}
