//! A start in containers: what is fetched, built, started and waited for, as lanes of a plan.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::form::Form;
use super::readiness::{ContainerIsReady, Containers};
use super::{CONTAINERS, Docker, user};
use crate::image::{self, DOCKERFILE, Image};
use crate::plan::{Action, Await, Lane, Write};
use crate::product::setting::POSTGRES_PASSWORD;
use crate::product::{CONTAINER_VOLUMES, ROLE, RUST_IMAGE};
use crate::runner;
use crate::stack::detect;
use crate::stack::engine::Start;
use crate::stack::host::recipe::PREPARE;
use crate::stack::service::{self, Service};
use crate::stack::state::State;
use crate::tool::cargo;
use crate::tool::compose::{Compose, Container};
use crate::tool::docker::{self, Kind};

/// The lane that fetches and builds images.
const IMAGES: &str = "images";

/// One start.
struct Starting<'s> {
    docker: &'s Docker<'s>,
    start: &'s Start<'s>,
    compose: Compose,
    containers: Arc<Containers>,
    image: Option<Image>,
    /// The containers that there were before.
    before: Vec<Container>,
    /// Whom the backend's container runs as; none where it runs the image that ships.
    user: Option<String>,
}

/// A lane for images, one for the servers' containers, and one for each service that is waited for.
pub fn lanes(docker: &Docker<'_>, start: &Start<'_>, state: &mut State) -> Result<Vec<Lane>> {
    let starting = Starting::new(docker, start)?;
    state.containers.exist = true;
    state.containers.replicas = start.request.replicas;
    state.containers.production = starting.image.as_ref().map(|image| image.tag.clone());
    if starting.user.is_some() {
        state.containers.user.clone_from(&starting.user);
    }
    let images = starting.images(state)?;
    let mut lanes = Vec::new();
    let mut after = PREPARE;
    if !images.is_empty() {
        let actions = std::iter::once(Action::After(PREPARE.to_owned())).chain(images).collect();
        lanes.push(Lane { name: IMAGES.to_owned(), actions, result: "there".to_owned() });
        after = IMAGES;
    }
    if let Some(lane) = starting.servers(after)? {
        lanes.push(lane);
        after = CONTAINERS;
    }
    for service in start.starting.iter().chain(&start.waiting) {
        lanes.push(starting.service(*service, after)?);
    }
    Ok(lanes)
}

impl<'s> Starting<'s> {
    fn new(docker: &'s Docker<'s>, start: &'s Start<'s>) -> Result<Self> {
        let old = start.before.and_then(|before| before.containers.production.clone());
        let image = start.request.production.then(|| Image::of(docker.context, None));
        // The image of a commit does not change; one of files that nobody has committed may.
        let image = image.map(|image| match old {
            Some(tag) if !start.starting.contains(&Service::Backend) => Image { tag, ..image },
            _ => image,
        });
        let known = start.before.and_then(|before| before.containers.user.clone());
        // Decided once for as long as there are volumes.
        let user = match known {
            None if image.is_none() && start.starting.contains(&Service::Backend) => {
                Some(user::choose(docker.runner(), &docker.context.project.settings())?)
            }
            known => known,
        };
        let form = Form {
            production: image.as_ref().map(|image| image.tag.as_str()),
            replicas: start.request.replicas,
            watch: start.watch,
            polls: start.polls,
            user: user.as_deref(),
        };
        let compose = docker.compose(start.ports, form);
        let containers = Arc::new(Containers::of(compose.clone()));
        let before = docker.containers(start.before)?;
        Ok(Self { docker, start, compose, containers, image, before, user })
    }

    fn is_starting(&self, service: Service) -> bool {
        self.start.starting.contains(&service)
    }

    /// What fetches and builds the images that are not there.
    fn images(&self, state: &mut State) -> Result<Vec<Action>> {
        let has = |name: &str| image::is_present(self.docker.runner(), name);
        let mut actions = Vec::new();
        for name in self.start.starting.iter().filter_map(|service| service.definition().image()) {
            if !has(name)? {
                actions.push(Action::Run(docker::pull(name)));
            }
        }
        if !self.is_starting(Service::Backend) {
            return Ok(actions);
        }
        if let Some(image) = &self.image {
            if image.is_dirty() || !has(&image.tag)? {
                state.containers.images.push(image.tag.clone());
                state.containers.images.sort();
                state.containers.images.dedup();
                actions.push(Action::Follow(image.build(self.docker.context, false, false), image::progress));
            }
            return Ok(actions);
        }
        let fingerprint = fingerprint(&self.docker.context.project.root().join(DOCKERFILE))?;
        let is_built = has(&format!("{}-backend", self.compose.project))?;
        if !is_built && !has(RUST_IMAGE)? {
            actions.push(Action::Run(docker::pull(RUST_IMAGE)));
        }
        if !is_built || state.containers.development.as_ref() != Some(&fingerprint) {
            let has_own_builder = detect::look_for_docker(self.docker.runner())?.has_own_builder;
            actions.push(Action::Follow(self.compose.build(has_own_builder), image::progress));
            state.containers.development = Some(fingerprint);
        }
        Ok(actions)
    }

    /// What starts the containers that are not built here.
    fn servers(&self, after: &str) -> Result<Option<Lane>> {
        let servers: Vec<&str> =
            self.start.starting.iter().filter(|service| !service.is_built()).map(|service| service.name()).collect();
        if servers.is_empty() {
            return Ok(None);
        }
        let mut actions = vec![Action::After(after.to_owned())];
        if self.is_starting(Service::Postgres) {
            actions.extend(self.make_data()?);
        }
        actions.push(Action::Run(self.compose.up(&servers, None)));
        Ok(Some(Lane { name: CONTAINERS.to_owned(), actions, result: "started".to_owned() }))
    }

