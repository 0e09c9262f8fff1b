//! The Docker engine: the stack as containers, by compose.

mod form;
mod readiness;
pub mod resources;
mod start;
mod user;
mod view;

use anyhow::Result;

use super::engine::{Engine, Standing, Start};
use super::environment;
use super::folder::StackFolder;
use super::foundation;
use super::logs::LogSource;
use super::report::{Seen, View};
use super::request::Request;
use super::service::{Client, Service};
use super::state::{EngineKind, State};
use crate::checkout;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::plan::{Action, Lane, Plan};
use crate::product::{self, BINARY, DATABASE};
use crate::runner::{self, Launch, Runner};
use crate::settings::Settings;
use crate::step::Step;
use crate::supervise;
use crate::terminal::Terminal;
use crate::tool::backend::{Program, Variable};
use crate::tool::cargo;
use crate::tool::compose::{self, Compose, Container};
use crate::tool::docker::{self, Kind};

/// The compose file of the local stack.
pub const DEVELOPMENT: &str = "infra/compose.yaml";
/// The compose file with the image that ships.
pub const PRODUCTION: &str = "infra/compose.production.yaml";
/// Seconds that containers are given to end, where compose cannot be asked for each one's own.
const STOP_TIMEOUT_SECONDS: u64 = 30;
/// The lane that starts and stops containers.
const CONTAINERS: &str = "containers";
/// The least that has to be free on the disk, for our own files; the daemon's disk may be another.
const MINIMUM_FREE_BYTES: u64 = 50_000_000;
/// The variable that tells the watcher in a container which migrations are in a commit.
pub const COMMITTED_MIGRATIONS: &str = "COMMITTED_MIGRATIONS";

/// The stack of a checkout on the Docker engine.
pub struct Docker<'a> {
    context: &'a Context,
    folder: StackFolder,
}

impl<'a> Docker<'a> {
    /// The stack of the context's checkout.
    pub fn open(context: &'a Context) -> Self {
        Self { context, folder: StackFolder::of(&context.project, None) }
    }

    fn runner(&self) -> &dyn Runner {
        &*self.context.runner
    }

    fn containers(&self, state: Option<&State>) -> Result<Vec<Container>> {
        let in_containers = |state: &&State| state.engine == EngineKind::Docker && state.containers.exist;
        let Some(state) = state.filter(in_containers) else { return Ok(Vec::new()) };
        let Ok(compose) = self.current(state) else {
            // Compose does nothing without its settings; the daemon tells all the same.
            let said = runner::read_well(self.runner(), &docker::containers_of(&self.context.project.name()))?;
            return Ok(compose::parse_labelled(&said));
        };
        readiness::all(&compose, self.runner()).map_err(|why| {
            Failure::new(Exit::Failed, format!("cannot look at the containers: {why}"))
                .hint("cargo xtask doctor")
                .into()
        })
    }

    fn is_running(&self, state: &State, service: Service) -> Result<bool> {
        Ok(is_running(&self.containers(Some(state))?, service))
    }
}

/// Whether nothing of the stack is left without these services.
fn is_everything(services: &[Service], state: Option<&State>) -> bool {
    let is_off = |service: &Service| service.is_optional() && state.is_none_or(|state| !state.wanted.contains(service));
    Service::ALL.iter().all(|service| services.contains(service) || is_off(service))
}

