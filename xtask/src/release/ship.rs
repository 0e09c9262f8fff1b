//! Ship: the upload, and what becomes of the deployment that it starts.
//!
//! The CLI would wait as well, but its wait has no end where a deployment is skipped or removed, and is over too early
//! where a stream breaks. So the upload comes back at once, and the deployment is asked for by its id.

mod logs;
mod source;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow};

use self::logs::Logs;
use super::outcome::Outcome;
use super::phases::timed;
use super::platform::Platform;
use super::preflight::{self, Live};
use super::{Release, bundle, identity, put_back};
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Phase, Plan};
use crate::runner::{self, Output};
use crate::step::Step;
use crate::tool::railway::answer::{Deployment, Status, UNDER_WAY};
use crate::tool::railway::{self, Destination};
use crate::wait::{self, Poll, Waited};

/// How often a deployment is asked for.
pub const LOOK: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 2_000 });
/// From when on it is asked for less often: a plan allows so many requests an hour.
const LONG: Duration = Duration::from_mins(2);
/// How much longer is waited between two looks from then on.
const LONG_PAUSE: Duration = Duration::from_secs(4);
/// How long a deployment may take to be listed.
const LOST_TIMEOUT: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 60_000 });

/// An upload of a service, and what became of it.
#[derive(Debug, Clone)]
pub struct Shipped {
    /// The id of the deployment.
    pub deployment: String,
    /// How far it came.
    pub state: State,
}

/// How far a deployment came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody knows yet how it ends.
    UnderWay,
    /// It serves, or did and has ended the one before.
    Live,
    /// The platform has ended it.
    Failed,
}

/// The phase that ships a service; undone, the version before serves again.
pub fn phase(release: &Arc<Release>, index: usize, name: &str) -> Phase {
    let (shipping, undoing) = (Arc::clone(release), Arc::clone(release));
    let (lane, service) = (format!("ship {name}"), name.to_owned());
    Phase::new(format!("ship-{name}"), format!("have {name} built and started"), move |_| {
        let (commands, what) = match &shipping.request.image {
            Some(image) => (
                source::commands(&shipping, index, image),
                format!("have {service} run {image}, and wait until it serves"),
            ),
            None => (
                upload_step(&shipping, index, "<folder>".as_ref()).into_iter().collect(),
                format!("upload {service} and wait until it serves"),
            ),
        };
        let service = service.clone();
        let ship = timed(&shipping, format!("ship {service}"), what, commands, move |release, access| {
            ship(release, access, index, &service)
        });
        Ok(Plan::of(&lane, vec![ship], "it serves"))
    })
    .undo(put_back::plan(&undoing, index, name))
}

fn upload_step(release: &Release, index: usize, folder: &std::path::Path) -> Option<Step> {
    let found = release.known()?;
    let to = found.target.services.get(index)?;
    Some(release.railway.up(folder, to, &release.message()))
}

fn ship(release: &Release, access: &Access<'_>, index: usize, service: &str) -> Result<()> {
    let platform = release.platform(access);
    let found = release.found()?;
    let (to, live) = (&found.target.services[index], &found.live[index]);
    release.lock.confirm(platform, to)?;
    if let Some(finding) = preflight::under_way(&platform.deployments(to, &UNDER_WAY, 5)?, to) {
        return Err(Failure::from(finding).into());
    }
    let known: Vec<String> = platform.deployments(to, &[], 5)?.into_iter().map(|one| one.id).collect();
    let deployment = match &release.request.image {
        Some(image) => source::deploy(release, access, index, service, &known, image)?,
        None => upload(release, access, index, service, &known)?,
    };
    let shipped = Shipped { deployment: deployment.clone(), state: State::UnderWay };
    release.shipped().insert(service.to_owned(), shipped);
    access.context.terminal.note(format!("  {service}: deployment {deployment}"));
    let mut logs = Logs::of(service, &deployment);
    match follow(release, access, to, &deployment, &mut logs)? {
        Ended::Serves => {
            mark(release, service, State::Live);
            *release.outcome() = Outcome::Switched;
            Ok(())
        }
        Ended::Failed(last) => {
            let failure = failure(release, access, to, &last, &mut logs);
            Err(after_failure(release, access, to, live, service, failure).into())
        }
    }
}

fn mark(release: &Release, service: &str, state: State) {
    if let Some(shipped) = release.shipped().get_mut(service) {
        shipped.state = state;
    }
}

