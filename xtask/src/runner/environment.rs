//! The environment of a step's process: what the step says on top of what it may inherit.

use std::ffi::OsString;

use crate::step::Step;

/// Every variable of the step's process.
pub fn of(step: &Step) -> Vec<(OsString, OsString)> {
    let inherited = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        if step.is_isolated() { is_basic(&name) } else { !is_cargo_private(&name) }
    });
    let own = step.variables().map(|(name, value)| (name.into(), value.to_owned()));
    let mut all: Vec<_> = inherited.filter(|(name, _)| !step.variables().any(|(own, _)| *name == *own)).collect();
    all.extend(own);
    all
}

/// What any program needs: where programs are, where the user's and where temporary files go.
pub fn is_basic(name: &str) -> bool {
    matches!(name, "PATH" | "HOME" | "USER" | "LOGNAME" | "TMPDIR" | "TMP" | "TEMP" | "SystemRoot" | "SYSTEMROOT")
}

/// What cargo tells the program that it runs about that program's own package, and how it built it. Passed on to
/// another cargo it makes build scripts run again and again; to a person's shell it is noise.
fn is_cargo_private(name: &str) -> bool {
    let private = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    private.iter().any(|prefix| name.starts_with(prefix)) || name == "CARGO"
}