impl Engine for Docker<'_> {
    fn kind(&self) -> EngineKind {
        EngineKind::Docker
    }

    fn folder(&self) -> &StackFolder {
        &self.folder
    }

    fn settle(&self, _: Option<&State>) -> Result<()> {
        supervise::end_orphans(self.context.project.root(), &|text| self.context.terminal.warn(text))?;
        for folder in [self.folder.root().to_owned(), self.folder.run(), self.context.project.home().to_owned()] {
            file::remove_drafts(&folder)?;
        }
        Ok(())
    }

    fn rediscover(&self) -> Result<Option<State>> {
        let found = resources::all(self.context, None)?;
        if !found.iter().any(|(kind, _)| matches!(kind, Kind::Container | Kind::Volume)) {
            return Ok(None);
        }
        let mut state = State::new(EngineKind::Docker, foundation::usual_ports(self.context));
        state.containers.exist = true;
        state.watch = true;
        for service in Service::ALL {
            let name = format!("{}-{service}-1", self.context.project.name());
            let said = self.runner().read(&docker::published_port(&name))?;
            if let Some(port) = docker::parse_published_port(&said.stdout) {
                state.ports.set(service, port);
                state.want(&[service]);
            }
        }
        Ok(Some(state))
    }

    fn standing(&self, state: Option<&State>, request: &Request, watch: bool) -> Result<Vec<(Service, Standing)>> {
        let containers = self.containers(state)?;
        let is_as_wanted = state.is_some_and(|state| {
            state.containers.production.is_some() == request.production
                && state.containers.replicas == request.replicas
                && state.watch == watch
                && request.polls.is_none_or(|polls| state.polls == polls)
        });
        let standing = |service: Service| match is_running(&containers, service) {
            false => Standing::Absent,
            true if service.is_built() && !is_as_wanted => Standing::Outdated,
            true => Standing::Current,
        };
        Ok(request.services.iter().map(|service| (*service, standing(*service))).collect())
    }

    fn running(&self, state: Option<&State>) -> Result<Vec<Service>> {
        let containers = self.containers(state)?;
        Ok(Service::ALL.into_iter().filter(|service| is_running(&containers, *service)).collect())
    }

    fn check(&self) -> Result<()> {
        foundation::check(&[self.folder.root()], MINIMUM_FREE_BYTES)
    }

    fn prepared(&self) -> String {
        format!("{} in containers", self.context.project.name())
    }

    fn start(&self, start: &Start<'_>, state: &mut State) -> Result<Vec<Lane>> {
        start::lanes(self, start, state)
    }

    fn rehearse(&self, _: &Settings, state: &State, migrates: bool) -> Result<Vec<Lane>> {
        let compose = self.current(state)?;
        let is_from_source = state.containers.production.is_none();
        let mut actions = Vec::new();
        let serves = self.is_running(state, Service::Backend)?;
        if is_from_source && serves {
            actions.push(build_inside(&compose));
        }
        // In a container of its own, which gets the settings as they are now.
        let check = Program::by(compose.run_once(Service::Backend.name(), &[BINARY.to_owned()])).check_settings();
        actions.push(Action::Run(check));
        if migrates && serves && self.is_running(state, Service::Postgres)? {
            let drafts = checkout::drafts(self.context);
            actions.push(Action::Run(program_inside(&compose).migrate(foundation::MIGRATION_TIMEOUT, &drafts)));
        }
        Ok(vec![Lane { name: "build".to_owned(), actions, result: "ready to start again".to_owned() }])
    }

    fn stop(&self, state: Option<&State>, services: &[Service]) -> Result<Vec<Lane>> {
        let actions = if is_everything(services, state) {
            self.stop_all(state)?
        } else {
            let containers = self.containers(state)?;
            let is_there = |service: &Service| containers.iter().any(|one| one.service == service.name());
            let names: Vec<&str> = services.iter().filter(|one| is_there(one)).rev().map(|one| one.name()).collect();
            match state.filter(|_| !names.is_empty()) {
                Some(state) => vec![Action::Run(self.current(state)?.remove(&names))],
                None => Vec::new(),
            }
        };
        Ok(vec![Lane { name: CONTAINERS.to_owned(), actions, result: "stopped".to_owned() }])
    }

    fn take_back(&self, start: &Start<'_>, state: &State, _: &[Launch]) -> Result<Vec<Service>> {
        start::take_back(self, start, state)
    }

    fn force_stop(&self, state: &State, services: &[Service]) -> Result<()> {
        let compose = self.current(state)?;
        let names: Vec<&str> = services.iter().rev().map(|service| service.name()).collect();
        let step = if is_everything(services, Some(state)) { compose.down() } else { compose.remove(&names) };
        runner::read_well(&*self.context.runner.without_cancel(), &step).map(drop)
    }

    fn see(&self, state: Option<&State>) -> Result<View> {
        let containers = self.containers(state)?;
        Ok(match state {
            Some(state) => View::of_each(|service| self.see_service(service, &containers, state)),
            None => View::of_each(Seen::nothing),
        })
    }

    fn inside(&self, state: &State, service: Service, command: &[String]) -> Result<Step> {
        let settings = Settings::load(&self.context.project)?;
        foundation::hide(self.context, &settings);
        let compose = self.current(state)?;
        let mut variables = Vec::new();
        // The image that ships is given nothing that production does not give it.
        if state.containers.production.is_none() || !service.is_built() {
            for other in Service::ALL {
                variables.extend(inside_variables(other, &settings)?);
            }
            if !service.is_built() {
                variables.extend(environment::addresses_in_containers(&settings, DATABASE)?);
            }
        }
        Ok(compose.exec(service.name(), &variables, Terminal::has_input(), command))
    }

    fn client(&self, state: &State, service: Service, command: &[String]) -> Result<Step> {
        let settings = Settings::load(&self.context.project)?;
        foundation::hide(self.context, &settings);
        Ok(self.current(state)?.exec(service.name(), &inside_variables(service, &settings)?, false, command))
    }

    /// The containers have their clients.
    fn fetch(&self, _: &State, _: Service, _: &Client) -> Result<Plan> {
        Ok(Plan::default())
    }

    fn shell(&self, state: &State, service: Service) -> Result<(Vec<String>, Plan)> {
        let word = match service.definition().client() {
            Some(client) => client.programs[0],
            None if !service.is_built() => "sh",
            None if state.containers.production.is_none() => "bash",
            None => {
                return Err(Failure::new(Exit::Failed, "the image that ships has no shell")
                    .hint(format!("cargo xtask exec {service} -- {BINARY} migrate status"))
                    .hint(format!("cargo xtask logs {service}"))
                    .into());
            }
        };
        Ok((vec![word.to_owned()], Plan::default()))
    }

    fn program(&self, state: &State, database: &str) -> Result<(Program, Plan)> {
        if !self.is_running(state, Service::Backend)? {
            return Err(super::service::not_up(Service::Backend).into());
        }
        let compose = self.current(state)?;
        let build = state.containers.production.is_none().then(|| build_inside(&compose));
        let mut variables = Vec::new();
        if database != DATABASE {
            let settings = Settings::load(&self.context.project)?;
            foundation::hide(self.context, &settings);
            variables.extend(environment::addresses_in_containers(&settings, database)?);
        }
        let program = Program::by(compose.exec(Service::Backend.name(), &variables, false, &[BINARY.to_owned()]));
        Ok((program, Plan::of("build", build.into_iter().collect(), "done")))
    }

    fn serving_program(&self, state: &State) -> Result<(Program, Plan, String)> {
        // The container has the program; here it would first have to be compiled.
        let program = program_inside(&self.current(state)?);
        Ok((program, Plan::default(), product::CONTAINER_URL.to_owned()))
    }

    fn logs(&self, state: Option<&State>, services: &[Service], lines: usize) -> Result<LogSource> {
        let state = state.ok_or_else(|| super::service::not_up(Service::Backend))?;
        let compose = self.current(state)?;
        let names: Vec<&str> = services.iter().map(|service| service.name()).collect();
        let (history, follow) = (compose.logs(&names, lines, false), compose.logs(&names, 0, true));
        Ok(LogSource::Steps { history: Box::new(history), follow: Box::new(follow) })
    }
}

