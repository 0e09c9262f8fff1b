//! cargo, as a child of itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::product::setting::DATABASE_URL;
use crate::product::{BINARY, PACKAGE};
use crate::step::Step;
use crate::tool::edge;

/// How long all tests may take, with what is built for them.
const TEST_TIMEOUT: Duration = Duration::from_hours(3);

/// The cargo that runs us, so that a toolchain chosen with `+name` holds for what we build; else the one on PATH.
pub fn program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn step(purpose: &str, root: &Path) -> Step {
    Step::new(purpose, program()).folder(root)
}

/// A command with a progress bar in its output even though nobody watches it.
fn with_progress(step: Step, is_colored: bool, args: &[&str]) -> Step {
    // Words after `--` are not cargo's.
    let own = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
    step.args(args[..own].iter().copied())
        .arg("--color")
        .arg(if is_colored { "always" } else { "never" })
        .args(args[own..].iter().copied())
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "100")
        .noise(is_noise)
}

/// Builds a package's binary.
pub fn build(root: &Path, package: &str, is_colored: bool) -> Step {
    with_progress(step(&format!("build the {package}"), root), is_colored, &["build", "--package", package])
        .hint("fix what is named above, then try again")
}

/// Builds what ships, and the example that measures it.
pub fn build_benchmark(root: &Path, is_colored: bool) -> Step {
    let words = ["build", "--release", "--package", PACKAGE, "--bin", BINARY, "--example", "bench"];
    with_progress(step("build the backend as it ships", root), is_colored, &words)
}

/// Builds a package's binaries and tells of it in a form that [`Diagnosis`] reads.
pub fn build_diagnosed(root: &Path, package: &str, is_locked: bool) -> Step {
    let step = step(&format!("build the {package}"), root).args(["build", "--package", package]);
    let step = if is_locked { step.arg("--locked") } else { step };
    step.arg("--message-format=json-diagnostic-rendered-ansi").env("CARGO_TERM_COLOR", "never")
}

/// What a compiler said during a build.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Its errors, as it prints them.
    pub errors: Vec<String>,
    /// Its warnings.
    pub warnings: Vec<String>,
    /// What cargo itself said, and anybody else.
    pub others: Vec<String>,
    /// Where the first error is: the file, as seen from the workspace, and the line.
    place: Option<(String, u64)>,
}

/// A line of `cargo build --message-format=json`; the compiler's messages are its own JSON inside.
#[derive(Deserialize)]
struct CargoMessage {
    message: Option<CompilerMessage>,
}

#[derive(Deserialize)]
struct CompilerMessage {
    level: String,
    rendered: Option<String>,
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: u64,
    is_primary: bool,
    /// Where the macro was called that this is in.
    expansion: Option<Box<Expansion>>,
}

#[derive(Deserialize)]
struct Expansion {
    span: Span,
}

impl Span {
    /// This place, or where the macro was called that it is in: a wrong query is no error of the library's.
    fn in_the_workspace(self) -> Self {
        match self.expansion {
            Some(expansion) if Path::new(&self.file_name).is_absolute() => expansion.span.in_the_workspace(),
            _ => self,
        }
    }
}

impl Diagnosis {
    /// Takes in a line of the build's output.
    pub fn hear(&mut self, line: &str) {
        let Ok(message) = serde_json::from_str::<CargoMessage>(line) else {
            if !is_noise(line) {
                self.others.push(line.to_owned());
            }
            return;
        };
        let Some(CompilerMessage { level, rendered: Some(rendered), spans }) = message.message else { return };
        // "aborting due to 2 previous errors" has no place, and says nothing.
        let list = match level.as_str() {
            "error" if !spans.is_empty() || !rendered.contains("aborting due to") => &mut self.errors,
            level if level.starts_with("error:") => &mut self.errors,
            "warning" if !spans.is_empty() => &mut self.warnings,
            _ => return,
        };
        if list.contains(&rendered) {
            return;
        }
        list.push(rendered);
        if level.starts_with("error") && self.place.is_none() {
            let place = spans.into_iter().find(|span| span.is_primary).map(Span::in_the_workspace);
            self.place = place.map(|span| (span.file_name, span.line_start));
        }
    }

    /// The errors in a few words: `2 errors, the first in backend/src/reports/routes.rs:41`.
    pub fn summary(&self) -> String {
        let place = self.place.as_ref().map(|(file, line)| format!("in {file}:{line}"));
        match (self.errors.len(), place) {
            (1, Some(place)) => format!("1 error {place}"),
            (count, Some(place)) => format!("{count} errors, the first {place}"),
            (1, None) => "1 error".to_owned(),
            (count, None) => format!("{count} errors"),
        }
    }
}

/// The words that build the backend in its container.
pub fn build_words() -> Vec<String> {
    words(&["cargo", "build", "--locked", "--package", PACKAGE, "--bin", BINARY])
}

