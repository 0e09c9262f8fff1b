//! Where a release goes: a project, an environment and its services, by their ids.

use anyhow::Result;

use super::{Api, find};
use crate::failure::Exit;
use crate::release::declaration::Declaration;
use crate::release::platform::Place;
use crate::release::preflight::Finding;
use crate::tool::railway::answer::Named;
use crate::tool::railway::{Destination, Refusal, TokenKind};

/// Resolves names to ids; the findings say what cannot be.
pub fn resolve(
    platform: Api<'_>,
    declaration: &Declaration,
    project: Option<&str>,
    environment: &str,
) -> Result<Result<Place, Vec<Finding>>> {
    let id = match project_id(platform, declaration, project, environment)? {
        Ok(id) => id,
        Err(finding) => return Ok(Err(vec![finding])),
    };
    let project = match platform.project(&id)? {
        Ok(project) => project,
        Err(refusal) => return Ok(Err(vec![refused_project(platform.railway.kind(), &refusal)])),
    };
    let (environments, services) = (project.environments.into_nodes(), project.services.into_nodes());
    let mut findings = Vec::new();
    let found = find(&environments, environment);
    if found.is_none() {
        findings.push(missing("environment", environment, &project.name, &environments));
    }
    let mut destination = |name: &str| {
        let service = find(&services, name);
        if service.is_none() {
            findings.push(missing("service", name, &project.name, &services));
        }
        Some(Destination {
            project: project.id.clone(),
            environment: found?.id.clone(),
            service: service?.id.clone(),
            service_name: service?.name.clone(),
        })
    };
    let targets: Vec<Option<Destination>> =
        declaration.services.iter().map(|service| destination(&service.name)).collect();
    // Without it everything works but a backup, which says so itself.
    let database = declaration.database.as_deref().and_then(|name| {
        let service = find(&services, name)?;
        Some(Destination {
            project: project.id.clone(),
            environment: found?.id.clone(),
            service: service.id.clone(),
            service_name: service.name.clone(),
        })
    });
    if !findings.is_empty() {
        return Ok(Err(findings));
    }
    let environment = found.map(|found| found.name.clone()).unwrap_or_default();
    Ok(Ok(Place { project: project.name, environment, services: targets.into_iter().flatten().collect(), database }))
}

fn missing(what: &str, name: &str, project: &str, all: &[Named]) -> Finding {
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Finding::new(Exit::Missing, format!("the project {project} has no {what} {name}; it has {names}"))
}

/// The project's id: a project token's own, else the one that is given.
fn project_id(
    platform: Api<'_>,
    declaration: &Declaration,
    given: Option<&str>,
    environment: &str,
) -> Result<Result<String, Finding>> {
    match platform.railway.kind() {
        TokenKind::Project => match platform.token_scope()? {
            Ok(scope) => {
                let own = scope.environment.name.unwrap_or_default();
                if own != environment && scope.environment_id != environment {
                    let what = format!("RAILWAY_TOKEN is for the environment {own}, and not for {environment}");
                    return Ok(Err(Finding::new(Exit::Missing, what)
                        .hint(format!("--environment {own}, or a token of {environment}"))));
                }
                let wanted = given.or(declaration.project.as_deref());
                if wanted.is_some_and(|wanted| wanted != scope.project_id) {
                    let what = "RAILWAY_TOKEN is for another project than the one that is asked for";
                    return Ok(Err(Finding::new(Exit::Missing, what)));
                }
                Ok(Ok(scope.project_id))
            }
            Err(refusal) => Ok(Err(refused_token(&refusal))),
        },
        TokenKind::Account | TokenKind::Login => match given.or(declaration.project.as_deref()) {
            Some(id) => Ok(Ok(id.to_owned())),
            None => Ok(Err(no_project())),
        },
    }
}

/// The finding of a token that is good for several projects, where none is named.
pub fn no_project() -> Finding {
    Finding::new(Exit::Missing, "no project is named")
        .hint("--project ID, or \"project\" in infra/railway.json, or a project token in RAILWAY_TOKEN")
}

/// The finding of a token that may not see the project.
pub fn refused_project(kind: TokenKind, refusal: &Refusal) -> Finding {
    let what = format!("Railway does not show the project: {}", refusal.text());
    let finding = Finding::new(Exit::Missing, what);
    match kind {
        TokenKind::Project => finding.hint("make the token in RAILWAY_TOKEN anew, in the project's settings"),
        TokenKind::Account => {
            finding.hint("RAILWAY_API_TOKEN has to be of an account or a workspace that has it, and still good")
        }
        TokenKind::Login => finding.hint("railway login, or a project token in RAILWAY_TOKEN"),
    }
}

fn refused_token(refusal: &Refusal) -> Finding {
    Finding::new(Exit::Missing, format!("Railway does not take RAILWAY_TOKEN: {}", refusal.text()))
        .hint("a project token goes into RAILWAY_TOKEN; one of an account or a workspace into RAILWAY_API_TOKEN")
        .hint("a token that was deleted or has expired is made anew in the project's settings")
}
