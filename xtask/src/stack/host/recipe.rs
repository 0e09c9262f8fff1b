//! What the lanes of the host engine share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::plan::{Action, Await, Lane, Probe, ServiceProcess};
use crate::product::PACKAGE;
use crate::runner::Launch;
use crate::settings::Settings;
use crate::stack::environment;
use crate::stack::folder::StackFolder;
use crate::stack::ports::Ports;
use crate::stack::servers::Search;
use crate::stack::service::{self, Service};
use crate::stack::state::Server;
use crate::stack::watch::probe::of_watched;
use crate::step::{Step, User};
use crate::tool::backend::{Program, Variable};
use crate::tool::cargo;
use crate::tool::postgres::Durability;

/// The lane that prepares the folder; the others wait for it.
pub const PREPARE: &str = "stack";

/// What the lanes of a stack share.
pub struct Recipe<'a> {
    /// Where its files lie.
    pub folder: &'a StackFolder,
    /// Its settings.
    pub settings: &'a Settings,
    /// Where it listens.
    pub ports: &'a Ports,
    /// Finds servers.
    pub search: Search<'a>,
    /// Whom PostgreSQL runs as.
    pub user: Option<User>,
    /// Whether it keeps what it stores.
    pub durability: Durability,
    /// How long a service may take to become ready.
    pub timeout: Duration,
    /// The database to make.
    pub database: &'a str,
    /// SQL to run in it when it is made.
    pub schema: Vec<String>,
    /// The services that have lanes as well.
    pub beside: Vec<Service>,
    /// What is built and run as the backend; none where the backend is not started.
    pub source: Option<Source<'a>>,
}

/// What is built and run as the backend.
pub struct Source<'a> {
    /// The workspace.
    pub root: &'a Path,
    /// The binary that the build makes.
    pub binary: PathBuf,
    /// Whether cargo may colour its messages.
    pub is_colored: bool,
    /// How long migrations may take.
    pub migration_timeout: Duration,
    /// The migrations that may be applied again when they change.
    pub drafts: Vec<String>,
    /// What watches and serves it; none where it is only served.
    pub watcher: Option<Step>,
    /// Whether one runs already that has to go first.
    pub replaces: bool,
}

/// What starts a service, and the server that it will be.
pub struct HostLane {
    /// What is done.
    pub lane: Lane,
    /// What is started, where it was found on this machine or fetched.
    pub server: Option<Server>,
}

impl Recipe<'_> {
    /// Starts the service's process.
    pub fn start(&self, service: Service, step: Step) -> [Action; 2] {
        let (record, log) = (self.folder.record(service), self.folder.log(service));
        let rotate = Action::Rotate(log.clone());
        [rotate, Action::Start(Launch { step, record, log: Some(log), socket: None })]
    }

    /// Waits until the service is ready.
    pub fn wait(&self, service: Service) -> Result<Action> {
        let probe = service::probe(service, self.ports, self.settings)?;
        Ok(self.wait_for(service, probe, self.folder.record(service)))
    }

    /// Waits for the server that the watcher starts.
    pub fn wait_for_watched(&self) -> Action {
        let files = self.folder.watch();
        let probe = of_watched(&files, self.ports.of(Service::Backend));
        self.wait_for(Service::Backend, probe, files.watcher())
    }

    /// Waits until the service is ready, for as long as the process of that record lives.
    fn wait_for(&self, service: Service, probe: Box<dyn Probe>, record: PathBuf) -> Action {
        let process = Some(ServiceProcess { record, log: self.folder.log(service) });
        Action::Await(Await { service: service.to_string(), probe, timeout: self.timeout, process })
    }

    /// A service that runs already and is not ready yet: a task that is gone has started it, or its watcher is at it.
    pub fn waiting(&self, service: Service, is_watched: bool) -> Result<Lane> {
        let watched = is_watched && service.is_built();
        let wait = if watched { self.wait_for_watched() } else { self.wait(service)? };
        let actions = vec![Action::After(PREPARE.to_owned()), wait];
        Ok(Lane { name: service.to_string(), actions, result: "ready".to_owned() })
    }

    /// What is built and run as the backend.
    pub fn source(&self) -> Result<&Source<'_>> {
        self.source.as_ref().context("this stack has no backend")
    }

    /// The backend's environment.
    pub fn environment(&self) -> Result<Vec<Variable>> {
        environment::of_backend(self.settings, self.ports, self.database)
    }

    /// The backend's own program.
    pub fn program(&self) -> Result<Program> {
        Ok(Program::with(&self.source()?.binary, &self.environment()?))
    }
}

/// The action that builds the backend's binary.
pub fn build(source: &Source<'_>) -> Action {
    Action::Follow(cargo::build(source.root, PACKAGE, source.is_colored), cargo::progress)
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::interrupt::CancelToken;
    use crate::project::Project;
    use crate::runner::Processes;
    use crate::stack::servers::{Found, Origin};
    use crate::stack::state::Source as Origination;
    use crate::terminal::{Color, Terminal};

    /// A server that was found.
    pub fn server(product: &str, version: &str, path: &str) -> Found {
        let server = Server {
            product: product.to_owned(),
            version: version.to_owned(),
            source: Origination::System,
            path: PathBuf::from(path),
        };
        Found { server, fetch: Vec::new() }
    }

    /// The lane, as a dry run shows it.
    pub fn lines(lane: &HostLane) -> Vec<String> {
        lane.lane.actions.iter().map(ToString::to_string).collect()
    }

    /// Checks something with the recipe of a stack in `/p`.
    pub fn with_recipe<T>(check: impl FnOnce(&Recipe<'_>) -> T) -> T {
        let folder = StackFolder::at(PathBuf::from("/p/.stack"), None, "x-1");
        let settings =
            Settings::parse("POSTGRES_PASSWORD=hunter22\nREDIS_PASSWORD=hunter33\nJWT_SECRET=hunter44\n").unwrap();
        let ports = Ports::of_these(Service::ALL, |service| match service {
            Service::Postgres => 5432,
            Service::Redis => 6379,
            Service::Mail => 8025,
            Service::Backend => 3000,
        });
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let project = Project::at(root).unwrap();
        let terminal = Arc::new(Terminal::new(Color::Never, false));
        let runner = Processes::new(terminal, CancelToken::never(), true);
        check(&Recipe {
            folder: &folder,
            settings: &settings,
            ports: &ports,
            search: Search { project: &project, runner: &runner, origin: Origin::Auto, user: None },
            user: None,
            durability: Durability::Safe,
            timeout: Duration::from_mins(1),
            database: "app",
            schema: Vec::new(),
            beside: Service::USUAL.to_vec(),
            source: Some(Source {
                root: Path::new("/p"),
                binary: PathBuf::from("/t/debug/app"),
                is_colored: false,
                migration_timeout: Duration::from_mins(10),
                drafts: vec!["20990101000000".to_owned()],
                watcher: None,
                replaces: false,
            }),
        })
    }
}