    /// What makes a service ready, and waits until it is.
    fn service(&self, service: Service, after: &str) -> Result<Lane> {
        let mut actions = vec![Action::After(after.to_owned())];
        if service == Service::Postgres {
            actions.extend(self.password()?);
        }
        if service.is_built() && self.is_starting(service) {
            actions.extend(self.backend()?);
        }
        actions.push(self.wait(service, self.start.request.timeout)?);
        if service == Service::Postgres {
            actions.push(Action::Remove(self.being_made()));
        }
        let address = service.definition().address(self.start.ports.of(service));
        let result = if service.is_built() { format!("healthy on {address}") } else { format!("on {address}") };
        Ok(Lane { name: service.to_string(), actions, result })
    }

    fn wait(&self, service: Service, timeout: Duration) -> Result<Action> {
        let answers = service::probe(service, self.start.ports, self.start.settings)?;
        let probe = Box::new(ContainerIsReady { service, containers: Arc::clone(&self.containers), answers });
        Ok(Action::Await(Await { service: service.to_string(), probe, timeout, process: None }))
    }

    /// Says that PostgreSQL's data is being made: an image that is stopped meanwhile takes what there is for all of it.
    fn being_made(&self) -> PathBuf {
        self.docker.folder.run().join("docker-postgres.making")
    }

    /// What comes before a start of PostgreSQL: data whose making was cut short is made again, and of new data it is
    /// written down that it is not whole yet.
    fn make_data(&self) -> Result<Vec<Action>> {
        let project = &self.compose.project;
        let volume = format!("{project}_postgres");
        let exists = runner::lines(self.docker.runner(), &docker::resources(Kind::Volume, project))?.contains(&volume);
        let is_half = exists && self.being_made().exists();
        let mut actions = Vec::new();
        if is_half {
            let own = self.before.iter().filter(|one| one.service == Service::Postgres.name());
            let names: Vec<String> = own.map(|one| one.name.clone()).collect();
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
    fn password(&self) -> Result<Vec<Action>> {
        let password = self.start.settings.require(POSTGRES_PASSWORD)?;
        let path = self.docker.folder.run().join("docker-postgres.password");
        let known = std::fs::read_to_string(&path).ok();
        let remember = Action::Write(Write { path, text: password.to_owned(), mode: 0o600 });
        Ok(match known {
            Some(known) if known == password => Vec::new(),
            // Made with this one.
            None => vec![remember],
            Some(_) => vec![
                self.wait(Service::Postgres, Duration::from_mins(1))?,
                Action::Run(self.compose.sql(format!("ALTER ROLE {ROLE} PASSWORD '{password}';\n"))),
                remember,
            ],
        })
    }

    /// What lets the container's user write the volumes that it builds in, where they are new or were somebody else's.
    fn give_volumes(&self, builder: &str) -> Result<Option<Action>> {
        // Root can write them as they are.
        let Some(user) = self.user.as_ref().filter(|user| *user != user::ROOT) else { return Ok(None) };
        let (folders, first) = CONTAINER_VOLUMES;
        let volume = format!("{}_{first}", self.compose.project);
        let volumes = docker::resources(Kind::Volume, &self.compose.project);
        let is_new = !runner::lines(self.docker.runner(), &volumes)?.contains(&volume);
        let was = self.start.before.and_then(|before| before.containers.user.as_ref());
        let is_theirs = was == Some(user) && !is_new;
        Ok((!is_theirs).then(|| Action::Run(self.compose.give_volumes(builder, user, folders))))
    }

    /// What makes the backend's program, checks its settings, and starts it once its servers are ready.
    fn backend(&self) -> Result<Vec<Action>> {
        let mut actions = Vec::new();
        if !self.start.request.production {
            let builder = builder(&self.compose);
            if !runner::lines(self.docker.runner(), &docker::containers_named(&builder))?.is_empty() {
                // Left behind by a task that was killed.
                actions.push(Action::Run(docker::remove_containers(std::slice::from_ref(&builder))));
            }
            actions.extend(self.give_volumes(&builder)?);
            let is_colored = self.docker.context.terminal.is_colored();
            let build =
                self.compose.build_backend(&builder, &cargo::build_and_check_words(self.start.watch), is_colored);
            actions.push(Action::Follow(build, cargo::progress));
        }
        for needed in Service::Backend.needs().iter().filter(|needed| self.is_starting(**needed)) {
            actions.push(Action::After(needed.to_string()));
        }
        let replicas = (self.start.request.replicas > 1).then_some(self.start.request.replicas);
        actions.push(Action::Run(self.compose.up(&[Service::Backend.name()], replicas)));
        Ok(actions)
    }
}

/// Stops what a failed start has started: what did not run before, and what ran in another form and does not serve now.
pub fn take_back(docker: &Docker<'_>, start: &Start<'_>, state: &State) -> Result<Vec<Service>> {
    let compose = docker.compose(&state.ports, Form::of(state));
    let runner = docker.context.runner.without_cancel();
    let serves = |service: Service| {
        let probe = service::probe(service, start.ports, start.settings);
        probe.is_ok_and(|probe| probe.look(&*runner).is_ok())
    };
    let is_ours = |service: &Service| !start.outdated.contains(service) || !serves(*service);
    let services: Vec<Service> = start.starting.iter().copied().filter(is_ours).rev().collect();
    let names: Vec<&str> = services.iter().map(|service| service.name()).collect();
    if !names.is_empty() {
        runner::read_well(&*runner, &compose.stop(&names))?;
    }
    let builder = builder(&compose);
    if !runner::lines(&*runner, &docker::containers_named(&builder))?.is_empty() {
        runner::read_well(&*runner, &docker::remove_containers(&[builder]))?;
    }
    Ok(services)
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
