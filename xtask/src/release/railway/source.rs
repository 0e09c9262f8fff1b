//! Shipping an image that was built, inspected, booted and pushed here: the service's source is set to its digest.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::Api;
use crate::plan::Access;
use crate::release::ship::find_lost;
use crate::release::{Release, settings};
use crate::runner;
use crate::tool::railway::answer::Deployed;
use crate::tool::railway::{self, Refusal, document};

/// The settings that make a service run the image.
pub fn patch(service: &str, image: &str) -> Value {
    json!({ "services": { service: { "source": { "image": image } } } })
}

/// Sets the source and starts a deployment of it; gives back the deployment's id.
pub fn deploy(
    api: Api<'_>,
    release: &Release,
    access: &Access<'_>,
    index: usize,
    name: &str,
    known: &[String],
    image: &str,
) -> Result<String> {
    let found = release.found()?;
    let to = &found.target.services[index];
    access.line.state(&format!("have {name} run {image}"));
    settings::stage_and_apply(release, access, to, &patch(&to.service, image))?;
    // From here on a deployment may have begun, whatever becomes of us.
    release.uploading().insert(name.to_owned(), known.to_vec());
    let output = api.deploy_source(to)?;
    let refusal = match railway::parse::<Deployed>(&output) {
        Ok(deployed) => return Ok(deployed.deployment),
        Err(refusal) => refusal,
    };
    if matches!(refusal, Refusal::Away(_))
        && let Some(id) = find_lost(release, &api, to, known)?
    {
        let what = format!("the order to deploy was not answered, but has begun the deployment {id}");
        access.context.terminal.warn(what);
        return Ok(id);
    }
    release.uploading().remove(name);
    let step = api.railway.api(&document::DEPLOY, &json!({ "s": to.service, "e": to.environment }));
    Err(anyhow!(runner::failure(&step, output.code, &output.lines())))
}
