//! What is built for tests is what is built for the service.

use std::process::Command;

/// The packages and features that a build has, one a line.
#[expect(clippy::disallowed_methods, reason = "the test asks cargo what it would build")]
fn built(kinds: &str) -> Vec<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["tree", "--offline", "--locked", "--manifest-path", manifest, "--package", "backend"])
        .args(["--edges", kinds, "--prefix", "none", "--format", "{p} {f}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut packages: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

/// A feature that only tests ask for is one more tokio, and one more of everything that stands on it: minutes.
#[test]
fn tests_build_no_package_with_other_features_than_the_service() {
    let (service, tests) = (built("normal,build"), built("normal,build,dev"));
    let only_for_tests: Vec<&String> = tests.iter().filter(|package| !service.contains(package)).collect();
    assert!(only_for_tests.is_empty(), "{only_for_tests:?}");
    assert!(service.iter().any(|package| package.starts_with("tokio v")), "{service:?}");
}
