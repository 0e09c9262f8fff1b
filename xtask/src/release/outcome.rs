//! How far a release came, and what that means for whoever asked for it.

use std::sync::atomic::Ordering;

use anyhow::Error;

use super::Release;
use super::preflight::Found;
use crate::failure::{Exit, Failure, exit_code};
use crate::terminal::{STRONG, Terminal};

/// How far a release came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// Nothing was changed.
    #[default]
    Untouched,
    /// Something was changed, but not what serves.
    StillLive,
    /// The new version serves.
    Switched,
    /// The version before serves again.
    PutBack,
    /// The new version serves, failed, and stays.
    Stays,
    /// Nobody knows what serves.
    Unclear,
}

impl Outcome {
    /// Notes what became of one service that was put back. Where another one could not be, that counts for all.
    pub fn settle(&mut self, new: Self) {
        if !matches!(self, Self::Stays | Self::Unclear) {
            *self = new;
        }
    }

    /// The error of a release that came this far. An interruption keeps its code.
    pub fn explain(self, error: Error, release: &Release) -> Error {
        let commit = &release.commit.id;
        let code = exit_code(&error);
        let is_interruption = matches!(code, 130 | 143);
        let (exit, what) = match self {
            Self::Untouched => return error,
            Self::StillLive => {
                (Exit::StillLive, format!("{commit} was not deployed, and {} is still live", before(release)))
            }
            Self::PutBack if is_interruption => {
                (Exit::PutBack, format!("{commit} was live and not verified, and {} was put back", before(release)))
            }
            Self::PutBack => {
                (Exit::PutBack, format!("{commit} was live, failed, and {} was put back", before(release)))
            }
            Self::Unclear => (Exit::Failed, format!("{commit} failed, and it is not known what is live")),
            Self::Switched | Self::Stays => (Exit::Failed, format!("{commit} is live, failed, and was not put back")),
        };
        let failure = match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Failure::new(Exit::Failed, format!("{error:#}")),
        };
        let exit = match code {
            130 => Exit::Interrupted,
            143 => Exit::Terminated,
            _ => exit,
        };
        let failure = failure.within(exit, &what);
        let failure = if self == Self::StillLive && release.settings_begun.load(Ordering::Relaxed) {
            failure.details(["the declared settings may be staged or applied: then the next deployment runs with them"])
        } else {
            failure
        };
        let failure = if self == Self::PutBack && release.request.image.is_some() {
            failure.details(["the source of the service is still the image that failed: do not redeploy it by hand"])
        } else {
            failure
        };
        let failure = match may_be_applied(release).filter(|_| self == Self::StillLive) {
            Some(migrations) => failure.details([migrations]),
            None => failure,
        };
        let flags = release.flags();
        failure.hint(format!("cargo xtask releases {flags}")).into()
    }
}

/// Which migrations may have been applied by a release that was uploaded and never served.
fn may_be_applied(release: &Release) -> Option<String> {
    let found = release.known().filter(|_| !release.shipped().is_empty())?;
    if found.brought.new.is_empty() {
        return None;
    }
    let versions: Vec<String> = found.brought.new.iter().map(u64::to_string).collect();
    let backup = release.backup.get().map_or_else(String::new, |name| format!("; the backup {name} was made before"));
    Some(format!("it may have applied migration {}{backup}", versions.join(", ")))
}

/// What was live before.
fn before(release: &Release) -> String {
    let found = release.known();
    let live = found.as_ref().and_then(|found| found.live.iter().find(|live| live.deployment.is_some()));
    match live {
        Some(live) => live.commit.clone().unwrap_or_else(|| "the version before".to_owned()),
        None => "nothing".to_owned(),
    }
}

/// Tells what preflight has found.
pub fn tell(release: &Release, found: &Found, terminal: &Terminal) {
    let target = &found.target;
    let commit = &release.commit;
    terminal.note(format!(
        "{STRONG}{}{STRONG:#} {} → {} of {}",
        commit.id, commit.subject, target.environment, target.project
    ));
    for ((to, live), changes) in target.services.iter().zip(&found.live).zip(&found.changes) {
        let now = match (&live.deployment, &live.commit) {
            (None, _) => "nothing is live".to_owned(),
            (Some(_), Some(commit)) if live.is_healthy => format!("{commit} is live"),
            (Some(_), Some(commit)) => format!("{commit} is live and does not answer"),
            (Some(one), None) => format!("{} is live and does not say its commit", one.id),
        };
        terminal.note(format!("  {}: {now}", to.service_name));
        for change in changes {
            terminal.note(format!("    {}.{}: {} → {}", change.section, change.key, change.live, change.declared));
        }
    }
    for warning in &found.warnings {
        terminal.warn(warning);
    }
    let brought = &found.brought;
    match brought.new.len() {
        0 => {}
        1 => terminal.note(format!("  one migration: {}", brought.new[0])),
        count => terminal.note(format!("  {count} migrations, the last {}", brought.new[count - 1])),
    }
    for (version, why) in &brought.incompatible {
        terminal.warn(format!(
            "the live version cannot go on with migration {version} ({why}): there is no way back by a rollback"
        ));
    }
}
