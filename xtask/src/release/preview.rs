//! Preview environments: a copy of another environment, for a change that is not merged yet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::platform::{Destination, Platform, UNDER_WAY};
use super::railway::{self, Api};
use super::{Release, preflight};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::plan::{Access, Action, Phase, Plan, Rollout};
use crate::product::{PREVIEW, PRODUCTION};
use crate::tool::railway::answer::{Named, Project};
use crate::tool::railway::{Railway, TokenKind};
use crate::wait::{self, Poll, Waited};

/// What stands for a preview in the declaration, whatever its name.
pub const DECLARED_AS: &str = "preview";
/// How long a copy may take until nothing of it is being deployed any more.
const COPY_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 900 });
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 3_000 });
/// The longest name.
const LONGEST: usize = 32;

/// What is wrong with a preview's name: what is not said of others would remove them.
pub fn check_name(name: &str, source: &str) -> Result<()> {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let problem = if [PRODUCTION, source].contains(&name) {
        format!("{name} is an environment of its own, and no preview")
    } else if name.is_empty() || name.len() > LONGEST || !name.chars().all(is_plain) {
        format!("{name:?} is no name for a preview: a-z, 0-9 and -, at most {LONGEST}")
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Refused, problem).hint("cargo xtask deploy --preview pr-12").into())
}

/// Makes the environment where it is not there, and gives each of its services a domain; both may be half done already.
pub fn make(context: &Context, release: &Arc<Release>, railway: &Railway, source: &str) -> Result<()> {
    let (release, railway, source) = (Arc::clone(release), railway.clone(), source.to_owned());
    let phase = Phase::new("preview", "have a copy of another environment", move |_| {
        let (release, railway, source) = (Arc::clone(&release), railway.clone(), source.clone());
        let name = release.request.environment.clone();
        let what = format!("make {name} as a copy of {source} where it is not there, with a domain for each service");
        let make = Action::check(what, move |access| copy(&release, Api::of(&railway, access), access, &source));
        Ok(Plan::of("preview", vec![make], "there"))
    });
    Rollout::new(vec![phase])?.run(context)
}

fn copy(release: &Release, platform: Api<'_>, access: &Access<'_>, source: &str) -> Result<()> {
    let project = project(release, platform)?;
    let environments = project.environments.clone().into_nodes();
    let name = &release.request.environment;
    let environment = if let Some(there) = railway::find(&environments, name) {
        there.clone()
    } else {
        let source = railway::find(&environments, source).ok_or_else(|| {
            let names: Vec<&str> = environments.iter().map(|one| one.name.as_str()).collect();
            let what = format!("there is no environment {source} to copy; there is {}", names.join(", "));
            Failure::new(Exit::Missing, what).hint("--from NAME")
        })?;
        access.line.state(&format!("copy {}", source.name));
        platform.create_environment(&project.id, name, &source.id)?
    };
    let destinations = destinations(release, &project, &environment)?;
    // Without this mark it could not be removed again; one that is there without it is none of ours.
    let is_marked = platform.shared(&destinations[0], PREVIEW)?.as_deref() == Some(environment.id.as_str());
    let is_new = !environments.iter().any(|one| one.id == environment.id);
    if !is_marked && !is_new {
        let what = format!("there is an environment {name} which is no preview of ours");
        return Err(Failure::new(Exit::Refused, what).hint("--preview with another name").into());
    }
    platform.set_shared(&destinations[0], PREVIEW, &environment.id)?;
    for to in destinations {
        settle(platform, access, &to)?;
        if platform.url(&to)?.is_none() {
            access.line.state(&format!("give {} a domain", to.service_name));
            let domain = platform.create_domain(&to)?;
            access.context.terminal.note(format!("  {}: https://{domain}", to.service_name));
        }
    }
    Ok(())
}

