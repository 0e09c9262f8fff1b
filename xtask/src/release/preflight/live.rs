//! What is live.

use anyhow::Result;

use super::super::{Release, verify};
use crate::plan::Access;
use crate::release::ledger::Ledger;
use crate::release::platform::{Deployment, Destination, Platform, SERVING, WERE_LIVE};
use crate::tool::backend::Health;

/// How often one that does not answer is asked before that is believed.
const TRIES: usize = 3;

/// What is live of a service.
#[derive(Debug, Clone)]
pub struct Live {
    /// The deployment that serves; none where nothing does.
    pub deployment: Option<Deployment>,
    /// The newest that has served at all, such as one that crashed since.
    pub last: Option<Deployment>,
    /// The commit of it, where that is known.
    pub commit: Option<String>,
    /// Whether it answers as healthy.
    pub is_healthy: bool,
    /// Where it is reached; none where it has no domain.
    pub url: Option<String>,
}

/// Looks at the newest deployment that serves, and asks it for its commit.
pub fn look(
    release: &Release,
    platform: &dyn Platform,
    to: &Destination,
    ledger: &Ledger,
    access: &Access<'_>,
) -> Result<Live> {
    let deployments = platform.deployments(to, &WERE_LIVE, 10)?;
    let deployment = deployments.iter().find(|one| SERVING.contains(&one.status.as_str())).cloned();
    let last = deployment.clone().or_else(|| deployments.into_iter().next());
    let url = match &release.request.url {
        Some(url) => Some(url.clone()),
        None => platform.url(to)?,
    };
    let health = match &url {
        Some(url) if deployment.is_some() => asked(release, access, url),
        _ => None,
    };
    let is_healthy = health.is_some();
    let recorded = last.as_ref().and_then(|one| ledger.of_deployment(&one.id)).map(|entry| entry.commit.clone());
    Ok(Live { deployment, last, commit: health.map(|health| health.commit).or(recorded), is_healthy, url })
}

fn asked(release: &Release, access: &Access<'_>, url: &str) -> Option<Health> {
    // Before the first build there is no program yet that could ask.
    access.runner.find(&release.request.program.to_string_lossy())?;
    (0..TRIES).find_map(|_| verify::health(release, access.runner, url).ok())
}
