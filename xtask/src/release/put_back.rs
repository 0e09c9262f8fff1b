//! Putting back: what undoes a service that was shipped.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::outcome::Outcome;
use super::platform::{Deployment, Destination, Order, Platform, Status};
use super::ship::{self, Shipped, State};
use super::verify::{self, Expected};
use super::{Release, preflight};
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Action, Plan};
use crate::wait::{self, Poll, Waited};

/// How long the version before may take to serve again.
const TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 600 });
/// How long a rollback may take to show up in the list, and a deployment to end after it was stopped.
const SEEN_TIMEOUT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 60_000 });

/// The plan that takes a service back to what it was.
pub fn plan(release: &Arc<Release>, index: usize, name: &str) -> impl Fn() -> Result<Plan> + use<> {
    let (release, service, lane) = (Arc::clone(release), name.to_owned(), format!("put {name} back"));
    move || {
        let (release, service) = (Arc::clone(&release), service.clone());
        let before = release.known().and_then(|found| found.live.get(index)?.deployment.clone());
        let commands = before.iter().flat_map(|before| release.target.commands(&Order::RollBack(&before.id)));
        let what = format!("have the version of {service} before serve again, and see that it answers");
        let action = Action::drive(what, commands.collect(), move |access| {
            let outcome = shipped(&release, access, index, &service).and_then(|shipped| match shipped {
                Some(shipped) if shipped.state != State::Failed => undo(&release, access, index, &shipped),
                _ => Ok(()),
            });
            if outcome.is_err() {
                release.outcome().settle(Outcome::Unclear);
            }
            outcome
        });
        Ok(Plan::of(&lane, vec![action], "done"))
    }
}

/// What was shipped of a service. An upload that was cut short may have begun a deployment all the same.
fn shipped(release: &Release, access: &Access<'_>, index: usize, service: &str) -> Result<Option<Shipped>> {
    if let Some(shipped) = release.shipped().get(service) {
        return Ok(Some(shipped.clone()));
    }
    let Some(known) = release.uploading().get(service).cloned() else { return Ok(None) };
    access.line.state("look whether the upload has begun a deployment");
    let found = release.found()?;
    let lost = ship::find_lost(release, &*release.platform(access), &found.target.services[index], &known)?;
    Ok(lost.map(|deployment| {
        let shipped = Shipped { deployment, state: State::UnderWay };
        release.shipped().insert(service.to_owned(), shipped.clone());
        shipped
    }))
}

fn undo(release: &Release, access: &Access<'_>, index: usize, shipped: &Shipped) -> Result<()> {
    if shipped.state == State::Live {
        return put_back(release, access, index, &shipped.deployment);
    }
    // Nobody knows yet how it ends: it is stopped, and where that comes too late, the version before is put back.
    let platform = &*release.platform(access);
    let id = &shipped.deployment;
    let mut is_stopped = false;
    let waited = wait::until_every(ship::LOOK, SEEN_TIMEOUT, access.cancel, || {
        let deployment = platform.deployment(id)?;
        match deployment.verdict() {
            Status::Good => return Ok(Poll::Ready(true)),
            Status::Bad => return Ok(Poll::Ready(false)),
            _ if !is_stopped => {
                access.line.state("stop the deployment that is under way");
                // Where that is refused or not answered, it is tried again until the time is over.
                match platform.stop_deployment(id) {
                    Ok(()) => is_stopped = true,
                    Err(error) => return Ok(Poll::Pending(format!("{error:#}"))),
                }
            }
            _ => {}
        }
        Ok(Poll::Pending(deployment.status))
    })?;
    match waited {
        Waited::Done(true) => put_back(release, access, index, id),
        Waited::Done(false) => {
            let found = release.found()?;
            let before = found.live[index].deployment.as_ref().map(|one| one.id.clone());
            let serving = platform.serving(&found.target.services[index])?;
            if before.is_some() && serving.is_none() {
                // It has served for a moment, and has ended the one before.
                return put_back(release, access, index, id);
            }
            if is_stopped {
                access.context.terminal.note(format!("  the deployment {id} was stopped"));
            }
            Ok(())
        }
        Waited::TimedOut(seen) => {
            let what = format!("the deployment {id} goes on, and could not be stopped: {seen}");
            Err(Failure::new(Exit::Unhealthy, what)
                .hint(format!("look at the service {}", platform.dashboard()))
                .into())
        }
    }
}

fn put_back(release: &Release, access: &Access<'_>, index: usize, deployment: &str) -> Result<()> {
    let outcome = try_to_put_back(release, access, index, deployment);
    let became = if outcome.is_ok() {
        Outcome::PutBack
    } else {
        let found = release.found()?;
        let serving = release.platform(access).serving(&found.target.services[index]).ok().flatten();
        if serving.is_some_and(|one| one.id == deployment) { Outcome::Stays } else { Outcome::Unclear }
    };
    release.outcome().settle(became);
    outcome
}

