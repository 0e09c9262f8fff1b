//! Ship: the upload, and what becomes of the deployment that it starts.
//!
//! The CLI would wait as well, but its wait has no end where a deployment is skipped or removed, and is over too early
//! where a stream breaks. So the upload comes back at once, and the deployment is asked for by its id.

mod logs;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow};

use self::logs::Logs;
use super::outcome::Outcome;
use super::phases::timed;
use super::platform::{Deployment, Destination, Order, Platform, Status};
use super::preflight::{self, Live};
use super::{Release, put_back};
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Phase, Plan};
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
        let found = shipping.known();
        let to = found.as_ref().and_then(|found| found.target.services.get(index));
        let message = shipping.message();
        let (order, what) = match &shipping.request.image {
            Some(image) => (
                to.map(|to| Order::Image(to, image, &message)),
                format!("have {service} run {image}, and wait until it serves"),
            ),
            None => (to.map(|to| Order::Upload(to, &message)), format!("upload {service} and wait until it serves")),
        };
        let commands = order.map(|order| shipping.target.commands(&order)).unwrap_or_default();
        let service = service.clone();
        let ship = timed(&shipping, format!("ship {service}"), what, commands, move |release, access| {
            ship(release, access, index, &service)
        });
        Ok(Plan::of(&lane, vec![ship], "it serves"))
    })
    .undo(put_back::plan(&undoing, index, name))
}

fn ship(release: &Release, access: &Access<'_>, index: usize, service: &str) -> Result<()> {
    let platform = &*release.platform(access);
    let found = release.found()?;
    let (to, live) = (&found.target.services[index], &found.live[index]);
    release.lock.confirm(platform, to)?;
    if let Some(finding) = preflight::under_way(platform, to)? {
        return Err(Failure::from(finding).into());
    }
    let known: Vec<String> = platform.deployments(to, &[], 5)?.into_iter().map(|one| one.id).collect();
    let deployment = platform.begin(release, access, index, service, &known)?;
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

/// The deployment that an upload without an answer has begun: it takes a while until one is listed. None where none is; an
/// error where it cannot be told from somebody else's.
pub fn find_lost(
    release: &Release,
    platform: &dyn Platform,
    to: &Destination,
    known: &[String],
) -> Result<Option<String>> {
    let waited = wait::until_every(LOOK, LOST_TIMEOUT, platform.cancel(), || {
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
                Err(Failure::new(Exit::Failed, what).hint(format!("look at them {}", platform.dashboard())).into())
            }
        }
    })?;
    Ok(match waited {
        Waited::Done(id) => Some(id),
        Waited::TimedOut(_) => None,
    })
}

/// How a deployment ended.
enum Ended {
    Serves,
    Failed(Box<Deployment>),
}

/// Asks for the deployment until it has ended, one way or the other. Where nobody answers, that is no verdict.
fn follow(release: &Release, access: &Access<'_>, to: &Destination, id: &str, logs: &mut Logs) -> Result<Ended> {
    let platform = &*release.platform(access);
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
                access.line.detail(&format!("{} does not answer: {}", platform.name(), refusal.text()));
                return Ok(Poll::Pending(format!(
                    "{} has not answered for {}: {}",
                    platform.name(),
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
                access.line.detail(&format!("somebody has to approve it {}", platform.dashboard()));
                Ok(Poll::Pending(format!("it needs an approval {}", platform.dashboard())))
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
                .hint(release.target.log_hint(id))
                .into())
        }
    }
}

/// Why a deployment failed: the step, what the platform makes of it, who overtook it, and the last lines of its log again.
fn failure(
    release: &Release,
    access: &Access<'_>,
    to: &Destination,
    deployment: &Deployment,
    logs: &mut Logs,
) -> Failure {
    let platform = &*release.platform(access);
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
    failure.details(logs.last_words(platform)).hint(release.target.log_hint(id))
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
        Err(_) => (
            State::Failed,
            Some(Outcome::Unclear),
            Some(format!("{} does not say what serves now", release.target.name())),
        ),
    };
    mark(release, service, state);
    if let Some(outcome) = outcome {
        *release.outcome() = outcome;
    }
    failure.details(now)
}

fn newer_than(platform: &dyn Platform, to: &Destination, deployment: &Deployment) -> Option<String> {
    let all = platform.deployments(to, &[], 5).ok()?;
    all.into_iter().find(|one| one.created_at > deployment.created_at).map(|one| one.id)
}

/// Now, in RFC 3339.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Waits until a deployment serves that was begun in another way than by an upload; its failure is an error.
pub fn until_it_serves(platform: &dyn Platform, access: &Access<'_>, id: &str, timeout: Duration) -> Result<()> {
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
