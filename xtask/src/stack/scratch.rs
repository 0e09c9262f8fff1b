//! A throw-away PostgreSQL and Redis, for tests and checks: unused ports, no care for the disk, gone afterwards.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::folder::StackFolder;
use super::host::recipe::{self, PREPARE, Recipe, Source};
use super::host::{self, clients, service_user, stop};
use super::ports::{self, Claims, Ports};
use super::servers::{Origin, Search};
use super::service::Service;
use super::state::Server;
use super::{DATABASE_CLIENTS, environment, foundation};
use crate::context::Context;
use crate::database::target::Target;
use crate::file;
use crate::lock::Lock;
use crate::plan::{Action, Folder, Lane, Plan};
use crate::product::setting::{GENERATED, POSTGRES_PASSWORD, REDIS_PASSWORD};
use crate::product::{DATABASE, TEMPLATE_DATABASE};
use crate::settings::{self, Settings};
use crate::step::{Step, User};
use crate::supervise;
use crate::tool::backend::Program;
use crate::tool::postgres::Durability;
use crate::tool::version;

/// Nobody but a task that clears up can have the lock, and only for a moment.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long each server may take to become ready.
const READINESS_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the migrations of the template may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(5);

/// A throw-away stack; gone when it is dropped.
pub struct Scratch<'a> {
    context: &'a Context,
    folder: StackFolder,
    settings: Settings,
    ports: Ports,
    _claims: Claims,
    user: Option<User>,
    is_started: bool,
    /// What was found for PostgreSQL.
    server: Option<Server>,
    /// Held while the stack is in use, so that nobody takes it for one that was left behind.
    _lock: Option<Lock>,
}

impl<'a> Scratch<'a> {
    /// Prepares one, and clears away those whose task is gone.
    pub fn new(context: &'a Context) -> Result<Self> {
        let user = service_user()?;
        if !context.dry_run {
            clear_abandoned(context)?;
        }
        let root = all(context).join(std::process::id().to_string());
        let folder = folder(root, user.as_ref());
        let lock = context.lock(&folder.lock(), LOCK_TIMEOUT)?;
        let mut text = String::new();
        for name in [POSTGRES_PASSWORD, REDIS_PASSWORD].iter().chain(GENERATED) {
            text.push_str(&format!("{name}={}\n", settings::secret()?));
        }
        let settings = Settings::parse(&text)?;
        foundation::hide(context, &settings);
        let mut claims = Claims::new(context.dry_run);
        let ports = ports::throw_away_block(&mut claims)?;
        Ok(Self {
            context,
            folder,
            settings,
            ports,
            _claims: claims,
            user,
            is_started: false,
            server: None,
            _lock: lock,
        })
    }

    /// What starts both servers and migrates the template with the backend's binary.
    pub fn plan(&self, origin: Origin) -> Result<Plan> {
        let recipe = self.recipe(origin, Vec::new(), Some(self.source()?));
        let actions = vec![
            recipe::build(recipe.source()?),
            Action::After(Service::Postgres.to_string()),
            Action::Run(recipe.program()?.migrate(MIGRATION_TIMEOUT, &[])),
        ];
        let template = Lane { name: "template".to_owned(), actions, result: "migrated".to_owned() };
        let mut lanes = vec![self.prepare()];
        for service in Service::USUAL.into_iter().filter(|service| !service.is_built()) {
            lanes.push(service.definition().host_lane(&recipe)?.lane);
        }
        lanes.push(template);
        Ok(Plan { lanes })
    }

    /// What starts PostgreSQL with the template made of these migrations, without the backend: for when that cannot be
    /// built.
    pub fn plan_of_schema(&self, origin: Origin, migrations: Vec<String>) -> Result<Plan> {
        let recipe = self.recipe(origin, migrations, None);
        let postgres = Service::Postgres.definition().host_lane(&recipe)?.lane;
        Ok(Plan { lanes: vec![self.prepare(), postgres] })
    }

    /// What starts PostgreSQL with nothing in it, to make databases in; see [`Scratch::database`].
    pub fn plan_of_server(&mut self, origin: Origin) -> Result<Plan> {
        let found = Service::Postgres.definition().host_lane(&self.recipe(origin, Vec::new(), None))?;
        self.server = found.server;
        Ok(Plan { lanes: vec![self.prepare(), found.lane] })
    }

    /// The major version of its PostgreSQL.
    pub fn postgres_major(&self) -> Option<u32> {
        self.server.as_ref().and_then(|server| version::major(&server.version))
    }

