//! The phases of a release, in their order.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;

use super::ledger::Ledger;
use super::outcome::{self, Outcome};
use super::preflight::{self, Found};
use super::{Release, backup, receipt, settings, ship, verify, watch};
use crate::plan::{Access, Action, Phase, Plan};
use crate::product::{DEPLOY_LOCK, PRODUCTION, RELEASES};
use crate::step::Step;

/// Those of a deploy.
pub fn all(release: &Arc<Release>) -> Vec<Phase> {
    let services = release.services();
    let mut phases = release.target.surroundings();
    phases.push(look(release));
    phases.extend(confirm(release));
    phases.extend([take_lock(release, look_again), record(release)]);
    phases.push(conditional(
        release,
        "back-up",
        "keep the data, where a migration rules out a way back",
        backup::actions,
    ));
    phases.push(conditional(
        release,
        "settings",
        "have the declared settings, without a deployment",
        settings::actions,
    ));
    for (index, name) in services.iter().enumerate() {
        phases.push(ship::phase(release, index, name));
        phases.push(verify::phase(release, index, name));
    }
    if !release.request.watch.is_zero() {
        phases.push(conditional(release, "watch", "see that it answers no worse than the one before", watch::actions));
    }
    phases
}

/// A phase whose actions depend on what preflight has found.
fn conditional(
    release: &Arc<Release>,
    name: &'static str,
    purpose: &str,
    actions: fn(&Arc<Release>) -> Vec<Action>,
) -> Phase {
    let release = Arc::clone(release);
    Phase::new(name, purpose, move |_| Ok(Plan::of(name, actions(&release), "done")))
}

/// An action that drives several commands and keeps how long that took.
pub fn timed(
    release: &Arc<Release>,
    name: impl Into<String>,
    what: impl Into<String>,
    commands: Vec<Step>,
    run: impl Fn(&Release, &Access<'_>) -> Result<()> + Send + Sync + 'static,
) -> Action {
    let (release, name) = (Arc::clone(release), name.into());
    Action::drive(what, commands, move |access| {
        let begun = Instant::now();
        let outcome = run(&release, access);
        *release.seconds().entry(name.clone()).or_default() += begun.elapsed().as_secs();
        outcome
    })
}

/// The phase that finds everything that is in the way.
pub fn look(release: &Arc<Release>) -> Phase {
    let release = Arc::clone(release);
    Phase::new("preflight", "find everything that is in the way, before anything is changed", move |_| {
        let look = timed(
            &release,
            "preflight",
            "look at the checkout, the project and what is live",
            vec![],
            |release, access| {
                let seen = preflight::look(release, access)?;
                outcome::tell(release, &seen, &access.context.terminal);
                release.find(seen);
                Ok(())
            },
        );
        Ok(Plan::of("preflight", vec![look], "nothing is in the way"))
    })
    .only_reads()
}

/// Somebody else may have released while the lock was waited for: what was found before is not what is there now.
fn look_again(release: &Release, access: &Access<'_>) -> Result<()> {
    let (before, now) = (release.found()?, preflight::look(release, access)?);
    let ids = |found: &Found| -> Vec<Option<String>> {
        found.live.iter().map(|live| live.deployment.as_ref().map(|one| one.id.clone())).collect()
    };
    if ids(&before) != ids(&now) {
        access.context.terminal.warn("somebody else has released meanwhile");
        outcome::tell(release, &now, &access.context.terminal);
    }
    release.find(now);
    // From here on a failure is that of a deploy, and no longer that of getting to it.
    *release.outcome() = Outcome::StillLive;
    Ok(())
}

/// Asks for the environment's name, once it is known what would happen to it.
pub fn confirm(release: &Arc<Release>) -> Option<Phase> {
    let environment = release.request.environment.clone();
    if environment != PRODUCTION || release.request.confirmed.as_deref() == Some(PRODUCTION) {
        return None;
    }
    Some(Phase::new("confirm", format!("ask for the word {PRODUCTION}"), move |context| {
        if !context.dry_run {
            let question = format!("This changes {environment}.");
            context.confirm_word(&question, PRODUCTION, &format!("--confirm {PRODUCTION}"))?;
        }
        Ok(Plan::default())
    }))
}

/// Takes the lock, looks again at what may have changed while it was waited for, and gives it back at the end.
pub fn take_lock(
    release: &Arc<Release>,
    again: impl Fn(&Release, &Access<'_>) -> Result<()> + Send + Sync + 'static,
) -> Phase {
    let (taking, releasing, again) = (Arc::clone(release), Arc::clone(release), Arc::new(again));
    Phase::new("lock", "be the only one who deploys there", move |_| {
        let what = format!("set {DEPLOY_LOCK}, wait, and read it back");
        let again = Arc::clone(&again);
        let take = timed(&taking, "lock", what, vec![], move |release, access| {
            let found = release.found()?;
            let (to, terminal) = (found.target.any(), &access.context.terminal);
            release.lock.take(
                &*release.platform(access),
                to,
                &release.owner,
                release.request.lock_timeout,
                terminal,
            )?;
            access.line.state("look again at what is live");
            again(release, access)
        });
        Ok(Plan::of("lock", vec![take], "ours"))
    })
    .finally(move || {
        let release = Arc::clone(&releasing);
        let what = format!("give {DEPLOY_LOCK} back");
        let give_back = Action::check(what, move |access| {
            let Some(found) = release.known() else { return Ok(()) };
            // A lock that stays ends by itself; the release is what it is.
            if let Err(error) = release.lock.release(&*release.platform(access), found.target.any()) {
                access.context.terminal.warn(format!("the deploy lock could not be given back: {error:#}"));
            }
            Ok(())
        });
        Ok(Plan::of("unlock", vec![give_back], "given back"))
    })
}

/// Writes the release down, whatever came of it: while it has the lock.
fn record(release: &Arc<Release>) -> Phase {
    let release = Arc::clone(release);
    Phase::new("record", "record the release, whatever comes of it", |_| Ok(Plan::default())).finally(move || {
        let release = Arc::clone(&release);
        let what = format!("record it in {RELEASES}");
        let write = Action::check(what, move |access| {
            let Some(found) = release.known() else { return Ok(()) };
            let (platform, to) = (&*release.platform(access), found.target.any());
            if release.lock.is_lost() {
                access.context.terminal.warn("the release is not recorded: the lock is somebody else's");
                return Ok(());
            }
            let write = || {
                let ledger = Ledger::load(platform, to)?;
                let entries = receipt::entries(&release, &ledger);
                if entries.is_empty() { Ok(()) } else { ledger.add(platform, to, entries) }
            };
            // A release that is live stays green; the next one says less about it.
            if let Err(error) = write() {
                access.context.terminal.warn(format!("the release could not be recorded: {error:#}"));
            }
            Ok(())
        });
        Ok(Plan::of("record", vec![write], "recorded"))
    })
}
