//! Shipping from source: the upload that Railway builds the image from.

use anyhow::Result;

use super::Api;
use crate::failure::Failure;
use crate::plan::Access;
use crate::release::ship::find_lost;
use crate::release::{Release, bundle};
use crate::runner::{self, Output};
use crate::step::Step;
use crate::tool::railway;

/// Uploads, and gives back the deployment's id: what the CLI says of it, or what is there that was not before.
pub fn upload(
    api: Api<'_>,
    release: &Release,
    access: &Access<'_>,
    index: usize,
    name: &str,
    known: &[String],
) -> Result<String> {
    let found = release.found()?;
    let to = &found.target.services[index];
    let service = &release.declared()?.services[index];
    access.line.state("upload what the image is made from");
    let dockerfile = service.dockerfile(&release.request.declared_as);
    let folder = bundle::make(access.context, access.runner, &dockerfile, Some(&release.commit.id))?;
    release.is_still_checked_out(access.context)?;
    let step = api.railway.up(folder.path(), to, &release.message());
    // From here on a deployment may have begun, whatever becomes of us.
    release.uploading().insert(name.to_owned(), known.to_vec());
    let output = api.hear(&step)?;
    if let Some(id) = railway::parse_up(&output) {
        return Ok(id);
    }
    if !railway::was_refused(&output) {
        access.line.state("look whether the upload has begun a deployment");
        if let Some(id) = find_lost(release, &api, to, known)? {
            let what = format!("the upload was not answered, but has begun the deployment {id}");
            access.context.terminal.warn(what);
            return Ok(id);
        }
    }
    release.uploading().remove(name);
    Err(refused_upload(&step, &output).into())
}

fn refused_upload(step: &Step, output: &Output) -> Failure {
    let failure = runner::failure(step, output.code, &output.lines());
    if output.lines().join(" ").contains("too large") {
        return failure.hint("the upload is too large: .dockerignore says what belongs to it");
    }
    failure
}