/// Uploads, and gives back the deployment's id: what the CLI says of it, or what is there that was not before.
fn upload(release: &Release, access: &Access<'_>, index: usize, name: &str, known: &[String]) -> Result<String> {
    let platform = release.platform(access);
    let found = release.found()?;
    let to = &found.target.services[index];
    let service = &release.declared()?.services[index];
    access.line.state("upload what the image is made from");
    let dockerfile = service.setting(&release.request.declared_as, "build", "dockerfilePath");
    let dockerfile = dockerfile.as_ref().and_then(|path| path.as_str()).unwrap_or("Dockerfile").to_owned();
    let folder = bundle::make(access.context, access.runner, &dockerfile, &release.commit.id)?;
    // The prompt and the lock may have taken minutes, in which somebody has checked out another commit.
    if identity(access.context)? != release.commit.id {
        return Err(Failure::new(Exit::Refused, "what is checked out has changed since this deploy began").into());
    }
    let step = release.railway.up(folder.path(), to, &release.message());
    // From here on a deployment may have begun, whatever becomes of us.
    release.uploading().insert(name.to_owned(), known.to_vec());
    let output = platform.upload(&step)?;
    if let Some(id) = railway::parse_up(&output) {
        return Ok(id);
    }
    if !railway::was_refused(&output) {
        access.line.state("look whether the upload has begun a deployment");
        if let Some(id) = find_lost(release, platform, to, known)? {
            let what = format!("the upload was not answered, but has begun the deployment {id}");
            access.context.terminal.warn(what);
            return Ok(id);
        }
    }
    release.uploading().remove(name);
    Err(refused_upload(&step, &output).into())
}

/// The deployment that an upload without an answer has begun: it takes a while until one is listed. None where none is; an
/// error where it cannot be told from somebody else's.
pub fn find_lost(
    release: &Release,
    platform: Platform<'_>,
    to: &Destination,
    known: &[String],
) -> Result<Option<String>> {
    let waited = wait::until_every(LOOK, LOST_TIMEOUT, platform.cancel, || {
        let mut new = platform.deployments(to, &[], 5)?;
        new.retain(|one| !known.contains(&one.id));
        let is_ours = |one: &&Deployment| one.meta.to_string().contains(&release.commit.id);
        if let Some(ours) = new.iter().find(is_ours) {
            return Ok(Poll::Ready(ours.id.clone()));
        }
        match new.as_slice() {
            [] => Ok(Poll::Pending(String::new())),
            [one] => Ok(Poll::Ready(one.id.clone())),
            several => {
                let ids: Vec<&str> = several.iter().map(|one| one.id.as_str()).collect();
                let what = format!("the upload was not answered, and one of these may be ours: {}", ids.join(", "));
                Err(Failure::new(Exit::Failed, what).hint("look at them in the dashboard").into())
            }
        }
    })?;
    Ok(match waited {
        Waited::Done(id) => Some(id),
        Waited::TimedOut(_) => None,
    })
}

fn refused_upload(step: &Step, output: &Output) -> Failure {
    let failure = runner::failure(step, output.code, &output.lines());
    if output.lines().join(" ").contains("too large") {
        return failure.hint("the upload is too large: .dockerignore says what belongs to it");
    }
    failure
}

/// How a deployment ended.
enum Ended {
    Serves,
    Failed(Box<Deployment>),
}

/// Asks for the deployment until it has ended, one way or the other. Where Railway does not answer, that is no verdict.
fn follow(release: &Release, access: &Access<'_>, to: &Destination, id: &str, logs: &mut Logs) -> Result<Ended> {
    let platform = release.platform(access);
    let terminal = &access.context.terminal;
    let (mut told, mut silent_since) = (String::new(), None::<Instant>);
    let begun = Instant::now();
    let waited = wait::until_every(LOOK, release.request.timeout, access.cancel, || {
        if begun.elapsed() > LONG {
            wait::rest(LONG_PAUSE, access.cancel)?;
        }
        release.lock.keep(platform, to)?;
        let deployment = match platform.look_at(id)? {
            Ok(deployment) => deployment,
            Err(refusal) => {
                let since = *silent_since.get_or_insert_with(Instant::now);
                access.line.detail(&format!("Railway does not answer: {}", refusal.text()));
                return Ok(Poll::Pending(format!(
                    "Railway has not answered for {}: {}",
                    humantime::format_duration(Duration::from_secs(since.elapsed().as_secs())),
                    refusal.text()
                )));
            }
        };
        silent_since = None;
        logs.show(platform, terminal);
        if told != deployment.status {
            told.clone_from(&deployment.status);
            access.line.state(&told.to_lowercase().replace('_', " "));
        }
        match deployment.verdict() {
            Status::Good => Ok(Poll::Ready(Ended::Serves)),
            Status::Bad => Ok(Poll::Ready(Ended::Failed(Box::new(deployment)))),
            Status::NeedsApproval => {
                access.line.detail("somebody has to approve it in the dashboard");
                Ok(Poll::Pending("it needs an approval in the dashboard".to_owned()))
            }
            Status::UnderWay => Ok(Poll::Pending(deployment.status)),
            Status::Unknown => {
                access.line.detail("a status that is not known here");
                Ok(Poll::Pending(format!("{}, which is not known here", deployment.status)))
            }
        }
    })?;
    match waited {
        Waited::Done(ended) => Ok(ended),
        Waited::TimedOut(seen) => {
            let timeout = humantime::format_duration(release.request.timeout);
            let what = format!("the deployment {id} of {} did not end within {timeout}: {seen}", to.service_name);
            Err(Failure::new(Exit::Unhealthy, what)
                .hint("--timeout SECONDS, if it only needs more time")
                .hint(format!("railway logs {id} --build"))
                .into())
        }
    }
}

