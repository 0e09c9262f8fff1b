//! hadolint, which knows what goes wrong in Dockerfiles, shell included.

use std::path::Path;

use crate::step::Step;

/// Checks a Dockerfile.
pub fn check(program: &Path, root: &Path, file: &str) -> Step {
    Step::new(format!("lint {file}"), program)
        .folder(root)
        .args(["--no-color", "--failure-threshold", "info", file])
        .only_reads()
}
