//! The environment of a step's process: what the step says on top of what it may inherit.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::process::{STARTED_BY, current_mark};
use crate::step::Step;

/// Every variable of the step's process.
pub fn of(step: &Step) -> Vec<(OsString, OsString)> {
    let inherited = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        if step.is_isolated() { is_basic(&name) } else { !is_cargo_private(&name) && name != STARTED_BY }
    });
    let own = step.variables().map(|(name, value)| (name.into(), value.to_owned()));
    let mut all: Vec<_> = inherited.filter(|(name, _)| !step.variables().any(|(own, _)| *name == *own)).collect();
    all.extend(own);
    all
}

/// The same for a process that ends with the task, which is marked as such.
pub fn marked(step: &Step) -> Vec<(OsString, OsString)> {
    let mut all = of(step);
    all.extend(current_mark().map(|mark| (STARTED_BY.into(), mark.into())));
    all
}

/// The same for a program that takes our place: nothing of what cargo and rustup say to their own children.
pub fn for_a_person(step: &Step) -> Vec<(OsString, OsString)> {
    const OF_CARGO: [&str; 4] = ["RUSTUP_TOOLCHAIN", "RUST_RECURSION_COUNT", "CARGO_RUSTC_CURRENT_DIR", "SQLX_OFFLINE"];
    let is_own = |name: &OsString| step.variables().any(|(own, _)| *name == *own);
    let mut all = of(step);
    all.retain(|(name, _)| is_own(name) || !OF_CARGO.iter().any(|of_cargo| name == of_cargo));
    for (name, value) in &mut all {
        if LIBRARY_PATHS.iter().any(|of_cargo| name == of_cargo) {
            let kept = std::env::split_paths(value).filter(|folder| !is_of_cargo(folder)).collect::<Vec<_>>();
            *value = std::env::join_paths(kept).unwrap_or_default();
        }
    }
    all.retain(|(name, value)| !(value.is_empty() && LIBRARY_PATHS.iter().any(|of_cargo| name == of_cargo)));
    all
}

/// The variables in which cargo tells the program that it runs where libraries are.
const LIBRARY_PATHS: [&str; 2] = ["LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"];

/// Whether a folder is one of those that cargo adds: that of the build, or of the toolchain.
fn is_of_cargo(folder: &Path) -> bool {
    let ours = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let toolchain = std::env::var_os("RUSTUP_HOME").map(PathBuf::from).map(|home| home.join("toolchains"));
    let words = ["rustlib", "toolchains"];
    ours.is_some_and(|ours| folder.starts_with(ours))
        || toolchain.is_some_and(|toolchains| folder.starts_with(toolchains))
        || folder.components().any(|part| words.iter().any(|word| part.as_os_str() == *word))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_the_toolchain_are_told_from_a_persons_own() {
        for folder in ["/home/me/.rustup/toolchains/stable/lib", "/usr/lib/rustlib/x86_64/lib"] {
            assert!(is_of_cargo(Path::new(folder)), "{folder}");
        }
        assert!(!is_of_cargo(Path::new("/opt/oracle/lib")));
    }

    fn named(variables: &[(OsString, OsString)], name: &str) -> Vec<String> {
        let values = variables.iter().filter(|(own, _)| own == name).map(|(_, value)| value);
        values.map(|value| value.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_the_step_says_goes_before_what_is_inherited_and_is_there_once() {
        let inherited = std::env::var("PATH").unwrap();
        for step in [Step::new("x", "x"), Step::new("x", "x").isolated()] {
            assert_eq!(named(&of(&step), "PATH"), std::slice::from_ref(&inherited));
            assert_eq!(named(&of(&step.env("PATH", "/own").secret_env("MINE", "1")), "PATH"), ["/own"]);
        }
        assert_eq!(named(&of(&Step::new("x", "x").secret_env("MINE", "1")), "MINE"), ["1"]);
    }

    #[test]
    fn what_cargo_says_of_xtask_reaches_neither_a_step_nor_a_person() {
        // The tests are run by cargo, which says all of this.
        for name in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"] {
            assert!(std::env::var_os(name).is_some(), "{name}");
            assert_eq!(named(&of(&Step::new("x", "x")), name), [""; 0]);
            assert_eq!(named(&for_a_person(&Step::new("x", "x")), name), [""; 0]);
        }
        let step = Step::new("x", "x").env("RUSTUP_TOOLCHAIN", "mine").env("CARGO_MANIFEST_DIR", "/p/xtask");
        assert_eq!(named(&for_a_person(&step), "RUSTUP_TOOLCHAIN"), ["mine"], "what a step says itself stays");
        assert_eq!(named(&of(&step), "CARGO_MANIFEST_DIR"), ["/p/xtask"]);
    }

    #[test]
    fn a_person_gets_the_library_paths_without_the_toolchains() {
        let library_path = |value: &str| {
            let step = Step::new("x", "x").env("LD_LIBRARY_PATH", value);
            named(&for_a_person(&step), "LD_LIBRARY_PATH")
        };
        let own = std::env::current_exe().unwrap().parent().unwrap().join("build").display().to_string();
        assert_eq!(library_path(&format!("{own}:/opt/oracle/lib:/r/toolchains/stable/lib")), ["/opt/oracle/lib"]);
        assert_eq!(library_path("/r/toolchains/stable/lib"), [""; 0], "nothing is left of it");
    }

    #[test]
    fn a_program_runs_with_no_more_than_the_basics() {
        for name in ["PATH", "HOME", "TMPDIR", "USER"] {
            assert!(is_basic(name), "{name}");
        }
        for name in ["PGPORT", "DATABASE_URL", "LANG", "path", "LD_LIBRARY_PATH", "RUST_LOG"] {
            assert!(!is_basic(name), "{name}");
        }
    }
}
