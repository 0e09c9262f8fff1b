//! `rollback`: an older deployment serves again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::ledger::{Entry, Ledger, UNKNOWN, Verdict};
use super::platform::Platform;
use super::preflight::{self, Brought, Found};
use super::put_back::roll_back_to;
use super::target::{self, Target};
use super::{Release, lock, verify};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::plan::{Access, Action, Phase, Plan, Rollout, Value};
use crate::tool::railway::Destination;
use crate::tool::railway::answer::{Deployment, UNDER_WAY, WERE_LIVE};
use crate::tool::railway::document;

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

/// A deployment that can be gone back to.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// Its id.
    pub deployment: String,
    /// When it was begun.
    pub created_at: String,
    /// Its commit, where that was written down.
    pub commit: Option<String>,
    /// The first line of its message.
    pub subject: Option<String>,
    /// Whether it serves now.
    pub is_live: bool,
}

/// The deployments that a service can go back to, the newest first.
pub fn candidates(platform: Platform<'_>, to: &Destination, ledger: &Ledger) -> Result<Vec<(Deployment, Candidate)>> {
    let all = platform.deployments(to, &WERE_LIVE, 20)?;
    let live = all.iter().find(|one| one.status == "SUCCESS").map(|one| one.id.clone());
    let candidates = all.into_iter().filter(|one| one.can_rollback || Some(&one.id) == live.as_ref()).map(|one| {
        let entry = ledger.of_deployment(&one.id);
        let candidate = Candidate {
            deployment: one.id.clone(),
            created_at: one.created_at.clone(),
            commit: entry.map(|entry| entry.commit.clone()),
            subject: entry.map(|entry| entry.subject.clone()),
            is_live: Some(&one.id) == live.as_ref(),
        };
        (one, candidate)
    });
    Ok(candidates.collect())
}

/// Chooses where to go back to, and says why that is not possible.
pub fn choose(
    candidates: &[(Deployment, Candidate)],
    ledger: &Ledger,
    asked: &Rollback,
    service: &str,
) -> Result<(Deployment, Candidate)> {
    let chosen = match &asked.to {
        Some(id) => candidates.iter().find(|(one, candidate)| {
            one.id == *id || (id.len() >= 7 && candidate.commit.as_deref().is_some_and(|commit| commit == id))
        }),
        None => {
            candidates.iter().find(|(_, candidate)| !candidate.is_live && !was_put_back(ledger, &candidate.deployment))
        }
    };
    let list = "cargo xtask rollback --list";
    let Some((deployment, candidate)) = chosen else {
        let what = match &asked.to {
            Some(id) => format!("{service} cannot go back to {id}: it is no deployment that Railway still keeps"),
            None => format!("there is no deployment that {service} can go back to"),
        };
        return Err(Failure::new(Exit::Failed, what).hint(list).hint("check out the commit, and deploy that").into());
    };
    if candidate.is_live {
        return Err(Failure::new(Exit::Refused, format!("{} serves already", deployment.id)).hint(list).into());
    }
    if !asked.without_check {
        let since =
            ledger.of_deployment(&deployment.id).map(|entry| ledger.incompatible_since(entry).unwrap_or_default());
        match since {
            None => {
                let what = format!("nobody wrote down which migrations came after {}", deployment.id);
                return Err(Failure::new(Exit::Refused, what)
                    .hint("--without-check, if you know that it can live with the schema")
                    .into());
            }
            Some(versions) if !versions.is_empty() => {
                let versions: Vec<String> = versions.iter().map(u64::to_string).collect();
                let what = format!("{} cannot go on with migration {}", deployment.id, versions.join(", "));
                return Err(Failure::new(Exit::Refused, what)
                    .hint("deploy a fix instead")
                    .hint("or restore the backup that was made before (docs/deployment.md), then --without-check")
                    .into());
            }
            Some(_) => {}
        }
    }
    Ok((deployment.clone(), candidate.clone()))
}

fn was_put_back(ledger: &Ledger, deployment: &str) -> bool {
    let verdict = ledger.of_deployment(deployment).map(|entry| entry.verdict);
    matches!(verdict, Some(Verdict::PutBack | Verdict::Failed | Verdict::Broken))
}

/// The deployments of each service that can be gone back to.
pub fn list(context: &Context, release: &Arc<Release>) -> Result<Vec<(String, Vec<Candidate>)>> {
    let cancel = CancelToken::on(&context.interrupt);
    let platform = release.by(context, &cancel);
    let (target, ledger) = look(release, platform)?;
    let of = |to: &Destination| {
        let found = candidates(platform, to, &ledger)?;
        Ok((to.service_name.clone(), found.into_iter().map(|(_, candidate)| candidate).collect()))
    };
    target.services.iter().map(of).collect()
}

pub(super) fn look(release: &Release, platform: Platform<'_>) -> Result<(Target, Ledger)> {
    let declaration = release.declaration.as_ref().map_err(|findings| preflight::refuse(findings.clone()))?;
    let request = &release.request;
    let target = target::resolve(platform, declaration, request.project.as_deref(), &request.environment)?
        .map_err(preflight::refuse)?;
    let ledger = Ledger::load(platform, target.any())?;
    Ok((target, ledger))
}

