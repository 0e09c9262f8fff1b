//! The Docker engine: the stack as containers, by compose.

pub mod belongings;
pub mod boot;
pub mod image;
pub mod policy;
mod readiness;
mod up;

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;

use super::folder::StackFolder;
use super::ground;
use super::host::not_up;
use super::report::{RunState, Seen, Watch};
use super::state::{Engine, Server, Source, State};
use super::thunder::{self, Ports, Service};
use super::watch::files::Files;
use super::watch::report::WatchReport;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::plan::{Action, Plan};
use crate::runner::{self, Output, Runner};
use crate::settings::Settings;
use crate::step::Step;
use crate::terminal::Terminal;
use crate::tool::backend::Thunder;
use crate::tool::cargo;
use crate::tool::compose::{Compose, Container};
use crate::tool::docker::{self, Kind};

/// The compose file of the local stack.
pub const DEVELOPMENT: &str = "infra/compose.yaml";
/// The compose file with the image that ships.
pub const PRODUCTION: &str = "infra/compose.production.yaml";
/// What images are built by.
pub const DOCKERFILE: &str = "infra/Dockerfile";
/// Seconds that containers are given to end, where compose cannot be asked for each one's own.
const GRACE: u64 = 30;
/// The lane that starts the servers.
const SERVERS: &str = "containers";

/// The stack of a checkout on the Docker engine.
pub struct Docker<'a> {
    context: &'a Context,
    folder: StackFolder,
    state: Option<State>,
}

/// What is to be seen of all services.
pub struct View {
    services: Vec<(Service, Seen)>,
}

impl View {
    /// What is to be seen of one.
    pub fn of(&self, service: Service) -> Seen {
        let found = self.services.iter().find(|(name, _)| *name == service);
        found.map_or_else(|| stopped(service), |(_, seen)| seen.clone())
    }
}

fn stopped(service: Service) -> Seen {
    let log = format!("cargo xtask logs {service}");
    Seen {
        state: RunState::Stopped,
        pid: None,
        container: None,
        age: None,
        server: None,
        ended: None,
        log,
        watch: None,
    }
}

impl<'a> Docker<'a> {
    /// The stack of the context's checkout.
    pub fn open(context: &'a Context) -> Result<Self> {
        let folder = StackFolder::of(&context.project, None);
        let state = State::load(&folder.state())?;
        Ok(Self { context, folder, state })
    }

