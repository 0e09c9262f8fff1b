//! `rollback`: an older deployment serves again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::ledger::{Entry, Ledger, UNKNOWN, Verdict};
use super::platform::{Deployment, Destination, Order, Place, Platform, SERVING, WERE_LIVE};
use super::preflight::{self, Found};
use super::put_back::roll_back_to;
use super::verify::{self, Expected};
use super::{Release, lock, phases};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::plan::{Access, Action, Phase, Plan, Rollout, Value};

/// How long the older version may take to answer.
const TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 300 });

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Rollback {
    /// The deployment; the newest before the one that serves, if none is named.
    pub to: Option<String>,
    /// Which service, where several are declared.
    pub service: Option<String>,
    /// Go back although nobody knows whether that version can live with the schema.
    pub without_check: bool,
}

/// A deployment that was live once.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// Its id.
    pub deployment: String,
    /// When it was begun.
    pub created_at: String,
    /// Its commit, where that was recorded.
    pub commit: Option<String>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// Whether it serves now.
    pub is_live: bool,
    /// Whether Railway still keeps its image.
    pub can_rollback: bool,
}

/// The deployments of a service that were live once, the newest first.
fn candidates(platform: &dyn Platform, to: &Destination, ledger: &Ledger) -> Result<Vec<(Deployment, Candidate)>> {
    let all = platform.deployments(to, &WERE_LIVE, 20)?;
    let live = all.iter().find(|one| SERVING.contains(&one.status.as_str())).map(|one| one.id.clone());
    let candidates = all.into_iter().map(|one| {
        let entry = ledger.of_deployment(&one.id);
        let candidate = Candidate {
            deployment: one.id.clone(),
            created_at: one.created_at.clone(),
            commit: entry.map(|entry| entry.commit.clone()),
            subject: entry.map(|entry| entry.subject.clone()),
            is_live: Some(&one.id) == live.as_ref(),
            can_rollback: one.can_rollback,
        };
        (one, candidate)
    });
    Ok(candidates.collect())
}

/// Chooses where to go back to, or says why that is not possible.
fn choose(
    candidates: &[(Deployment, Candidate)],
    failed: &[Deployment],
    ledger: &Ledger,
    asked: &Rollback,
    to: &Destination,
    flags: &str,
) -> Result<(Deployment, Candidate)> {
    let live = candidates.iter().find(|(_, candidate)| candidate.is_live);
    let is_live_commit = |candidate: &Candidate| {
        let commit = live.and_then(|(_, live)| live.commit.as_ref());
        commit.is_some() && candidate.commit.as_ref() == commit
    };
    let place = match &asked.to {
        Some(id) => candidates.iter().position(|(one, candidate)| {
            one.id == *id || candidate.commit.as_ref().is_some_and(|commit| commit == id && candidate.can_rollback)
        }),
        None => candidates.iter().position(|(one, candidate)| {
            let failed = candidate.commit.as_ref().is_some_and(|commit| ledger.was_left(commit));
            candidate.can_rollback
                && !candidate.is_live
                && !is_live_commit(candidate)
                && !failed
                && one.status != "CRASHED"
        }),
    };
    let list = format!("cargo xtask rollback {flags} --list");
    let place = place.filter(|place| candidates[*place].1.can_rollback || candidates[*place].1.is_live);
    let Some(place) = place else {
        let what = match &asked.to {
            Some(id) => format!("{} cannot go back to {id}: no image of it is kept", to.service_name),
            None => format!("there is no deployment that {} can go back to", to.service_name),
        };
        return Err(Failure::new(Exit::Failed, what).hint(list).hint("check out the commit, and deploy that").into());
    };
    let (deployment, candidate) = &candidates[place];
    if candidate.is_live {
        return Err(Failure::new(Exit::Refused, format!("{} serves already", deployment.id)).hint(list).into());
    }
    if !asked.without_check {
        let failed = failed.iter().filter(|one| one.created_at > deployment.created_at);
        let newer: Vec<&str> = candidates[..place].iter().map(|(one, _)| one.id.as_str()).collect();
        let newer = newer.into_iter().chain(failed.map(|one| one.id.as_str())).collect::<Vec<_>>();
        can_live_with_the_schema(&newer, deployment, ledger)?;
    }
    Ok((deployment.clone(), candidate.clone()))
}

