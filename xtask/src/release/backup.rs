//! A backup before a migration that the live version cannot go on with.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::Release;
use super::phases::timed;
use super::platform::{Destination, Order, Platform};
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Action};
use crate::wait::{self, Poll, Waited};

/// How long a backup, or another workflow of the platform, may take.
pub const WORKFLOW_TIMEOUT: Duration = Duration::from_mins(15);
/// How often it is asked how far a workflow is.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 2_000 });

/// What is done: nothing, unless a migration rules out a way back.
pub fn actions(release: &Arc<Release>) -> Vec<Action> {
    let Some(found) = release.known() else { return Vec::new() };
    let has_run = found.live.iter().any(|live| live.last.is_some());
    if found.brought.rules_out_a_way_back().is_none() || !has_run {
        return Vec::new();
    }
    let database = match &found.target.database {
        Some(database) if !release.request.without_backup => database.clone(),
        _ => return Vec::new(),
    };
    let name = format!("before-{}", release.commit.id);
    let commands = release.target.commands(&Order::BackUp(&database, &name));
    let what = format!("back up {}", database.service_name);
    vec![timed(release, "back-up", what, commands, move |release, access| back_up(release, access, &database, &name))]
}

fn back_up(release: &Release, access: &Access<'_>, database: &Destination, name: &str) -> Result<()> {
    let platform = &*release.platform(access);
    release.lock.confirm(platform, database)?;
    let workflow = platform.back_up(database, name)?;
    access.line.detail(name);
    complete(release, platform, access, &workflow, database, "the backup")?;
    drop(release.backup.set(name.to_owned()));
    Ok(())
}

/// Waits until a workflow of the platform is done.
pub fn complete(
    release: &Release,
    platform: &dyn Platform,
    access: &Access<'_>,
    workflow: &str,
    to: &Destination,
    what: &str,
) -> Result<()> {
    let waited = wait::until_every(LOOK, WORKFLOW_TIMEOUT, access.cancel, || {
        release.lock.keep(platform, to)?;
        let now = platform.workflow(workflow)?;
        match now.status.as_str() {
            "Complete" => Ok(Poll::Ready(())),
            "Error" | "NotFound" => {
                let why = now.error.unwrap_or_else(|| format!("{} says {}", platform.name(), now.status));
                Err(Failure::new(Exit::Failed, format!("{what} failed: {why}")).into())
            }
            other => Ok(Poll::Pending(other.to_owned())),
        }
    })?;
    match waited {
        Waited::Done(()) => Ok(()),
        Waited::TimedOut(seen) => {
            let within = humantime::format_duration(WORKFLOW_TIMEOUT);
            let what = format!("{what} was not done within {within}: {} says {seen}", platform.name());
            Err(Failure::new(Exit::Unhealthy, what).into())
        }
    }
}