/// Why a deployment failed: the step, what Railway makes of it, who overtook it, and the last lines of its log again.
fn failure(
    release: &Release,
    access: &Access<'_>,
    to: &Destination,
    deployment: &Deployment,
    logs: &mut Logs,
) -> Failure {
    let platform = release.platform(access);
    let (id, name) = (&deployment.id, &to.service_name);
    let what = match deployment.status.as_str() {
        "CANCELLED" | "REMOVED" | "REMOVING" | "SKIPPED" => {
            let newer = newer_than(platform, to, deployment);
            let by = newer.map_or_else(String::new, |newer| format!(": {newer} is newer"));
            format!("the deployment {id} of {name} was {}{by}", deployment.status.to_lowercase())
        }
        status => {
            let step = platform.failed_step(id);
            let why = step.map_or_else(String::new, |step| format!(": {step}"));
            format!("the deployment {id} of {name} {}{why}", status.to_lowercase())
        }
    };
    let mut failure = Failure::new(Exit::StillLive, what);
    match &deployment.diagnosis {
        serde_json::Value::Null => {}
        serde_json::Value::String(text) => failure = failure.details(text.lines().map(str::to_owned)),
        other => failure = failure.details([other.to_string()]),
    }
    failure.details(logs.last_words(platform)).hint(format!("railway logs {id} --build"))
}

/// A deployment may have served for a moment, and have ended the one before: then that is put back.
fn after_failure(
    release: &Release,
    access: &Access<'_>,
    to: &Destination,
    live: &Live,
    service: &str,
    failure: Failure,
) -> Failure {
    let serving = release.platform(access).serving(to).map(|serving| serving.map(|one| one.id));
    let before = live.deployment.as_ref().map(|one| one.id.clone());
    let (state, outcome, now) = match serving {
        Ok(serving) if serving == before => (State::Failed, None, None),
        Ok(None) => (State::Live, Some(Outcome::Switched), Some("nothing serves now".to_owned())),
        Ok(Some(id)) => (State::Failed, Some(Outcome::Unclear), Some(format!("the deployment {id} serves now"))),
        Err(_) => (State::Failed, Some(Outcome::Unclear), Some("Railway does not say what serves now".to_owned())),
    };
    mark(release, service, state);
    if let Some(outcome) = outcome {
        *release.outcome() = outcome;
    }
    failure.details(now)
}

fn newer_than(platform: Platform<'_>, to: &Destination, deployment: &Deployment) -> Option<String> {
    let all = platform.deployments(to, &[], 5).ok()?;
    all.into_iter().find(|one| one.created_at > deployment.created_at).map(|one| one.id)
}

/// Now, in RFC 3339.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Waits until a deployment serves that was begun in another way than by an upload; its failure is an error.
pub fn until_it_serves(platform: Platform<'_>, access: &Access<'_>, id: &str, timeout: Duration) -> Result<()> {
    let waited = wait::until_every(LOOK, timeout, access.cancel, || match platform.look_at(id)? {
        Ok(deployment) => match deployment.verdict() {
            Status::Good => Ok(Poll::Ready(())),
            Status::Bad => Err(anyhow!("the deployment {id} has ended as {}", deployment.status)),
            _ => {
                access.line.detail(&deployment.status.to_lowercase());
                Ok(Poll::Pending(deployment.status))
            }
        },
        Err(refusal) => Ok(Poll::Pending(refusal.text().to_owned())),
    })?;
    match waited {
        Waited::Done(()) => Ok(()),
        Waited::TimedOut(seen) => {
            let timeout = humantime::format_duration(timeout);
            Err(Failure::new(Exit::Unhealthy, format!("the deployment {id} did not serve within {timeout}: {seen}"))
                .into())
        }
    }
}