/// Waits until what the copy itself has begun to deploy is done.
fn settle(platform: Api<'_>, access: &Access<'_>, to: &Destination) -> Result<()> {
    let waited = wait::until_every(LOOK, COPY_TIMEOUT, access.cancel, || {
        let under_way = platform.deployments(to, &UNDER_WAY, 5)?;
        Ok(match under_way.first() {
            None => Poll::Ready(()),
            Some(one) => {
                access.line.detail(&format!("{} {}", to.service_name, one.status.to_lowercase()));
                Poll::Pending(format!("{} is {}", one.id, one.status))
            }
        })
    })?;
    match waited {
        Waited::Done(()) => Ok(()),
        Waited::TimedOut(seen) => {
            let within = humantime::format_duration(COPY_TIMEOUT);
            Err(Failure::new(Exit::Unhealthy, format!("the copy was not done within {within}: {seen}")).into())
        }
    }
}

/// Whether the environment is there.
pub fn is_there(context: &Context, release: &Release, railway: &Railway) -> Result<bool> {
    let cancel = CancelToken::on(&context.interrupt);
    let project = project(release, Api::by(railway, context, &cancel))?;
    Ok(railway::find(&project.environments.into_nodes(), &release.request.environment).is_some())
}

/// Removes the environment; that none is there is no failure.
pub fn remove(context: &Context, release: &Release, railway: &Railway) -> Result<u8> {
    let cancel = CancelToken::on(&context.interrupt);
    let platform = Api::by(railway, context, &cancel);
    let project = project(release, platform)?;
    let name = &release.request.environment;
    let environments = project.environments.clone().into_nodes();
    let Some(environment) = railway::find(&environments, name) else {
        context.terminal.note(format!("there is no preview {name}: nothing to remove"));
        return Ok(0);
    };
    let to = &destinations(release, &project, environment)?[0];
    if platform.shared(to, PREVIEW)?.as_deref() != Some(environment.id.as_str()) {
        return Err(Failure::new(Exit::Refused, format!("{name} was not made as a preview, and is not removed"))
            .hint("remove it in the dashboard, if it is to go")
            .into());
    }
    if context.dry_run {
        context.terminal.data(platform.deletion(&environment.id))?;
        return Ok(0);
    }
    if release.request.confirmed.as_deref() != Some(name) {
        let question = format!("This removes {name} with its data.");
        context.confirm_word(&question, name, &format!("--confirm {name}"))?;
    }
    platform.delete_environment(&environment.id)?;
    context.terminal.note(format!("removed {name}"));
    Ok(0)
}

fn project(release: &Release, platform: Api<'_>) -> Result<Project> {
    if platform.railway.kind() == TokenKind::Project {
        let what = "a project token is for one environment: it can neither make nor remove another";
        return Err(Failure::new(Exit::Missing, what)
            .hint("set RAILWAY_API_TOKEN to a token of the workspace, and unset RAILWAY_TOKEN")
            .into());
    }
    let declaration = release.declaration.as_ref().map_err(|findings| preflight::refuse(findings.clone()))?;
    let given = release.request.project.as_deref().or(declaration.project.as_deref());
    let id = given.ok_or_else(railway::no_project).map_err(Failure::from)?;
    let project = platform.project(id)?;
    Ok(project.map_err(|refusal| Failure::from(railway::refused_project(platform.railway.kind(), &refusal)))?)
}

fn destinations(release: &Release, project: &Project, environment: &Named) -> Result<Vec<Destination>> {
    let services = project.services.clone().into_nodes();
    let destination = |name: &str| {
        let service = railway::find(&services, name).ok_or_else(|| {
            Failure::new(Exit::Missing, format!("the project {} has no service {name}", project.name))
        })?;
        Ok(Destination {
            project: project.id.clone(),
            environment: environment.id.clone(),
            service: service.id.clone(),
            service_name: service.name.clone(),
        })
    };
    release.declared()?.services.iter().map(|service| destination(&service.name)).collect()
}