    /// What it is; none when it was never started here.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    fn runner(&self) -> &dyn Runner {
        &*self.context.runner
    }

    /// Compose, told where the stack listens and which image is the backend's.
    fn compose(&self, ports: Ports, production: Option<&str>, replicas: u16, watch: bool) -> Compose {
        let last = ports.backend.saturating_add(replicas.saturating_sub(1));
        let range = if replicas > 1 { format!("{}-{last}", ports.backend) } else { ports.backend.to_string() };
        let mut variables = vec![
            ("BACKEND_PORT", ports.backend.to_string()),
            ("POSTGRES_PORT", ports.postgres.to_string()),
            ("REDIS_PORT", ports.redis.to_string()),
            ("GIT_COMMIT", ground::commit(self.context)),
        ];
        if production.is_none() && !watch {
            variables.push(("BACKEND_COMMAND", thunder::UNWATCHED.to_owned()));
        }
        if let Some(image) = production {
            variables.push(("THUNDER_IMAGE", image.to_owned()));
            variables.push(("BACKEND_PORTS", range));
        }
        Compose {
            project: project(self.context),
            root: self.context.project.root().to_owned(),
            file: if production.is_some() { PRODUCTION } else { DEVELOPMENT },
            env_file: self.context.project.settings(),
            variables,
            secrets: self.passwords_in_urls(),
        }
    }

    /// Passwords that a URL cannot hold as they are.
    fn passwords_in_urls(&self) -> Vec<(&'static str, String)> {
        // What cannot be read is told by whoever needs more of it.
        let Ok(settings) = Settings::load(&self.context.project) else { return Vec::new() };
        let names = [
            (thunder::POSTGRES_PASSWORD, "POSTGRES_PASSWORD_IN_URL"),
            (thunder::REDIS_PASSWORD, "REDIS_PASSWORD_IN_URL"),
        ];
        let in_url = |(name, in_url)| {
            let password = settings.get(name)?;
            let encoded = thunder::percent_encoded(password);
            (encoded != password).then_some((in_url, encoded))
        };
        names.into_iter().filter_map(in_url).collect()
    }

    /// Compose, told what the stack is now.
    fn current(&self) -> Result<Compose> {
        let state = self.state.as_ref().ok_or_else(|| not_up(Service::Backend))?;
        // Compose fills them in whatever it is asked, and would tell of the first wrong one only.
        Settings::load(&self.context.project)?;
        let containers = &state.containers;
        Ok(self.compose(state.ports, containers.production.as_deref(), containers.replicas, state.watch))
    }

    fn containers(&self) -> Result<Vec<Container>> {
        let Some(state) = self.state.as_ref().filter(|state| state.engine == Engine::Docker) else {
            return Ok(Vec::new());
        };
        if !state.containers.exist {
            return Ok(Vec::new());
        }
        readiness::all(&self.current()?, self.runner()).map_err(|why| {
            Failure::new(Exit::Failed, format!("cannot look at the containers: {why}"))
                .hint("cargo xtask doctor")
                .into()
        })
    }

    /// Whether that service is running.
    pub fn is_running(&self, service: Service) -> Result<bool> {
        Ok(is_running(&self.containers()?, service))
    }

    /// What is to be seen of the services.
    pub fn see(&self) -> Result<View> {
        let containers = self.containers()?;
        let production = self.state.as_ref().and_then(|state| state.containers.production.clone());
        let see = |service: &Service| (*service, self.see_service(*service, &containers, production.as_deref()));
        Ok(View { services: Service::ALL.iter().map(see).collect() })
    }

    fn see_service(&self, service: Service, containers: &[Container], production: Option<&str>) -> Seen {
        let own: Vec<&Container> = containers.iter().filter(|one| one.service == service.name()).collect();
        // Of several, the one that does not run has something to tell.
        let told = own.iter().find(|container| container.state != "running").or(own.first());
        let Some(told) = told else { return stopped(service) };
        let state = self.runner().read(&docker::state(&told.name)).ok().as_ref().and_then(docker::parse_state);
        let is_running = own.iter().all(|container| container.state == "running");
        let started = state.as_ref().and_then(|state| humantime::parse_rfc3339(&state.started_at).ok());
        let names: Vec<&str> = own.iter().map(|container| container.name.as_str()).collect();
        let ended = state.as_ref().map(|state| match (state.is_out_of_memory, told.state.as_str()) {
            (true, _) => "it used more memory than it may, and was killed".to_owned(),
            (_, "restarting") => format!("it ends with exit code {}, again and again", state.exit_code),
            _ => format!("it ended with exit code {}", state.exit_code),
        });
        Seen {
            state: if is_running { RunState::Running } else { RunState::Exited },
            pid: None,
            container: Some(names.join(" ")),
            age: started.filter(|_| is_running).and_then(|started| SystemTime::now().duration_since(started).ok()),
            server: thunder::image(service, production).map(server_of),
            ended,
            log: format!("cargo xtask logs {service}"),
            watch: (service == Service::Backend && is_running).then(|| self.see_watch(&told.name)).flatten(),
        }
    }

    /// What the watcher in the container says of itself.
    fn see_watch(&self, container: &str) -> Option<Watch> {
        self.state.as_ref().filter(|state| state.watch)?;
        let path = Files::at(PathBuf::from(thunder::CONTAINER_WATCH)).report();
        let said = self.runner().read(&docker::read_file(container, &path)).ok().filter(Output::is_success)?;
        Some(Watch { running: true, says: WatchReport::parse(said.stdout.as_bytes()) })
    }

    fn write_state(&self) -> Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        state.store(&self.folder.state())
    }

    /// Stops what is running, keeping the data; false when nothing was.
    pub fn down(&mut self) -> Result<bool> {
        let names = runner::lines(self.runner(), &docker::belongings(Kind::Container, &project(self.context)))?;
        let was_wanted = self.state.as_ref().is_some_and(|state| !state.wanted.is_empty());
        let mut actions = Vec::new();
        if !names.is_empty() {
            // Compose knows the order in which they go; without its settings it does nothing at all.
            match self.current() {
                Ok(compose) => actions.push(Action::Run(compose.down())),
                Err(_) => actions
                    .extend([docker::stop_all(&names, GRACE), docker::remove_containers(&names)].map(Action::Run)),
            }
        }
        let plan = Plan::of(SERVERS, actions, "stopped");
        if self.context.dry_run {
            plan.print(&self.context.terminal)?;
            return Ok(!names.is_empty());
        }
        plan.run(self.context).result?;
        if let Some(state) = self.state.as_mut().filter(|state| !state.wanted.is_empty()) {
            state.wanted.clear();
            self.write_state()?;
        }
        Ok(was_wanted || !names.is_empty())
    }

    /// Stops these services for good, also after somebody has asked for an end of everything else.
    pub fn force_stop(&mut self, services: &[Service]) -> Result<()> {
        let compose = self.current()?;
        let names: Vec<&str> = services.iter().rev().map(|service| service.name()).collect();
        let is_all = services.len() == Service::ALL.len();
        let step = if is_all { compose.down() } else { compose.remove(&names) };
        runner::read_well(&*self.context.runner.without_cancel(), &step)?;
        if let Some(state) = &mut self.state {
            state.wanted.retain(|service| !services.contains(service));
        }
        self.write_state()
    }

    /// Stops these services, so that `up` starts them anew. The backend is built before, so that one that does not
    /// compile leaves the old one running.
    pub fn stop_for_restart(&self, services: &[Service]) -> Result<()> {
        let compose = self.current()?;
        let mut actions = Vec::new();
        if services.contains(&Service::Backend) && self.is_from_source() && self.is_running(Service::Backend)? {
            actions.push(build_inside(&compose));
        }
        let names: Vec<&str> = services.iter().rev().map(|service| service.name()).collect();
        actions.push(Action::Run(compose.remove(&names)));
        self.print_or_run(&Plan::of(SERVERS, actions, "stopped"))
    }

    fn print_or_run(&self, plan: &Plan) -> Result<()> {
        if self.context.dry_run { plan.print(&self.context.terminal) } else { plan.run(self.context).result }
    }

    fn is_from_source(&self) -> bool {
        self.state.as_ref().is_none_or(|state| state.containers.production.is_none())
    }

    /// A command inside of a service's container.
    pub fn inside(&self, service: Service, command: &[String]) -> Result<Step> {
        if !self.is_running(service)? {
            return Err(not_up(service).into());
        }
        let variables: &[(&str, &str)] = match service {
            Service::Postgres => &[("PGUSER", thunder::ROLE), ("PGDATABASE", thunder::DATABASE)],
            Service::Redis | Service::Backend => &[],
        };
        Ok(self.current()?.exec(service.name(), variables, Terminal::has_input(), command))
    }

    /// The words that open a shell or a client in a service's container.
    pub fn shell(&self, service: Service) -> Result<Vec<String>> {
        let word = match service {
            Service::Postgres => "psql",
            Service::Redis => "redis-cli",
            Service::Backend if self.is_from_source() => "bash",
            Service::Backend => {
                return Err(Failure::new(Exit::Failed, "the image that ships has no shell")
                    .hint("cargo xtask exec backend -- thunder migrate status")
                    .hint("cargo xtask logs backend")
                    .into());
            }
        };
        Ok(vec![word.to_owned()])
    }

    /// The backend's own program inside of its container, and what makes it first.
    pub fn thunder(&self, service: Service) -> Result<(Thunder, Plan)> {
        for needed in [service, Service::Backend] {
            if !self.is_running(needed)? {
                return Err(not_up(needed).into());
            }
        }
        let compose = self.current()?;
        let program = compose.exec(Service::Backend.name(), &[], false, &[thunder::BINARY.to_owned()]);
        let build = self.is_from_source().then(|| build_inside(&compose));
        Ok((Thunder::by(program), Plan::of("build", build.into_iter().collect(), "done")))
    }

    /// What the services have said and, if wanted, go on saying.
    pub fn logs(&self, services: &[Service], lines: usize, follow: bool) -> Result<Step> {
        let names: Vec<&str> = services.iter().map(|service| service.name()).collect();
        Ok(self.current()?.logs(&names, lines, follow))
    }
}

