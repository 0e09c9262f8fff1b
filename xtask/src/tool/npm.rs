//! `npm`, as a way to fetch a pinned package and check it against its hash.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::product::SLUG;
use crate::step::Step;

/// Asks for npm's version.
pub fn version() -> Step {
    Step::new("ask for the version of npm", "npm").arg("--version").only_reads().timeout(Duration::from_secs(20))
}

/// Fetches what the lock file in `folder` names, and nothing else: no scripts of packages, no audits, no messages.
pub fn install_locked(what: &str, folder: &Path, timeout: Duration) -> Step {
    Step::new(format!("fetch {what} with npm"), "npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"])
        .folder(folder)
        .timeout(timeout)
}

/// A package of the lock file that was made for one system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// `package.json` for it alone.
    pub manifest: String,
    /// `package-lock.json` for it alone.
    pub lock: String,
}

/// The package in a lock file that was made for `os` and `cpu`, in npm's words for them.
///
/// The checked-in file names one package for each system, all optional, and npm passes over an optional package whose
/// hash is wrong. So the one that is needed is taken out and made a requirement.
pub fn locked_for(lock: &str, os: &str, cpu: &str) -> Option<Locked> {
    let lock: Value = serde_json::from_str(lock).ok()?;
    let suits = |entry: &Value, key: &str, wanted: &str| {
        entry[key].as_array().is_some_and(|words| words.iter().any(|word| word == wanted))
    };
    let (path, entry) =
        lock["packages"].as_object()?.iter().find(|(_, entry)| suits(entry, "os", os) && suits(entry, "cpu", cpu))?;
    let package = path.strip_prefix("node_modules/")?;
    let version = entry["version"].as_str()?;
    let mut entry = entry.clone();
    entry.as_object_mut()?.remove("optional");
    let dependencies = json!({ package: version });
    let name = format!("{SLUG}-servers");
    let manifest = json!({ "name": name, "private": true, "dependencies": dependencies });
    let lock = json!({
        "name": name, "lockfileVersion": 3, "requires": true,
        "packages": { "": { "name": name, "dependencies": dependencies }, path: entry },
    });
    Some(Locked {
        package: package.to_owned(),
        version: version.to_owned(),
        manifest: format!("{manifest:#}\n"),
        lock: format!("{lock:#}\n"),
    })
}

/// A package with what it needs, the same on every system, as these two files have it.
pub fn locked(package: &str, manifest: String, lock: String) -> Result<Locked> {
    let parsed: Value = serde_json::from_str(&lock).with_context(|| format!("the lock file of {package}"))?;
    let version = parsed["packages"][format!("node_modules/{package}")]["version"].as_str();
    let version = version.with_context(|| format!("its lock file has no {package}"))?.to_owned();
    Ok(Locked { package: package.to_owned(), version, manifest, lock })
}

/// The word for this system in npm's packages.
pub fn os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    }
}

/// The word for this processor in npm's packages.
pub fn cpu() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = include_str!("../../../infra/servers/package-lock.json");

    #[test]
    fn each_system_gets_its_own_package_with_its_hash_and_as_a_requirement() {
        for (os, cpu) in [("linux", "x64"), ("linux", "arm64"), ("darwin", "x64"), ("darwin", "arm64")] {
            let locked = locked_for(LOCK, os, cpu).unwrap();
            assert_eq!(locked.package, format!("@embedded-postgres/{os}-{cpu}"));
            let lock: Value = serde_json::from_str(&locked.lock).unwrap();
            let entry = &lock["packages"][format!("node_modules/{}", locked.package)];
            assert!(entry["integrity"].as_str().unwrap().starts_with("sha512-"));
            assert_eq!(entry["optional"], Value::Null);
        }
    }

    #[test]
    fn a_system_without_a_package_gets_none() {
        assert_eq!(locked_for(LOCK, "freebsd", "x64"), None);
    }

    #[test]
    fn a_lock_file_that_is_cut_or_of_another_form_has_nothing() {
        let entry = r#""os":["linux"],"cpu":["x64"],"version":"1.0""#;
        for lock in [
            String::new(),
            "{".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            r#"{"packages":[]}"#.to_owned(),
            format!(r#"{{"packages":{{"elsewhere/x":{{{entry}}}}}}}"#),
            r#"{"packages":{"node_modules/x":{"os":["linux"],"cpu":["x64"]}}}"#.to_owned(),
            r#"{"packages":{"node_modules/x":{"os":"linux","cpu":"x64","version":"1.0"}}}"#.to_owned(),
        ] {
            assert_eq!(locked_for(&lock, "linux", "x64"), None, "{lock}");
        }
        let lock = format!(r#"{{"packages":{{"":{{}},"node_modules/@a/b":{{{entry}}}}}}}"#);
        let locked = locked_for(&lock, "linux", "x64").unwrap();
        assert_eq!((locked.package.as_str(), locked.version.as_str()), ("@a/b", "1.0"));
        let manifest: Value = serde_json::from_str(&locked.manifest).unwrap();
        assert_eq!(manifest["dependencies"], json!({ "@a/b": "1.0" }));
        assert_eq!(manifest["private"], true);
    }

    #[test]
    fn no_script_of_a_package_is_run() {
        let step = install_locked("x", Path::new("/d"), Duration::from_secs(9));
        assert!(step.to_string().starts_with("cd /d && npm ci --ignore-scripts "), "{step}");
        assert_eq!(step.time(), Some(Duration::from_secs(9)));
    }
}