/// The words that build the backend in a container of its own, and before it, where it is to be watched, what watches
/// it; and then check the settings that it would get, before anything that serves is replaced.
pub fn build_and_check_words(with_watcher: bool) -> Vec<String> {
    // Not in one build: packages that are built together share the features of what they depend on.
    let watcher = "cargo build --locked --profile xtask --package xtask --bin xtask";
    let backend = format!("{} && {BINARY} config --check", build_words().join(" "));
    let all = if with_watcher { format!("{watcher} && {backend}") } else { backend };
    words(&["sh", "-c", &all])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The step, of whose output only what is not progress matters when it fails.
pub fn quietly(step: Step) -> Step {
    step.noise(is_noise).hint("fix what is named above, then try again")
}

/// How far a build is, in a line of its output: `Building [==>  ] 45/289: serde, syn` is `45 of 289, serde`.
pub fn progress(line: &str) -> Option<String> {
    if line.contains("Blocking waiting for file lock") {
        return Some("waits for another cargo to finish".to_owned());
    }
    let (_, rest) = line.split_once("Building")?.1.split_once("] ")?;
    let (count, crates) = rest.split_once(':').unwrap_or((rest, ""));
    let (done, all) = count.trim().split_once('/')?;
    let first = crates.trim().split([',', '(', '.']).next().unwrap_or_default().trim();
    let first = if first.is_empty() { String::new() } else { format!(", {first}") };
    Some(format!("{} of {}{first}", done.parse::<u32>().ok()?, all.parse::<u32>().ok()?))
}

/// Whether a line of a build's output matters when the build failed.
fn is_noise(line: &str) -> bool {
    let plain = anstream::adapter::strip_str(line).to_string();
    let plain = plain.trim_start();
    let words =
        ["Building [", "Compiling ", "Checking ", "Blocking ", "Downloading ", "Downloaded ", "Updating ", "Locking "];
    plain.is_empty() || words.iter().any(|word| plain.starts_with(word))
}

/// Asks whether cargo-nextest is there.
pub fn nextest_version(root: &Path) -> Step {
    step("ask for cargo-nextest", root).args(["nextest", "--version"]).only_reads()
}

/// Whose tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tests {
    /// The backend's, built as the binary is that `up` runs.
    Backend,
    /// xtask's, built as the binary is that runs now.
    Xtask,
    /// Those of the edge that rehearsed deployments stand behind.
    Edge,
    /// Those of xtask that are made on a pseudo-terminal.
    Terminal,
    /// Those of xtask that need the Railway CLI.
    Railway,
    /// Those of the packages that the arguments name.
    Named,
}

/// Runs tests, with nextest or without. Packages that are tested together would share the features of what they depend
/// on, and build it once more.
pub fn test(root: &Path, with_nextest: bool, tests: Tests, args: &[String]) -> Step {
    let step = step("run the tests", root).timeout(TEST_TIMEOUT);
    let step = if with_nextest { step.args(["nextest", "run"]) } else { step.arg("test") };
    let profile = if with_nextest { "--cargo-profile" } else { "--profile" };
    let step = match tests {
        Tests::Backend => step.args(["--package", "backend"]),
        Tests::Edge => step.args(["--package", edge::PACKAGE]),
        Tests::Xtask => step.args([profile, "xtask", "--package", "xtask"]),
        Tests::Terminal => step.args([profile, "xtask", "--package", "xtask", "--test", "terminal"]),
        Tests::Railway => {
            let step = step.args([profile, "xtask", "--package", "xtask", "--test", "railway"]);
            if with_nextest { step.args(["--run-ignored", "all"]) } else { step.args(["--", "--ignored"]) }
        }
        Tests::Named => step,
    };
    step.args(args)
}

/// Formats, or only says what is not formatted.
pub fn format(root: &Path, fix: bool) -> Step {
    let step = step("check the formatting", root).args(["fmt", "--all"]);
    if fix { step } else { step.arg("--check").only_reads().hint("cargo xtask check --fix") }
}

/// Lints everything; a warning is an error.
pub fn clippy(root: &Path, is_colored: bool) -> Step {
    let args = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    with_progress(step("lint", root), is_colored, &args)
}

/// Type-checks xtask for another system.
pub fn check_for(root: &Path, target: &str) -> Step {
    step(&format!("type-check xtask for {target}"), root).args([
        "check",
        "--package",
        "xtask",
        "--all-targets",
        "--locked",
        "--target",
        target,
    ])
}

/// Asks which targets are installed.
pub fn installed_targets() -> Step {
    Step::new("ask rustup for its targets", "rustup").args(["target", "list", "--installed"]).only_reads()
}

/// Asks whether cargo-deny is there.
pub fn deny_version(root: &Path) -> Step {
    step("ask for cargo-deny", root).args(["deny", "--version"]).only_reads()
}

/// Fetches the database of known holes.
pub fn fetch_advisories(root: &Path) -> Step {
    step("fetch the advisories", root).args(["deny", "fetch", "db"]).timeout(Duration::from_mins(2))
}

/// Checks the dependencies against `deny.toml`.
pub fn deny(root: &Path, checks: &[&str]) -> Step {
    step("check the dependencies", root)
        .args(["deny", "--all-features", "check"])
        .args(checks.iter().copied())
        .only_reads()
}

/// Type-checks the backend against a live database and stores what it learns about each query in `store`.
pub fn describe_queries(root: &Path, package: &str, database_url: &str, store: &Path) -> Step {
    let step = step("check the queries against the database", root);
    with_live_database(step.args(["check", "--package", package, "--all-targets"]), database_url, store)
}

/// The build, with a database that is asked about every query, and whose answers are kept in `store`.
pub fn with_live_database(build: Step, database_url: &str, store: &Path) -> Step {
    build.env("SQLX_OFFLINE", "false").secret_env(DATABASE_URL, database_url).env("SQLX_OFFLINE_DIR", store)
}

/// Asks for the toolchain's version.
pub fn rustc_version(root: &Path) -> Step {
    Step::new("ask for the version of Rust", "rustc").arg("--version").folder(root).only_reads()
}

#[cfg(test)]
mod tests;
