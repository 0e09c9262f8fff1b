//! The declared settings: staged, applied without a deployment, waited for, and read back.
//!
//! To apply them at once would deploy the old source, in a race with the upload. The order to apply comes back before
//! it is done, so that it is waited for before anything is read.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use serde_json::Value;

use super::declaration::{Change, patch};
use super::phases::timed;
use super::platform::{Destination, Order, places};
use super::{Release, backup};
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Action};

/// What is done: nothing, where nothing differs.
pub fn actions(release: &Arc<Release>) -> Vec<Action> {
    let changed = release.changed_settings();
    let mut actions = Vec::new();
    for (to, changes) in changed {
        let keys: Vec<String> = changes.iter().map(|change| format!("{}.{}", change.section, change.key)).collect();
        let order = Order::Settings(&to, &patch(&to.service, &changes), &release.message());
        let commands = release.target.commands(&order);
        let what = format!("set {} of {}", keys.join(", "), to.service_name);
        actions.push(timed(release, "settings", what, commands, move |release, access| {
            apply(release, access, &to, &changes)
        }));
    }
    actions
}

impl Release {
    /// The settings of each service that differ.
    pub(super) fn changed_settings(&self) -> Vec<(Destination, Vec<Change>)> {
        let Some(found) = self.known() else { return Vec::new() };
        let all = found.target.services.iter().cloned().zip(found.changes.iter().cloned());
        all.filter(|(_, changes)| !changes.is_empty()).collect()
    }
}

fn apply(release: &Release, access: &Access<'_>, to: &Destination, changes: &[Change]) -> Result<()> {
    let platform = &*release.platform(access);
    release.lock.confirm(platform, to)?;
    stage_and_apply(release, access, to, &patch(&to.service, changes))?;
    let live = platform.settings(to)?;
    let service = release.declared()?.services.iter().find(|service| service.name == to.service_name);
    let left = service.map(|service| service.changes(&release.request.declared_as, &live)).unwrap_or_default();
    let (untold, different): (Vec<Change>, Vec<Change>) = left.into_iter().partition(|change| change.live.is_null());
    for change in untold {
        let terminal = &access.context.terminal;
        terminal.warn(format!("{} does not tell {}.{}, which was set", platform.name(), change.section, change.key));
    }
    if different.is_empty() {
        return Ok(());
    }
    let lines = different
        .iter()
        .map(|change| format!("{}.{} is {} and not {}", change.section, change.key, change.live, change.declared));
    Err(Failure::new(Exit::Failed, format!("settings of {} came back different", to.service_name))
        .details(lines)
        .hint(format!("somebody else changes them too, or {} does not take these values", platform.name()))
        .into())
}

/// Stages a change of settings and applies it without a deployment, and waits until that is done.
pub fn stage_and_apply(release: &Release, access: &Access<'_>, to: &Destination, ours: &Value) -> Result<()> {
    let platform = &*release.platform(access);
    // What is staged is applied as a whole: somebody may have begun since preflight.
    nothing_else_staged(&platform.staged(&to.environment)?, ours)?;
    release.settings_begun.store(true, Ordering::Relaxed);
    platform.stage(to, ours)?;
    nothing_else_staged(&platform.staged(&to.environment)?, ours)?;
    let workflow = platform.commit_staged(to, &release.message())?;
    backup::complete(release, platform, access, &workflow, to, "the change of settings")
}

fn nothing_else_staged(staged: &Value, ours: &Value) -> Result<()> {
    let others = if staged == ours { Vec::new() } else { places(staged) };
    if others.is_empty() {
        return Ok(());
    }
    let what = format!("somebody has staged changes meanwhile: {}", others.join(", "));
    Err(Failure::new(Exit::Refused, what)
        .hint("apply or discard what is staged in the dashboard, our own changes included, then deploy again")
        .into())
}