impl Docker<'_> {
    /// What stops every container of the stack, also where compose's settings are gone.
    fn stop_all(&self, state: Option<&State>) -> Result<Vec<Action>> {
        let is_in_containers = state.is_none_or(|state| state.containers.exist);
        if !is_in_containers {
            return Ok(Vec::new());
        }
        let names = runner::lines(self.runner(), &docker::resources(Kind::Container, &self.context.project.name()))?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // Compose knows the order in which they go; without its settings it does nothing at all.
        Ok(match state.map(|state| self.current(state)) {
            Some(Ok(compose)) => vec![Action::Run(compose.down())],
            _ => [docker::stop_all(&names, STOP_TIMEOUT_SECONDS), docker::remove_containers(&names)]
                .map(Action::Run)
                .into(),
        })
    }
}

/// The variables that the clients of a service read inside of the stack's network, as they do on this machine.
fn inside_variables(service: Service, settings: &Settings) -> Result<Vec<Variable>> {
    let mut variables = service.definition().client_variables(service.definition().container_port(), settings)?;
    for variable in &mut variables {
        if variable.value == "127.0.0.1" {
            service.name().clone_into(&mut variable.value);
        }
    }
    Ok(variables)
}

/// The backend's program in the container that serves, whose settings may be older than the file's.
fn program_inside(compose: &Compose) -> Program {
    Program::by(compose.exec(Service::Backend.name(), &[], false, &[BINARY.to_owned()]))
}

/// Builds the backend in the container that serves.
fn build_inside(compose: &Compose) -> Action {
    let step =
        compose.exec(Service::Backend.name(), &[], false, &cargo::build_words()).with_purpose("build the backend");
    Action::Follow(cargo::quietly(step), cargo::progress)
}

fn is_running(containers: &[Container], service: Service) -> bool {
    let mut own = containers.iter().filter(|container| container.service == service.name()).peekable();
    own.peek().is_some() && own.all(|container| container.state == "running")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compose_files_and_the_dockerfile_name_the_images_that_are_looked_for() {
        let compose = include_str!("../../../infra/compose.yaml");
        for image in Service::ALL.iter().filter_map(|service| service.definition().image()) {
            assert!(compose.contains(&format!("image: {image}\n")), "{image}");
        }
        let dockerfile = include_str!("../../../infra/Dockerfile");
        let from: Vec<&str> = dockerfile.lines().filter(|line| line.starts_with("FROM ")).collect();
        assert_eq!(from[0], format!("FROM {} AS base", product::RUST_IMAGE));
        assert!(
            product::RUST_IMAGE.contains(env!("CARGO_PKG_RUST_VERSION")),
            "the toolchain that the workspace asks for"
        );
    }

    #[test]
    fn clients_inside_are_told_the_other_containers_names() {
        let settings = Settings::parse("POSTGRES_PASSWORD=a\nREDIS_PASSWORD=b\n").unwrap();
        let variables = inside_variables(Service::Postgres, &settings).unwrap();
        let value = |name: &str| variables.iter().find(|variable| variable.name == name).map(|one| one.value.as_str());
        assert_eq!((value("PGHOST"), value("PGPORT")), (Some("postgres"), Some("5432")));
    }
}
