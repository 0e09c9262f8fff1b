//! A new version: its image, built from what would be uploaded, and what the edge is told of it.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::{Asked, ENVIRONMENT};
use crate::image::{self, Image};
use crate::plan::Access;
use crate::product::CONTAINER_PORT;
use crate::product::setting::PORT;
use crate::release::{Release, bundle};
use crate::runner;
use crate::tool::docker::{self, Kind};
use crate::tool::edge::{self, Begun};
use crate::tool::railway::Refusal;

/// What a container gets: nothing that it could write to, nothing that it may do, little memory.
const FLAGS: [&str; 9] = [
    "--read-only",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--memory",
    "256m",
    "--pids-limit",
    "128",
];

/// Builds the image and begins a deployment of it; gives back the deployment's id.
pub fn begin(
    asked: &Asked<'_>,
    release: &Release,
    access: &Access<'_>,
    index: usize,
    name: &str,
    known: &[String],
) -> Result<String> {
    let service = &release.declared()?.services[index];
    access.line.state("build the image");
    let dockerfile = service.dockerfile(&release.request.declared_as);
    let folder = bundle::make(access.context, access.runner, &dockerfile, None)?;
    release.is_still_checked_out(access.context)?;
    let tag = asked.rehearsal.image(&release.commit.id);
    let image = Image { revision: release.commit.id.clone(), ..Image::of(access.context, Some(&tag)) };
    let build = image.build_in(folder.path(), &dockerfile, false, false);
    access.runner.run(&build, access.cancel, &|_, line| {
        if let Some(progress) = image::progress(line) {
            access.line.detail(&progress);
        }
    })?;
    let spec = spec(asked, release, access, name, &tag)?;
    // From here on a deployment may have begun, whatever becomes of us.
    release.uploading().insert(name.to_owned(), known.to_vec());
    let step = asked.rehearsal.edge.begin(&spec);
    match edge::parse::<Begun>(&asked.hear(&step)?) {
        Ok(begun) => {
            // A disk that fills is no reason to fail now.
            if let Err(error) = forget_images(asked) {
                access.context.terminal.warn(format!("old images of the rehearsal stay: {error:#}"));
            }
            Ok(begun.id)
        }
        Err(refusal) => {
            if matches!(refusal, Refusal::Denied(_)) {
                release.uploading().remove(name);
            }
            Err(anyhow!("the edge does not start {name}: {}", refusal.text()))
        }
    }
}

/// Removes the images of versions that the edge has forgotten.
fn forget_images(asked: &Asked<'_>) -> Result<()> {
    let known = asked.standing_now(&[])?.deployments;
    let kept: Vec<String> = known.iter().map(|one| asked.rehearsal.image(&one.spec.commit)).collect();
    let mut images = runner::lines(asked.runner, &docker::tags_of(&asked.rehearsal.repository()))?;
    images.retain(|image| !kept.contains(image));
    if images.is_empty() {
        return Ok(());
    }
    runner::read_well(asked.runner, &docker::remove(Kind::Image, &images)).map(drop)
}

fn spec(asked: &Asked<'_>, release: &Release, access: &Access<'_>, service: &str, image: &str) -> Result<Value> {
    let rehearsal = asked.rehearsal;
    let mut variables = rehearsal.variables.values(access.context)?;
    variables.insert(PORT.to_owned(), CONTAINER_PORT.to_string());
    let label = rehearsal.label();
    let flags: Vec<&str> = ["--label", label.as_str()].into_iter().chain(FLAGS).collect();
    Ok(json!({
        "service": service,
        "image": image,
        "commit": release.commit.id,
        "message": release.message(),
        "creator": release.owner.name,
        "variables": variables,
        "network": rehearsal.network,
        "port": CONTAINER_PORT,
        "flags": flags,
        "manifest": rehearsal.store().settings(service)?,
        "environment": ENVIRONMENT,
    }))
}