/// Fails where a migration since rules out to go back, or where nobody knows.
fn can_live_with_the_schema(newer: &[&str], deployment: &Deployment, ledger: &Ledger) -> Result<()> {
    let entry = ledger.of_deployment(&deployment.id);
    let are_recorded = newer.iter().all(|id| ledger.of_deployment(id).is_some());
    let since = entry.and_then(|entry| ledger.incompatible_since(entry)).filter(|_| are_recorded);
    match since {
        None => {
            let what = format!("nobody recorded which migrations came after {}", deployment.id);
            Err(Failure::new(Exit::Refused, what)
                .hint("--without-check, if you know that it can live with the schema")
                .into())
        }
        Some(versions) if !versions.is_empty() => {
            let versions: Vec<String> = versions.iter().map(u64::to_string).collect();
            let what = format!("{} cannot go on with migration {}", deployment.id, versions.join(", "));
            Err(Failure::new(Exit::Refused, what)
                .hint("deploy a fix instead")
                .hint("or restore the backup that was made before (docs/deployment.md), then --without-check")
                .into())
        }
        Some(_) => Ok(()),
    }
}

/// The deployments of each service that were live once.
pub fn list(context: &Context, release: &Arc<Release>) -> Result<Vec<(String, Vec<Candidate>)>> {
    let cancel = CancelToken::on(&context.interrupt);
    let platform = &*release.by(context, &cancel);
    let target = target_of(release, platform)?;
    let ledger = Ledger::load(platform, target.any())?;
    let of = |to: &Destination| {
        let found = candidates(platform, to, &ledger)?.into_iter().map(|(_, candidate)| candidate);
        Ok((to.service_name.clone(), found.filter(|one| one.can_rollback || one.is_live).collect()))
    };
    target.services.iter().map(of).collect()
}

/// Where the release goes, or everything that keeps it from being known.
pub(super) fn target_of(release: &Release, platform: &dyn Platform) -> Result<Place> {
    let declaration = release.declaration.as_ref().map_err(|findings| preflight::refuse(findings.clone()))?;
    let request = &release.request;
    let target = platform.resolve(declaration, request.project.as_deref(), &request.environment)?;
    Ok(target.map_err(preflight::refuse)?)
}

/// Goes back, sees that the older version answers, and records it; gives back the deployment that serves.
pub fn roll_back(context: &Context, release: &Arc<Release>, asked: &Rollback) -> Result<Option<String>> {
    let (chosen, serving) = (Value::new("deployment"), Value::new("deployment"));
    let mut all = release.target.surroundings();
    all.push(choose_phase(release, asked, &chosen));
    all.extend(phases::confirm(release));
    let (again, asked) = (chosen.clone(), asked.clone());
    all.push(phases::take_lock(release, move |release, access| {
        // Somebody else may have released while the lock was waited for.
        let (before, now) = (again.get()?, look(release, access, &asked)?);
        if before.deployment.id == now.deployment.id && before.live == now.live {
            return Ok(());
        }
        let what = "somebody else has released meanwhile: what would be gone back to is not what was shown";
        Err(Failure::new(Exit::Locked, what).hint("cargo xtask rollback, again").into())
    }));
    all.push(back_phase(release, &chosen, &serving));
    Rollout::new(all)?.run(context)?;
    Ok(serving.known().cloned())
}

/// What was chosen.
struct Chosen {
    /// The place of the service.
    index: usize,
    deployment: Deployment,
    candidate: Candidate,
    /// The deployment that serves before.
    live: Option<String>,
    url: String,
}

fn choose_phase(release: &Arc<Release>, asked: &Rollback, chosen: &Value<Chosen>) -> Phase {
    let (release, asked, chosen) = (Arc::clone(release), asked.clone(), chosen.clone());
    Phase::new("choose", "find a deployment that can be gone back to", move |_| {
        let (release, asked, chosen) = (Arc::clone(&release), asked.clone(), chosen.clone());
        let choose = Action::check("look at what is kept, and at the migrations since", move |access| {
            let found = look(&release, access, &asked)?;
            access.context.terminal.note(format!(
                "{} goes back to {} ({}) of {}",
                release.found()?.target.services[found.index].service_name,
                found.candidate.commit.as_deref().unwrap_or("an unknown commit"),
                found.deployment.id,
                found.deployment.created_at
            ));
            chosen.set(found);
            Ok(())
        });
        Ok(Plan::of("choose", vec![choose], "found"))
    })
    .only_reads()
}

fn look(release: &Release, access: &Access<'_>, asked: &Rollback) -> Result<Chosen> {
    let platform = &*release.platform(access);
    let target = target_of(release, platform)?;
    let ledger = Ledger::load(platform, target.any())?;
    let index = service(&target, asked.service.as_deref())?;
    let to = &target.services[index];
    let all = candidates(platform, to, &ledger)?;
    // One that failed may have migrated before.
    let failed = platform.deployments(to, &["FAILED"], 20)?;
    let (deployment, candidate) = choose(&all, &failed, &ledger, asked, to, &release.flags())?;
    let url = match &release.request.url {
        Some(url) => Some(url.clone()),
        None => platform.url(to)?,
    };
    let url = url.ok_or_else(|| {
        Failure::new(Exit::Missing, format!("{} has no domain, so that nobody can ask what serves", to.service_name))
            .hint("--url URL, if it is reached by another address")
    })?;
    let live = all.iter().find(|(_, one)| one.is_live).map(|(one, _)| one.id.clone());
    release.find(Found::only(target));
    Ok(Chosen { index, deployment, candidate, live, url })
}

