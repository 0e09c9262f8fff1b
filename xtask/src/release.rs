//! Releases: a commit becomes what answers in production, and where it does not, the one before is put back.
//!
//! A deploy is a rollout of phases: preflight, lock, record, back up, settings, ship, verify, watch. Nothing
//! that serves is changed before ship; after it, a failure puts the version before back.

mod backup;
mod bundle;
pub mod declaration;
pub mod github;
mod ledger;
mod lock;
mod outcome;
mod phases;
mod platform;
mod preflight;
pub mod preview;
mod put_back;
mod railway;
mod receipt;
pub mod rehearsal;
pub mod rollback;
mod settings;
mod ship;
pub mod variables;
mod verify;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::checkout;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::plan::{Access, Rollout};
use crate::product::DEPLOY_LOCK;
use crate::project::fnv1a;
use crate::runner;
use crate::settings as local_settings;
use crate::tool::git;
use crate::tool::railway::{Railway, TOKENS};

use self::declaration::Declaration;
use self::ledger::Ledger;
use self::lock::{Lock, Owner};
use self::outcome::Outcome;
use self::platform::{Platform, Target};
use self::preflight::{Finding, Found};
use self::rehearsal::Rehearsal;
use self::ship::Shipped;

pub use self::railway::INSTALL;
pub use self::receipt::Receipt;

/// What is asked for.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Request {
    /// The environment's name.
    pub environment: String,
    /// What the environment is called in the declaration.
    pub declared_as: String,
    /// The project's id, for tokens that are good for several.
    pub project: Option<String>,
    /// The environment's name as somebody has typed it, to say that it is meant.
    pub confirmed: Option<String>,
    /// The address that is verified instead of the service's own domain.
    pub url: Option<String>,
    /// Release what is in no commit, or in none that others have.
    pub allow_dirty: bool,
    /// Release a commit that was put back before.
    pub again: bool,
    /// Release a commit that lacks migrations of the live version.
    pub older: bool,
    /// Go without a backup where a migration is not compatible.
    pub without_backup: bool,
    /// The image by its digest, where it is not built from the upload.
    pub image: Option<String>,
    /// How long to wait for whoever has the lock.
    pub lock_timeout: Duration,
    /// How long each service may take from its upload until it serves.
    pub timeout: Duration,
    /// How long the error rate is watched; zero leaves it out.
    pub watch: Duration,
    /// The backend's program, which asks the service for its health and walks through it.
    pub program: PathBuf,
}

impl Request {
    /// To that environment, with nothing said besides.
    pub fn of(environment: &str, project: Option<String>, program: PathBuf) -> Self {
        Self {
            environment: environment.to_owned(),
            declared_as: environment.to_owned(),
            project,
            confirmed: None,
            url: None,
            allow_dirty: false,
            again: false,
            older: false,
            without_backup: false,
            image: None,
            lock_timeout: Duration::ZERO,
            timeout: Duration::ZERO,
            watch: Duration::ZERO,
            program,
        }
    }
}

/// The commit that is released.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its short hash, with `-dirty` where files differ from it.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
}

/// A release on its way: what is asked for, and what is known of it so far.
pub struct Release {
    /// What is asked for.
    pub request: Request,
    /// What is declared, or what is wrong with it.
    declaration: Result<Declaration, Vec<Finding>>,
    target: Box<dyn Target>,
    commit: Commit,
    owner: Owner,
    lock: Lock,
    found: Mutex<Option<Arc<Found>>>,
    backup: OnceLock<String>,
    /// The deployments that were known before an upload of which no answer has come, by service.
    uploading: Mutex<BTreeMap<String, Vec<String>>>,
    shipped: Mutex<BTreeMap<String, Shipped>>,
    /// The deployments that serve again, by service.
    restored: Mutex<BTreeMap<String, String>>,
    outcome: Mutex<Outcome>,
    /// Whether the settings of the environment may be others than before.
    settings_begun: AtomicBool,
    seconds: Mutex<BTreeMap<String, u64>>,
    /// When it began, in seconds since 1970.
    began: u64,
}

