//! What is checked out becomes what answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::Deploy;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::release::{self, Receipt, Release, Request, github, preview, rehearsal};
use crate::runner;
use crate::stack::detect;
use crate::stack::host::{self, Host};
use crate::task::build_prod;
use crate::terminal::{GOOD, STRONG};
use crate::tool::docker;

/// Deploys, and comes back with 0 only when this commit answers and works.
pub fn run(context: &Context, arguments: &Deploy) -> Result<u8> {
    let environment = match &arguments.preview.name {
        Some(name) => name,
        None if arguments.preview.rehearse => rehearsal::ENVIRONMENT,
        None => &arguments.to.environment,
    };
    if let Some(name) = &arguments.preview.name {
        preview::check_name(name, &arguments.preview.from)?;
    }
    let request = Request {
        declared_as: arguments.preview.name.as_ref().map_or(environment, |_| preview::DECLARED_AS).to_owned(),
        confirmed: arguments.confirm.confirm.clone(),
        url: arguments.url.as_deref().map(|url| url.trim_end_matches('/').to_owned()),
        allow_dirty: arguments.overrides.allow_dirty,
        again: arguments.overrides.again,
        older: arguments.overrides.older,
        without_backup: arguments.overrides.without_backup,
        lock_timeout: Duration::from_secs(arguments.lock_timeout),
        timeout: Duration::from_secs(arguments.timeout),
        watch: arguments.watch,
        ..Request::of(environment, arguments.to.project.clone(), host::binary()?)
    };
    let is_rehearsed = arguments.preview.rehearse;
    if is_rehearsed {
        detect::look_for_docker(&*context.runner)?;
        if arguments.preview.remove {
            return remove_rehearsal(context, &request);
        }
    }
    let release = if is_rehearsed { Release::rehearse(context, request) } else { Release::of(context, request) };
    let mut release = Arc::new(release?);
    if arguments.unlock {
        return release::unlock(context, &release);
    }
    if arguments.preview.remove {
        return preview::remove(context, &release, &release::railway(context)?);
    }
    // It asks the service for its health and walks through it.
    Host::open(context).build()?.print_or_run(context)?;
    let outcome = ship(context, arguments, &mut release);
    if context.dry_run {
        return outcome.map(|()| 0);
    }
    // What came of it is kept also where it failed.
    let receipt = Receipt::of(&release);
    if let Some(Err(error)) = arguments.receipt.as_ref().map(|path| keep(path, &receipt)) {
        context.terminal.warn(format!("{error:#}"));
    }
    github::tell(context, &receipt, outcome.as_ref().err());
    outcome?;
    if arguments.output.json {
        context.terminal.json(&receipt)?;
        return Ok(0);
    }
    let commit = release.commit();
    context.terminal.data(format!(
        "{GOOD}✓{GOOD:#} {STRONG}{}{STRONG:#} answers in {}, {} s after its beginning",
        commit.id,
        environment,
        receipt.total()
    ))?;
    for url in receipt.urls() {
        context.terminal.data(format!("  {url}"))?;
    }
    Ok(0)
}

fn remove_rehearsal(context: &Context, request: &Request) -> Result<u8> {
    let was_there = rehearsal::remove(context, request)?;
    context.terminal.note(match (was_there, context.dry_run) {
        (false, _) => "nothing was rehearsed: there is nothing to remove",
        (true, true) => "nothing was removed",
        (true, false) => "removed the rehearsal with its data",
    });
    Ok(0)
}

/// Makes what the release needs, and deploys.
fn ship(context: &Context, arguments: &Deploy, release: &mut Arc<Release>) -> Result<()> {
    if arguments.preview.name.is_some() {
        let railway = release::railway(context)?;
        preview::make(context, release, &railway, &arguments.preview.from)?;
        if context.dry_run && !preview::is_there(context, release, &railway)? {
            context.terminal.note("the rest can be told once the preview is there");
            return Ok(());
        }
    }
    if let Some(repository) = &arguments.image {
        // Preflight first: an image takes a while, and is pushed.
        release::preflight(context, release)?;
        *release = Arc::new(with_image(context, release, repository)?);
    }
    release::deploy(context, release)
}

/// The release of the image by its digest, once it was built, inspected, booted and pushed.
fn with_image(context: &Context, release: &Release, repository: &str) -> Result<Release> {
    let name = repository.rsplit('/').next().unwrap_or_default();
    if !repository.contains('/') || name.contains([':', '@']) || name.is_empty() {
        let what = format!("{repository} is not REGISTRY/NAME: the tag is the commit's");
        return Err(Failure::new(Exit::Missing, what).hint("--image ghcr.io/acme/api").into());
    }
    let tag = format!("{repository}:{}", release.commit().id);
    build_prod::push(context, &tag)?;
    let digest = if context.dry_run {
        format!("{repository}@<digest>")
    } else {
        let said = runner::read_well(&*context.runner, &docker::digests(&tag))?;
        docker::parse_digest(&said, repository)
            .ok_or_else(|| Failure::new(Exit::Failed, format!("the registry has no digest for {tag}")))?
    };
    let with_image = Release::of(context, Request { image: Some(digest), ..release.request.clone() })?;
    if with_image.commit().id != release.commit().id {
        return Err(Failure::new(Exit::Refused, "what is checked out has changed while the image was built").into());
    }
    Ok(with_image)
}

fn keep(path: &Path, receipt: &Receipt) -> Result<()> {
    let text = serde_json::to_string_pretty(receipt)?;
    file::write(path, format!("{text}\n").as_bytes(), 0o644).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