/// The place of the service that is named, or of the only one.
pub(super) fn service(target: &Place, wanted: Option<&str>) -> Result<usize> {
    let names: Vec<&str> = target.services.iter().map(|to| to.service_name.as_str()).collect();
    match wanted {
        Some(name) => names.iter().position(|one| *one == name).ok_or_else(|| {
            Failure::new(Exit::Missing, format!("no service {name} is declared; there is {}", names.join(", "))).into()
        }),
        None if names.len() == 1 => Ok(0),
        None => Err(Failure::new(Exit::Missing, format!("which service is meant: {}?", names.join(", ")))
            .hint("--service NAME")
            .into()),
    }
}

fn back_phase(release: &Arc<Release>, chosen: &Value<Chosen>, serving: &Value<String>) -> Phase {
    let (release, chosen, serving) = (Arc::clone(release), chosen.clone(), serving.clone());
    Phase::new("roll-back", "have it serve again, and see that it answers", move |_| {
        let order = |chosen: &Chosen| release.target.commands(&Order::RollBack(&chosen.deployment.id));
        let commands = chosen.known().map(order).unwrap_or_default();
        let (chosen, serving) = (chosen.clone(), serving.clone());
        let back = phases::timed(
            &release,
            "roll back",
            "roll back, wait until it serves, ask it for its commit, and walk through it",
            commands,
            move |release, access| {
                serving.set(go_back(release, access, chosen.get()?)?);
                Ok(())
            },
        );
        Ok(Plan::of("roll back", vec![back], "it serves, and it works"))
    })
}

fn go_back(release: &Release, access: &Access<'_>, chosen: &Chosen) -> Result<String> {
    let platform = &*release.platform(access);
    let found = release.found()?;
    let to = &found.target.services[chosen.index];
    let keep = || release.lock.keep(platform, to);
    release.lock.confirm(platform, to)?;
    if let Some(finding) = preflight::under_way(platform, to)? {
        return Err(Failure::from(finding).into());
    }
    let left = verify::health(release, access.runner, &chosen.url).ok().map(|health| health.commit);
    // Recorded before it is verified: it goes on at Railway, whatever comes of us.
    let recorded = |id: &str| {
        if let Err(error) = record(release, platform, to, chosen, id) {
            access.context.terminal.warn(format!("the rollback could not be recorded: {error:#}"));
        }
    };
    let id = roll_back_to(platform, access, to, &chosen.deployment, &keep, &recorded)?;
    access.line.state("wait until it answers");
    let expected = match (&chosen.candidate.commit, left) {
        (Some(commit), _) if commit != UNKNOWN => Expected::Commit(commit.clone()),
        (_, Some(left)) => Expected::AnotherThan(left),
        (_, None) => Expected::Healthy,
    };
    verify::answers_as(release, access, &chosen.url, &expected, TIMEOUT, &keep)
        .and_then(|()| access.runner.run(&release.program().smoke(&chosen.url, false), access.cancel, &|_, _| ()))
        .map_err(|error| match error.downcast::<Failure>() {
            Ok(failure) => failure.details([format!("the deployment {id} serves now")]).into(),
            Err(error) => anyhow!("the deployment {id} serves now: {error:#}"),
        })?;
    Ok(id)
}

/// Records that the older version serves, and that the newer one was left.
fn record(release: &Release, platform: &dyn Platform, to: &Destination, chosen: &Chosen, id: &str) -> Result<()> {
    let mut ledger = Ledger::load(platform, to)?;
    let before = ledger.of_deployment(&chosen.deployment.id).cloned();
    if let Some(live) = &chosen.live {
        ledger.leave(live);
    }
    let entry = Entry {
        at: lock::now(),
        owner: release.owner.name.clone(),
        run: release.owner.run.clone(),
        commit: chosen.candidate.commit.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        subject: chosen.candidate.subject.clone().unwrap_or_default(),
        deployments: [(to.service_name.clone(), id.to_owned())].into(),
        migration: before.as_ref().and_then(|entry| entry.migration),
        brought: Vec::new(),
        incompatible: Vec::new(),
        migrations_known: before.is_some(),
        backup: None,
        seconds: release.seconds().clone(),
        verdict: Verdict::RolledBack,
    };
    ledger.add(platform, to, vec![entry])
}