    /// What reaches its databases, and what has to be fetched first. The backend's program is not built for it.
    pub fn database(&self) -> Result<(Target<'_>, Plan)> {
        let user = self.user.as_ref();
        let folders = clients::folders(self.context, user, self.server.as_ref())?;
        let (_, fetch) = clients::find(self.context, user, &folders, Service::Postgres, &DATABASE_CLIENTS)?;
        let postgres = Service::Postgres.definition();
        let client = move |words: &[String]| {
            let folders = clients::folders(self.context, user, self.server.as_ref())?;
            let program = clients::program(self.context, &folders, &words[0]);
            let step = Step::new(format!("run {}", words[0]), program).args(&words[1..]);
            let environment = postgres.client_variables(self.ports.of(Service::Postgres), &self.settings)?;
            Ok(environment.iter().fold(step, |step, variable| variable.give_to(step)))
        };
        let program = |database: &str| {
            Ok(Program::with(&host::binary()?, &environment::of_backend(&self.settings, &self.ports, database)?))
        };
        Ok((Target { database: DATABASE.to_owned(), client: Box::new(client), program: Box::new(program) }, fetch))
    }

    fn recipe<'s>(&'s self, origin: Origin, schema: Vec<String>, source: Option<Source<'s>>) -> Recipe<'s> {
        Recipe {
            folder: &self.folder,
            settings: &self.settings,
            ports: &self.ports,
            search: Search {
                project: &self.context.project,
                runner: &*self.context.runner,
                origin,
                user: self.user.as_ref(),
            },
            user: self.user.clone(),
            durability: Durability::None,
            timeout: READINESS_TIMEOUT,
            database: TEMPLATE_DATABASE,
            schema,
            beside: Vec::new(),
            source,
        }
    }

    fn source(&self) -> Result<Source<'_>> {
        Ok(Source {
            root: self.context.project.root(),
            binary: host::binary()?,
            is_colored: self.context.terminal.is_colored(),
            migration_timeout: MIGRATION_TIMEOUT,
            drafts: Vec::new(),
            watcher: None,
            replaces: false,
        })
    }

    fn prepare(&self) -> Lane {
        let actions = vec![Action::Folder(Folder { path: self.folder.run(), mode: 0o700, owner: None })];
        Lane { name: PREPARE.to_owned(), actions, result: "throw-away servers".to_owned() }
    }

    /// Starts it.
    pub fn start(&mut self, plan: &Plan) -> Result<()> {
        self.is_started = true;
        plan.run(self.context).result
    }

    /// How to reach one of its databases.
    pub fn database_url(&self, database: &str) -> Result<String> {
        environment::database_url(&self.settings, &self.ports, database)
    }

    /// How to reach its Redis.
    pub fn redis_url(&self) -> Result<String> {
        environment::redis_url(&self.settings, &self.ports)
    }

    /// A place for a folder that goes with it.
    pub fn workspace(&self, name: &str) -> PathBuf {
        self.folder.root().join(name)
    }

    /// Stops and removes it, and says what could not be.
    fn remove(&self) -> Result<()> {
        if self.is_started {
            stop(self.context, &self.folder)?;
        }
        remove(&self.folder)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            self.context.terminal.warn(format!("the throw-away stack is not gone: {error:#}"));
        }
    }
}

fn folder(root: PathBuf, user: Option<&User>) -> StackFolder {
    let name = format!("test-{}", root.file_name().unwrap_or_default().to_string_lossy());
    StackFolder::at(root, user, &name)
}

/// Nothing in it is worth an orderly end, but PostgreSQL's shared memory is.
fn stop(context: &Context, folder: &StackFolder) -> Result<()> {
    for service in Service::ALL.into_iter().rev().filter(|service| !service.is_built()) {
        let stop = stop::of(folder, service, Duration::ZERO);
        supervise::stop(&stop, &|text| context.terminal.warn(text))?;
    }
    Ok(())
}

fn remove(folder: &StackFolder) -> Result<()> {
    for path in folder.everything() {
        file::remove(&path)?;
    }
    folder.remove_shared_parent();
    file::remove(folder.root())?;
    // The folders above are removed with the last one in them.
    for above in folder.root().ancestors().skip(1).take(2) {
        if std::fs::remove_dir(above).is_err() {
            break;
        }
    }
    Ok(())
}

/// The throw-away stacks whose tasks are gone.
pub fn abandoned(context: &Context) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(all(context)).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        // Whoever uses one holds its lock for as long.
        if Lock::attempt(&path.join("lock"))?.is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Stops and removes the throw-away stacks whose tasks are gone.
pub fn clear_abandoned(context: &Context) -> Result<()> {
    let user = service_user()?;
    crate::supervise::end_orphans(context.project.root(), &|text| context.terminal.warn(text))?;
    for path in abandoned(context)? {
        let folder = folder(path, user.as_ref());
        let Some(_lock) = Lock::attempt(&folder.lock())? else { continue };
        stop(context, &folder)?;
        remove(&folder)?;
    }
    Ok(())
}

fn all(context: &Context) -> PathBuf {
    StackFolder::at(context.project.state(), None, "").throw_away()
}