impl Release {
    /// A release of what is checked out to Railway. An error where there is no CLI.
    pub fn of(context: &Context, request: Request) -> Result<Self> {
        Self::to(context, request, Box::new(railway(context)?))
    }

    /// A rehearsal of a release, on this machine.
    pub fn rehearse(context: &Context, request: Request) -> Result<Self> {
        let rehearsal = Rehearsal::of(context, &request)?;
        Self::to(context, request, Box::new(rehearsal))
    }

    /// A release of what is checked out to that target.
    fn to(context: &Context, request: Request, target: Box<dyn Target>) -> Result<Self> {
        let root = context.project.root();
        let subject = context.runner.read(&git::subject(root)).unwrap_or_default().stdout.trim().to_owned();
        let declaration = Declaration::load(&context.project).map_err(|problems| {
            let place = |problem: String| Finding::new(Exit::Missing, format!("{}: {problem}", declaration::FILE));
            problems.into_iter().map(place).collect()
        });
        Ok(Self {
            commit: Commit { id: identity(context)?, subject },
            owner: owner(context, target.flags(&request.environment))?,
            declaration,
            target,
            request,
            lock: Lock::default(),
            found: Mutex::default(),
            backup: OnceLock::new(),
            uploading: Mutex::default(),
            shipped: Mutex::default(),
            restored: Mutex::default(),
            outcome: Mutex::default(),
            settings_begun: AtomicBool::new(false),
            seconds: Mutex::default(),
            began: lock::now(),
        })
    }

    /// Its commit.
    pub fn commit(&self) -> &Commit {
        &self.commit
    }

    fn platform<'a>(&'a self, access: &Access<'a>) -> Box<dyn Platform + 'a> {
        self.target.by(access.runner, access.cancel)
    }

