//! shellcheck, which knows what goes wrong in shell scripts.

use std::path::Path;

use crate::step::Step;

/// Checks scripts.
pub fn check(program: &Path, root: &Path, scripts: &[String]) -> Step {
    Step::new("lint the shell scripts", program)
        .folder(root)
        .args(["--color=never", "--severity=warning"])
        .args(scripts)
        .only_reads()
}