fn try_to_put_back(release: &Release, access: &Access<'_>, index: usize, deployment: &str) -> Result<()> {
    let platform = &*release.platform(access);
    let found = release.found()?;
    let (to, live) = (&found.target.services[index], &found.live[index]);
    let stays = |what: String| Failure::new(Exit::Refused, what);
    let Some(before) = &live.deployment else {
        return Err(stays(format!("nothing of {} was live before", to.service_name)).into());
    };
    if let Some(why) = found.brought.rules_out_a_way_back() {
        let backup =
            release.backup.get().map_or_else(String::new, |name| format!("; the backup {name} was made before"));
        let flags = release.flags();
        return Err(stays(format!("the version before has no way back: {why}{backup}"))
            .hint("deploy a fix")
            .hint(format!("or restore the backup, then cargo xtask rollback {flags} --without-check"))
            .into());
    }
    release.lock.confirm(platform, to)?;
    if let Some(finding) = preflight::under_way(platform, to)? {
        return Err(Failure::from(finding).into());
    }
    // Where nothing serves, what was shipped has crashed since.
    if let Some(serving) = platform.serving(to)?.filter(|one| ![deployment, &before.id].contains(&one.id.as_str())) {
        let what = format!("the deployment {} of somebody else serves by now: it stays as it is", serving.id);
        return Err(Failure::new(Exit::Locked, what).into());
    }
    let keep = || release.lock.keep(platform, to);
    let restored = |id: &str| drop(release.restored().insert(to.service_name.clone(), id.to_owned()));
    let id = roll_back_to(platform, access, to, before, &keep, &restored)?;
    access.line.state("wait until the version before answers");
    if let Some(url) = &live.url {
        // One that did not answer before need not answer now; it serves, and that is all that can be said.
        if live.is_healthy {
            let expected = live.commit.clone().map_or(Expected::Healthy, Expected::Commit);
            verify::answers_as(release, access, url, &expected, TIMEOUT, &keep)?;
        } else {
            access.context.terminal.warn("the version before did not answer before this deployment either");
        }
    }
    access.context.terminal.note(format!(
        "  {}: {} serves again, with the variables that it had (deployment {id})",
        to.service_name,
        live.commit.as_deref().unwrap_or("the version before"),
    ));
    Ok(())
}

/// Rolls back and waits until that serves; gives back the id of the deployment which does. Railway does not say it: it is
/// the one that was not there before, or the older one itself where that becomes active again.
pub fn roll_back_to(
    platform: &dyn Platform,
    access: &Access<'_>,
    to: &Destination,
    before: &Deployment,
    keep: &dyn Fn() -> Result<()>,
    when_listed: &dyn Fn(&str),
) -> Result<String> {
    if !platform.deployment(&before.id)?.can_rollback {
        let what = format!("{} no longer keeps the image of the deployment {}", platform.name(), before.id);
        return Err(Failure::new(Exit::Refused, what).hint("check out its commit, and deploy that").into());
    }
    let known: Vec<String> = platform.deployments(to, &[], 20)?.into_iter().map(|one| one.id).collect();
    access.line.state(&format!("roll {} back to {}", to.service_name, before.id));
    if !platform.roll_back(&before.id)? {
        access.line.detail(&format!("{} did not answer: it may be done all the same", platform.name()));
    }
    let mut waited = listed(platform, access, to, before, &known, keep)?;
    if matches!(waited, Waited::TimedOut(_)) {
        // The order may never have arrived.
        platform.roll_back(&before.id)?;
        waited = listed(platform, access, to, before, &known, keep)?;
    }
    let Waited::Done(id) = waited else {
        return Err(Failure::new(Exit::Unhealthy, format!("{} lists no deployment of the rollback", platform.name()))
            .hint(format!("look at the service {}", platform.dashboard()))
            .into());
    };
    when_listed(&id);
    ship::until_it_serves(platform, access, &id, TIMEOUT)?;
    Ok(id)
}

/// The deployment that a rollback has begun, once it is listed.
fn listed(
    platform: &dyn Platform,
    access: &Access<'_>,
    to: &Destination,
    before: &Deployment,
    known: &[String],
    keep: &dyn Fn() -> Result<()>,
) -> Result<Waited<String>> {
    wait::until_every(ship::LOOK, SEEN_TIMEOUT, access.cancel, || {
        keep()?;
        let newest = platform.deployments(to, &[], 5)?;
        let new = newest.iter().find(|one| !known.contains(&one.id)).map(|one| one.id.clone());
        let again = platform.serving(to)?.filter(|one| one.id == before.id).map(|one| one.id);
        Ok(match new.or(again) {
            Some(id) => Poll::Ready(id),
            None => Poll::Pending("nothing new is listed".to_owned()),
        })
    })
}