    fn by<'a>(&'a self, context: &'a Context, cancel: &'a CancelToken) -> Box<dyn Platform + 'a> {
        self.target.by(&*context.runner, cancel)
    }

    /// The flags that name where it goes, for what to type.
    fn flags(&self) -> String {
        self.target.flags(&self.request.environment)
    }

    /// Fails where another commit is checked out by now: the prompt and the lock may have taken minutes.
    fn is_still_checked_out(&self, context: &Context) -> Result<()> {
        if identity(context)? == self.commit.id {
            return Ok(());
        }
        Err(Failure::new(Exit::Refused, "what is checked out has changed since this deploy began").into())
    }

    fn declared(&self) -> Result<&Declaration> {
        self.declaration.as_ref().map_err(|_| anyhow::anyhow!("the declaration is wrong"))
    }

    /// How a dry run and the log name an upload.
    fn message(&self) -> String {
        let text = format!("{} {}", self.commit.id, self.commit.subject);
        text.chars().filter(|letter| !letter.is_control()).take(120).collect::<String>().trim().to_owned()
    }

    /// The names of the services; what is wrong with the declaration is preflight's to tell.
    fn services(&self) -> Vec<String> {
        let declared = self.declaration.as_ref().map(|declaration| declaration.services.as_slice()).unwrap_or_default();
        declared.iter().map(|service| service.name.clone()).collect()
    }

    /// What preflight has found, where it has run.
    fn known(&self) -> Option<Arc<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What preflight has found.
    fn found(&self) -> Result<Arc<Found>> {
        self.known().ok_or_else(|| anyhow::anyhow!("preflight has not run yet; this is a mistake in xtask"))
    }

    fn find(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(found));
    }

    fn uploading(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.uploading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shipped(&self) -> MutexGuard<'_, BTreeMap<String, Shipped>> {
        self.shipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restored(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seconds(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `/health` will tell of this release. Where files differ from the commit, what they hold is in it: otherwise a
/// second attempt could be taken for the first.
pub(crate) fn identity(context: &Context) -> Result<String> {
    let commit = checkout::commit(context);
    let Some(head) = commit.strip_suffix("-dirty") else { return Ok(commit) };
    let differences = runner::read_well(&*context.runner, &git::differences(context.project.root()))?;
    Ok(format!("{head}{:08x}-dirty", fnv1a(differences.as_bytes())))
}

/// The CLI, with the token of our own environment; the token is hidden from now on.
pub fn railway(context: &Context) -> Result<Railway> {
    let program = context
        .runner
        .find("railway")
        .ok_or_else(|| Failure::new(Exit::Missing, "the Railway CLI is not on PATH").hint(INSTALL))?;
    let railway = Railway::new(&program, |name| context.variable(name));
    for (name, _) in TOKENS {
        context.terminal.hide(&context.variable(name).unwrap_or_default());
    }
    Ok(railway)
}

/// Who is releasing: in CI, whoever began the run.
fn owner(context: &Context, flags: String) -> Result<Owner> {
    let variable = |name: &str| context.variable(name);
    let of_git = || {
        let said = context.runner.read(&git::user(context.project.root())).unwrap_or_default().stdout;
        Some(said.trim().to_owned()).filter(|name| !name.is_empty())
    };
    let name = variable("GITHUB_ACTOR").or_else(of_git).or_else(|| variable("USER"));
    let run = (|| {
        let (server, repository) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        Some(format!("{server}/{repository}/actions/runs/{}", variable("GITHUB_RUN_ID")?))
    })();
    Ok(Owner { name: name.unwrap_or_else(|| "somebody".to_owned()), run, nonce: local_settings::secret()?, flags })
}

/// Releases what is checked out, or in a dry run says how.
pub fn deploy(context: &Context, release: &Arc<Release>) -> Result<()> {
    let outcome = Rollout::new(phases::all(release))?.run(context);
    let verdict = *release.outcome();
    outcome.map_err(|error| verdict.explain(error, release))
}

/// Finds everything that is in the way, and changes nothing: before something is made that takes a while.
pub fn preflight(context: &Context, release: &Arc<Release>) -> Result<()> {
    Rollout::new(vec![phases::look(release)])?.run(context)
}

/// What was released to the environment.
pub fn ledger(context: &Context, release: &Release) -> Result<Ledger> {
    let cancel = CancelToken::on(&context.interrupt);
    let platform = &*release.by(context, &cancel);
    let target = rollback::target_of(release, platform)?;
    Ledger::load(platform, target.any())
}

/// Gives back the lock that a deploy has left: that of this run of CI, or another one after asking.
pub fn unlock(context: &Context, release: &Release) -> Result<u8> {
    let cancel = CancelToken::on(&context.interrupt);
    let platform = &*release.by(context, &cancel);
    let target = rollback::target_of(release, platform)?;
    let environment = &release.request.environment;
    let Some(held) = lock::held(platform, target.any())? else {
        context.terminal.note(format!("nobody has the deploy lock of {environment}"));
        return Ok(0);
    };
    let is_ours = held.run.is_some() && held.run == release.owner.run;
    if !is_ours && release.owner.run.is_some() {
        context.terminal.note(format!("the deploy lock is another run's and stays: {}", held.describe(lock::now())));
        return Ok(0);
    }
    if context.dry_run {
        context.terminal.data(format!("# give {DEPLOY_LOCK} back, which {} has", held.owner))?;
        return Ok(0);
    }
    if !is_ours && release.request.confirmed.as_deref() != Some(environment) {
        let question = format!("{}. A deploy that still runs will fail.", held.describe(lock::now()));
        context.confirm_word(&question, environment, &format!("--confirm {environment}"))?;
    }
    lock::break_open(platform, target.any())?;
    context.terminal.note(format!("gave back the deploy lock of {}", held.owner));
    Ok(0)
}
