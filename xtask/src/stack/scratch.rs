//! A throw-away PostgreSQL and Redis, for tests and checks: unused ports, no care for the disk, gone afterwards.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::folder::StackFolder;
use super::ground;
use super::host::lanes::{self, BackendFacts, DataFacts, PREPARE, Recipe};
use super::host::{self, service_user};
use super::ports::{self, Claims};
use super::servers::{Origin, Search};
use super::thunder::{self, Ports, Service};
use crate::context::Context;
use crate::file;
use crate::lock::Lock;
use crate::plan::{Action, Folder, Lane, Plan};
use crate::settings::{self, Settings};
use crate::step::User;
use crate::tool::backend::Thunder;
use crate::tool::postgres::Durability;
use crate::tool::{backend, system};

/// The database that is migrated once and copied for each test.
pub const TEMPLATE: &str = "thunder_template";
/// Nobody but a task that clears up can have the lock, and only for a moment.
const LOCK: Duration = Duration::from_secs(5);
/// How long each server may take to become ready.
const READY: Duration = Duration::from_mins(1);

/// A throw-away stack; gone when it is dropped.
pub struct Scratch<'a> {
    context: &'a Context,
    folder: StackFolder,
    settings: Settings,
    ports: Ports,
    _claims: Claims,
    user: Option<User>,
    is_started: bool,
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
        let lock = context.lock(&folder.lock(), LOCK)?;
        let mut text = String::new();
        for name in [thunder::POSTGRES_PASSWORD, thunder::REDIS_PASSWORD, "JWT_SECRET", "JWT_REFRESH_SECRET"] {
            text.push_str(&format!("{name}={}\n", settings::secret()?));
        }
        let settings = Settings::parse(&text)?;
        ground::hide(context, &settings);
        let mut claims = Claims::new(context.dry_run);
        let ports = ports::throw_away_block(&mut claims)?;
        Ok(Self { context, folder, settings, ports, _claims: claims, user, is_started: false, _lock: lock })
    }

    /// What starts both servers and migrates the template with the backend's binary.
    pub fn plan(&self, origin: Origin) -> Result<Plan> {
        let recipe = self.recipe(Vec::new());
        let search = self.search(origin);
        let template = Lane {
            name: "template".to_owned(),
            actions: vec![
                lanes::build(&self.backend()?),
                Action::After(Service::Postgres.to_string()),
                Action::Run(
                    Thunder::with(&host::binary()?, &self.backend_environment()?).migrate(Duration::from_mins(5)),
                ),
            ],
            result: "migrated".to_owned(),
        };
        let postgres = recipe.postgres(search.postgres(None)?, self.data_facts())?;
        let redis = recipe.redis(search.redis()?)?;
        Ok(Plan { lanes: vec![self.prepare(), postgres, redis, template] })
    }

    /// What starts PostgreSQL with the template made of these migrations, without the backend: for when that cannot be
    /// built.
    pub fn plan_of_schema(&self, origin: Origin, migrations: Vec<String>) -> Result<Plan> {
        let found = self.search(origin).postgres(None)?;
        let postgres = self.recipe(migrations).postgres(found, self.data_facts())?;
        Ok(Plan { lanes: vec![self.prepare(), postgres] })
    }

    fn recipe(&self, schema: Vec<String>) -> Recipe<'_> {
        Recipe {
            folder: &self.folder,
            settings: &self.settings,
            ports: self.ports,
            user: self.user.clone(),
            durability: Durability::None,
            timeout: READY,
            database: TEMPLATE,
            schema,
        }
    }

    fn search(&self, origin: Origin) -> Search<'_> {
        Search { project: &self.context.project, runner: &*self.context.runner, origin, user: self.user.as_ref() }
    }

    fn data_facts(&self) -> DataFacts {
        let locales = self.context.runner.read(&system::locales()).unwrap_or_default();
        let locale = system::choose_locale(&locales.stdout);
        DataFacts { exists: false, has_other_password: false, is_occupied: false, dead_lock_file: None, locale }
    }

    fn prepare(&self) -> Lane {
        let run = self.folder.root().join("run");
        let actions = vec![Action::Folder(Folder { path: run, mode: 0o700, owner: None })];
        Lane { name: PREPARE.to_owned(), actions, result: "throw-away servers".to_owned() }
    }

    /// Starts it.
    pub fn start(&mut self, plan: &Plan) -> Result<()> {
        self.is_started = true;
        plan.run(self.context).result
    }

    fn backend(&self) -> Result<BackendFacts<'_>> {
        Ok(BackendFacts {
            watcher: None,
            root: self.context.project.root(),
            binary: host::binary()?,
            commit: String::new(),
            is_colored: self.context.terminal.is_colored(),
            migration_timeout: READY,
        })
    }

    /// The environment in which the backend's binary works on the template.
    fn backend_environment(&self) -> Result<Vec<backend::Variable>> {
        let mut environment = thunder::backend_environment(&self.settings, self.ports, "test")?;
        let url = self.database_url(TEMPLATE)?;
        for variable in environment.iter_mut().filter(|variable| variable.name == "DATABASE_URL") {
            variable.value.clone_from(&url);
        }
        Ok(environment)
    }

    /// How to reach one of its databases.
    pub fn database_url(&self, database: &str) -> Result<String> {
        thunder::database_url(&self.settings, self.ports, database)
    }

    /// How to reach its Redis.
    pub fn redis_url(&self) -> Result<String> {
        thunder::redis_url(&self.settings, self.ports)
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
    for service in [Service::Redis, Service::Postgres] {
        let stop = lanes::stop(folder, service, Duration::ZERO);
        crate::plan::stop_service(&stop, &|text| context.terminal.warn(text))?;
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
