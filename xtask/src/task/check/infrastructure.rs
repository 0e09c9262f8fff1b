//! The Dockerfile, the compose files, and shell scripts.

use anyhow::Result;

use super::{Verdict, run_step};
use crate::context::Context;
use crate::image::DOCKERFILE;
use crate::pinned::linters;
use crate::product::IMAGE_VARIABLE;
use crate::stack::docker::{DEVELOPMENT, PRODUCTION};
use crate::tool::compose::Compose;
use crate::tool::{docker, git, hadolint, shellcheck};

/// Checks the Dockerfile by hadolint's rules.
pub fn dockerfile(context: &Context, _: bool) -> Result<Verdict> {
    let root = context.project.root();
    match linters::find(context, &linters::HADOLINT) {
        Ok(program) => run_step(context, "dockerfile", &hadolint::check(&program, root, DOCKERFILE)),
        Err(why) => Ok(Verdict::Skipped(why)),
    }
}

/// Checks every shell script that git knows.
pub fn scripts(context: &Context, _: bool) -> Result<Verdict> {
    let root = context.project.root();
    let mut scripts = git::parse_files_with(&context.runner.read(&git::files_with(root, "^#!.*sh$"))?)?;
    scripts.retain(|file| std::fs::read(root.join(file)).is_ok_and(|text| text.starts_with(b"#!")));
    if scripts.is_empty() {
        return Ok(Verdict::Passed);
    }
    match linters::find(context, &linters::SHELLCHECK) {
        Ok(program) => run_step(context, "scripts", &shellcheck::check(&program, root, &scripts)),
        Err(why) => Ok(Verdict::Skipped(why)),
    }
}

/// Checks that compose understands its files with the settings that the template has.
pub fn compose(context: &Context, _: bool) -> Result<Verdict> {
    if !matches!(crate::runner::is_success(&*context.runner, &docker::compose_version()), Ok(true)) {
        return Ok(Verdict::Skipped("docker compose is not there".to_owned()));
    }
    for file in [DEVELOPMENT, PRODUCTION] {
        let compose = Compose {
            project: "check".to_owned(),
            root: context.project.root().to_owned(),
            file,
            env_file: context.project.settings_template(),
            profiles: Vec::new(),
            variables: vec![(IMAGE_VARIABLE, "check:latest".to_owned())],
            secrets: Vec::new(),
        };
        match run_step(context, "compose", &compose.config())? {
            Verdict::Passed => {}
            other => return Ok(other),
        }
    }
    Ok(Verdict::Passed)
}
