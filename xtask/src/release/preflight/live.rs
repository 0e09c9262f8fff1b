//! What is live.

use anyhow::Result;

use super::super::{Release, verify};
use crate::plan::Access;
use crate::release::ledger::Ledger;
use crate::release::platform::Platform;
use crate::tool::railway::Destination;
use crate::tool::railway::answer::{Deployment, Domains, WERE_LIVE};

/// What is live of a service.
#[derive(Debug, Clone)]
pub struct Live {
    /// The deployment that serves; none where nothing was deployed.
    pub deployment: Option<Deployment>,
    /// The commit that it is of, where that is known.
    pub commit: Option<String>,
    /// Whether it answers as healthy.
    pub is_healthy: bool,
    /// Where it is reached; none where it has no domain.
    pub url: Option<String>,
}

/// Looks at the newest deployment that serves, and asks it for its commit.
pub fn look(
    release: &Release,
    platform: Platform<'_>,
    to: &Destination,
    ledger: &Ledger,
    access: &Access<'_>,
) -> Result<Live> {
    let deployments = platform.deployments(to, &WERE_LIVE, 10)?;
    let deployment = deployments.into_iter().find(|one| one.status == "SUCCESS" || one.status == "SLEEPING");
    let url = match &release.request.url {
        Some(url) => Some(url.clone()),
        None => address(&platform.service(to)?.domains),
    };
    // Before the first build there is no program yet that could ask.
    let can_ask = deployment.is_some() && access.runner.find(&release.request.program.to_string_lossy()).is_some();
    let health = match &url {
        Some(url) if can_ask => verify::health(release, access.runner, url).ok(),
        _ => None,
    };
    let is_healthy = health.is_some();
    let recorded = deployment.as_ref().and_then(|one| ledger.of_deployment(&one.id)).map(|entry| entry.commit.clone());
    Ok(Live { deployment, commit: health.map(|health| health.commit).or(recorded), is_healthy, url })
}

/// Where a service is reached: its own domain before Railway's.
pub fn address(domains: &Domains) -> Option<String> {
    let mut all = domains.custom_domains.iter().chain(&domains.service_domains);
    all.next().map(|domain| format!("https://{}", domain.domain))
}