/// Whether the image is there; a daemon that does not answer is an error, and not a "no".
pub fn has_image(runner: &dyn Runner, name: &str) -> Result<bool> {
    Ok(!runner::lines(runner, &docker::images_named(name))?.is_empty())
}

/// The name under which Docker knows what belongs to this checkout.
pub fn project(context: &Context) -> String {
    format!("{}-{:08x}", thunder::SLUG, context.project.number())
}

/// Builds the backend in the container that serves.
fn build_inside(compose: &Compose) -> Action {
    let words: Vec<String> = cargo::build_words(false).iter().map(|word| (*word).to_owned()).collect();
    let step = compose.exec(Service::Backend.name(), &[], false, &words).with_purpose("build the backend");
    Action::Follow(cargo::quietly(step), cargo::progress)
}

fn is_running(containers: &[Container], service: Service) -> bool {
    let mut own = containers.iter().filter(|container| container.service == service.name()).peekable();
    own.peek().is_some() && own.all(|container| container.state == "running")
}

/// What an image's name tells of the server in it.
fn server_of(image: &str) -> Server {
    let (name, tag) = image.split_once(':').unwrap_or((image, ""));
    let product = match name {
        "postgres" => "PostgreSQL",
        "redis" => "Redis",
        name => name,
    };
    let version = tag.split('-').next().unwrap_or_default().to_owned();
    Server { product: product.to_owned(), version, source: Source::Image, path: image.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compose_files_and_the_dockerfile_name_the_images_that_are_looked_for() {
        let compose = include_str!("../../../infra/compose.yaml");
        for service in [Service::Postgres, Service::Redis] {
            let image = thunder::image(service, None).unwrap();
            assert!(compose.contains(&format!("image: {image}\n")), "{image}");
        }
        let dockerfile = include_str!("../../../infra/Dockerfile");
        let from: Vec<&str> = dockerfile.lines().filter(|line| line.starts_with("FROM ")).collect();
        assert_eq!(from[0], format!("FROM {} AS base", thunder::RUST_IMAGE));
        assert!(
            thunder::RUST_IMAGE.contains(env!("CARGO_PKG_RUST_VERSION")),
            "the toolchain that the workspace asks for"
        );
    }

    #[test]
    fn a_servers_version_is_in_its_images_name() {
        let server = server_of("postgres:15-bookworm");
        assert_eq!((server.product.as_str(), server.version.as_str()), ("PostgreSQL", "15"));
    }
}
