//! Putting back: what undoes a service that was shipped.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::outcome::Outcome;
use super::platform::Platform;
use super::ship::{self, Shipped};
use super::{Release, verify};
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Action, Plan};
use crate::tool::railway::answer::Deployment;
use crate::tool::railway::{Destination, document};
use crate::wait::{self, Poll, Waited};

/// How long the version before may take to serve again.
const TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 600 });
/// How long a rollback may take to show up in the list.
const SEEN_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 60 });

/// The plan that takes a service back to what it was.
pub fn plan(release: &Arc<Release>, index: usize, name: &str) -> impl Fn() -> Result<Plan> + use<> {
    let (release, service, lane) = (Arc::clone(release), name.to_owned(), format!("put {name} back"));
    move || {
        let (release, service) = (Arc::clone(&release), service.clone());
        let before = release.found.known().and_then(|found| found.live.get(index)?.deployment.clone());
        let commands = before
            .iter()
            .map(|before| release.railway.api(&document::ROLLBACK, &serde_json::json!({ "id": before.id })));
        let what = format!("have the version of {service} before serve again, and see that it answers");
        let action = Action::drive(what, commands.collect(), move |access| {
            let shipped = release.shipped().get(&service).cloned();
            match shipped {
                None => Ok(()),
                Some(shipped) if shipped.has_failed => Ok(()),
                Some(shipped) if shipped.is_live => put_back(&release, access, index),
                Some(shipped) => stop(&release, access, index, &shipped),
            }
        });
        Ok(Plan::of(&lane, vec![action], "done"))
    }
}

/// Stops a deployment of which nobody knows how it ends; where it serves by now, puts the version before back.
fn stop(release: &Release, access: &Access<'_>, index: usize, shipped: &Shipped) -> Result<()> {
    let platform = release.platform(access);
    let deployment = platform.look_at(&shipped.deployment)?.map_err(|refusal| {
        anyhow!("nobody knows what became of the deployment {}: {}", shipped.deployment, refusal.text())
    })?;
    match deployment.status.as_str() {
        "SUCCESS" => put_back(release, access, index),
        "FAILED" | "CRASHED" | "REMOVED" | "SKIPPED" | "CANCELLED" => Ok(()),
        _ => {
            access.line.state("stop the deployment that is under way");
            platform.stop_deployment(&shipped.deployment)?;
            access.context.terminal.note(format!("  the deployment {} was stopped", shipped.deployment));
            Ok(())
        }
    }
}

fn put_back(release: &Release, access: &Access<'_>, index: usize) -> Result<()> {
    let outcome = try_to_put_back(release, access, index);
    *release.outcome() = if outcome.is_ok() { Outcome::PutBack } else { Outcome::Stays };
    outcome
}

fn try_to_put_back(release: &Release, access: &Access<'_>, index: usize) -> Result<()> {
    let platform = release.platform(access);
    let found = release.found.get()?;
    let (to, live) = (&found.target.services[index], &found.live[index]);
    let Some(before) = &live.deployment else {
        return Err(Failure::new(Exit::Failed, format!("nothing of {} was live before", to.service_name)).into());
    };
    if let Some((version, why)) = found.brought.incompatible.first() {
        let backup =
            release.backup.get().map_or_else(String::new, |name| format!("; the backup {name} was made before"));
        let what = format!("the version before cannot go on with migration {version} ({why}){backup}");
        return Err(Failure::new(Exit::Refused, what)
            .hint("deploy a fix, or restore the backup and then cargo xtask rollback --without-check")
            .into());
    }
    let keep = || release.lock.keep(platform, to);
    let id = roll_back_to(platform, access, to, before, &keep)?;
    release.restored().insert(to.service_name.clone(), id.clone());
    access.line.state("wait until the version before answers");
    if let Some(url) = &live.url {
        // One that did not answer before is not better now; it serves, and that is all that can be said.
        if live.is_healthy {
            verify::answers_as(release, access, url, live.commit.as_deref(), TIMEOUT, &keep)?;
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

/// Rolls back and waits until that serves; gives back the id of the deployment which does. Railway does not say it, so
/// that it is the one which was not there before.
pub fn roll_back_to(
    platform: Platform<'_>,
    access: &Access<'_>,
    to: &Destination,
    before: &Deployment,
    keep: &dyn Fn() -> Result<()>,
) -> Result<String> {
    let now = platform
        .look_at(&before.id)?
        .map_err(|refusal| anyhow!("Railway does not show the deployment {}: {}", before.id, refusal.text()))?;
    if !now.can_rollback {
        let what = format!("Railway no longer keeps the image of the deployment {}", before.id);
        return Err(Failure::new(Exit::Failed, what).hint("check out its commit, and deploy that").into());
    }
    let known: Vec<String> = platform.deployments(to, &[], 20)?.into_iter().map(|one| one.id).collect();
    access.line.state(&format!("roll {} back to {}", to.service_name, before.id));
    platform.roll_back(&before.id)?;
    let waited = wait::until_every(ship::LOOK, SEEN_TIMEOUT, access.cancel, || {
        keep()?;
        let new = platform.deployments(to, &[], 5)?.into_iter().find(|one| !known.contains(&one.id));
        Ok(new.map_or_else(|| Poll::Pending("nothing new is listed".to_owned()), |new| Poll::Ready(new.id)))
    })?;
    let Waited::Done(id) = waited else {
        return Err(Failure::new(Exit::Unhealthy, "Railway took the rollback, and lists no deployment of it")
            .hint("look at the service in the dashboard")
            .into());
    };
    ship::until_it_serves(platform, access, &id, TIMEOUT)?;
    Ok(id)
}