/// Goes back, sees that the older version answers, and writes it down; gives back the deployment that serves.
pub fn roll_back(context: &Context, release: &Arc<Release>, asked: &Rollback) -> Result<Option<String>> {
    let (chosen, serving) = (Value::new("deployment"), Value::new("deployment"));
    let mut phases = vec![choose_phase(release, asked, &chosen)];
    phases.extend(super::phases::confirm(release));
    phases.extend([super::phases::take_lock(release), back_phase(release, &chosen, &serving)]);
    Rollout::new(phases)?.run(context)?;
    Ok(serving.known().cloned())
}

/// What was chosen: the place of the service, and the deployment.
type Chosen = (usize, Deployment, Candidate);

fn choose_phase(release: &Arc<Release>, asked: &Rollback, chosen: &Value<Chosen>) -> Phase {
    let (release, asked, chosen) = (Arc::clone(release), asked.clone(), chosen.clone());
    Phase::new("choose", "find a deployment that can be gone back to", move |_| {
        let (release, asked, chosen) = (Arc::clone(&release), asked.clone(), chosen.clone());
        let choose = Action::check("look at what Railway keeps, and at the migrations since", move |access| {
            let platform = release.platform(access);
            let (target, ledger) = look(&release, platform)?;
            let index = service(&target, asked.service.as_deref())?;
            let to = &target.services[index];
            let (deployment, candidate) =
                choose(&candidates(platform, to, &ledger)?, &ledger, &asked, &to.service_name)?;
            access.context.terminal.note(format!(
                "{} goes back to {} ({}) of {}",
                to.service_name,
                candidate.commit.as_deref().unwrap_or("an unknown commit"),
                deployment.id,
                deployment.created_at
            ));
            chosen.set((index, deployment, candidate));
            release.found.set(Found { target, changes: vec![], live: vec![], brought: Brought::default() });
            Ok(())
        });
        Ok(Plan::of("choose", vec![choose], "found"))
    })
    .only_reads()
}

fn service(target: &Target, wanted: Option<&str>) -> Result<usize> {
    let names: Vec<&str> = target.services.iter().map(|to| to.service_name.as_str()).collect();
    match wanted {
        Some(name) => names.iter().position(|one| *one == name).ok_or_else(|| {
            Failure::new(Exit::Missing, format!("no service {name} is declared; there is {}", names.join(", "))).into()
        }),
        None if names.len() == 1 => Ok(0),
        None => Err(Failure::new(Exit::Missing, format!("which service is to go back: {}?", names.join(", ")))
            .hint("--service NAME")
            .into()),
    }
}

fn back_phase(release: &Arc<Release>, chosen: &Value<Chosen>, serving: &Value<String>) -> Phase {
    let (release, chosen, serving) = (Arc::clone(release), chosen.clone(), serving.clone());
    Phase::new("roll-back", "have it serve again, and see that it answers", move |_| {
        let command = chosen.known().map(|(_, deployment, _)| {
            release.railway.api(&document::ROLLBACK, &serde_json::json!({ "id": deployment.id }))
        });
        let (chosen, serving) = (chosen.clone(), serving.clone());
        let back = super::phases::timed(
            &release,
            "roll back",
            "roll back, wait until it serves, and ask it for its commit",
            command.into_iter().collect(),
            move |release, access| {
                serving.set(go_back(release, access, chosen.get()?)?);
                Ok(())
            },
        );
        Ok(Plan::of("roll back", vec![back], "it serves"))
    })
}

fn go_back(release: &Release, access: &Access<'_>, (index, deployment, candidate): &Chosen) -> Result<String> {
    let platform = release.platform(access);
    let found = release.found.get()?;
    let to = &found.target.services[*index];
    let keep = || release.lock.keep(platform, to);
    release.lock.confirm(platform, to)?;
    if let Some(finding) = preflight::under_way(&platform.deployments(to, &UNDER_WAY, 5)?, to) {
        return Err(Failure::from(finding).into());
    }
    let id = roll_back_to(platform, access, to, deployment, &keep)?;
    let url = match &release.request.url {
        Some(url) => Some(url.clone()),
        None => preflight::address(&platform.service(to)?.domains),
    };
    if let Some(url) = url {
        access.line.state("wait until it answers");
        verify::answers_as(release, access, &url, candidate.commit.as_deref(), TIMEOUT, &keep)?;
    }
    let ledger = Ledger::load(platform, to)?;
    let before = ledger.of_deployment(&deployment.id);
    let entry = Entry {
        at: lock::now(),
        owner: release.owner.name.clone(),
        run: release.owner.run.clone(),
        commit: candidate.commit.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        subject: candidate.subject.clone().unwrap_or_default(),
        deployments: [(to.service_name.clone(), id.clone())].into(),
        migration: before.and_then(|entry| entry.migration),
        incompatible: Vec::new(),
        backup: None,
        seconds: release.seconds().clone(),
        verdict: Verdict::RolledBack,
    };
    if let Err(error) = ledger.add(platform, to, vec![entry]) {
        access.context.terminal.warn(format!("the rollback could not be written down: {error:#}"));
    }
    Ok(id)
}
