//! The backend's own binary: it serves, and brings what operating it needs.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::failure::Exit;
use crate::settings::is_secret;
use crate::step::Step;
use crate::wait;

/// How long adding millions of rows may take.
const BULK_TIMEOUT: Duration = Duration::from_hours(2);
/// How long a walk through the service may take.
const SMOKE_TIMEOUT: Duration = Duration::from_mins(5);

/// A variable of the backend's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether it must not be shown.
    pub is_secret: bool,
}

impl Variable {
    /// One that everybody may see.
    pub fn plain(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), is_secret: false }
    }

    /// One that must not be shown.
    pub fn secret(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), is_secret: true }
    }

    /// One that is as secret as the setting's declaration says.
    pub fn declared(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), is_secret: is_secret(name) }
    }

    /// The step with this variable.
    pub fn give_to(&self, step: Step) -> Step {
        if self.is_secret { step.secret_env(&self.name, &self.value) } else { step.env(&self.name, &self.value) }
    }
}

fn step(purpose: &str, binary: &Path, environment: &[Variable]) -> Step {
    environment.iter().fold(Step::new(purpose, binary).isolated(), |step, variable| variable.give_to(step))
}

/// The exit codes of the backend's own program that say more than that it failed; they are ours as well.
pub const EXIT_CODES: &[(i32, Exit)] =
    &[(3, Exit::Missing), (4, Exit::Unhealthy), (5, Exit::Migrations), (6, Exit::Locked), (9, Exit::Refused)];

/// The subcommand that serves.
pub const SERVE: &str = "serve";

/// Serves until SIGTERM.
pub fn serve(binary: &Path, environment: &[Variable], folder: &Path) -> Step {
    step("start the backend", binary, environment).arg(SERVE).env("RUST_BACKTRACE", "1").folder(folder)
}

/// The backend's own program with an environment to run in: on this machine, or inside of a container.
pub struct Program {
    step: Step,
}

impl Program {
    /// The binary with these variables and no others.
    pub fn with(binary: &Path, environment: &[Variable]) -> Self {
        Self::by(step("run the backend", binary, environment))
    }

    /// What runs the program once its arguments are added.
    pub fn by(step: Step) -> Self {
        Self { step: step.exit_codes(EXIT_CODES) }
    }

    fn command(&self, purpose: &str) -> Step {
        self.step.clone().with_purpose(purpose)
    }

    /// Checks the settings in its environment.
    pub fn check_settings(&self) -> Step {
        self.command("check the settings")
            .args(["config", "--check"])
            .only_reads()
            .hint("edit .env.docker; .env.docker.example explains each setting")
            .hint("cargo xtask env check")
    }

    /// Checks the settings in its environment, and tells what is wrong as JSON.
    pub fn settings_problems(&self) -> Step {
        self.command("check the settings").args(["config", "--check", "--json"]).only_reads()
    }

    /// Applies pending migrations. A draft that was altered is reverted first, and applied again.
    pub fn migrate(&self, timeout: Duration, drafts: &[String]) -> Step {
        let step = self.command("apply migrations").args(["migrate", "run"]).timeout(timeout);
        drafts.iter().fold(step, |step, version| step.args(["--draft", version])).hint("cargo xtask migrate status")
    }

    /// Reverts the newest migration and applies it as it is now.
    pub fn redo_migration(&self, timeout: Duration) -> Step {
        self.command("apply the newest migration again").args(["migrate", "redo"]).timeout(timeout)
    }

    /// Reverts the newest migration, or all that are newer than that one.
    pub fn revert_migrations(&self, timeout: Duration, to: Option<u64>) -> Step {
        let step = self.command("revert migrations").args(["migrate", "revert"]).timeout(timeout);
        let step = to.iter().fold(step, |step, to| step.args(["--to".to_owned(), to.to_string()]));
        step.hint("cargo xtask migrate status")
    }

    /// Tells of each migration whose file was changed since it was applied, with both texts.
    pub fn altered_migrations(&self) -> Step {
        self.command("ask for altered migrations").args(["migrate", "altered"]).only_reads()
    }

    /// Records the file of a migration as what was applied, if it has that checksum.
    pub fn bless_migration(&self, version: u64, checksum: &str) -> Step {
        let words = ["migrate".to_owned(), "bless".to_owned(), version.to_string()];
        self.command("record the checksum").args(words).args(["--checksum", checksum])
    }

    /// Says where each migration stands.
    pub fn migration_status(&self, as_json: bool) -> Step {
        let step = self.command("ask for the migrations").args(["migrate", "status"]).only_reads();
        if as_json { step.arg("--json") } else { step }
    }

    /// Adds demo data.
    pub fn seed(&self) -> Step {
        self.command("add demo data").arg("seed").timeout(Duration::from_mins(2))
    }

    /// Adds demo data, and brings the reports that are made for work on performance to that number.
    pub fn seed_with_reports(&self, count: u64) -> Step {
        let words = ["seed".to_owned(), "--reports".to_owned(), count.to_string()];
        self.command("add demo data").args(words).timeout(BULK_TIMEOUT)
    }

    /// Asks the service at `url` for its health, and prints what it says.
    pub fn health(&self, url: &str) -> Step {
        let step = self.command("ask the service for its health").args(["healthcheck", "--url", url]);
        step.only_reads().timeout(Duration::from_secs(15))
    }

    /// Walks through the service at `url`.
    pub fn smoke(&self, url: &str, as_json: bool) -> Step {
        let step = self.command("walk through the service").args(["smoke", "--url", url]).timeout(SMOKE_TIMEOUT);
        if as_json { step.arg("--json") } else { step }
    }
}

/// How far a seed is, in a line of what it says: `400000 of 1000000 reports`.
pub fn seed_progress(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("sent ")?;
    let words: Vec<&str> = rest.split_whitespace().take(4).collect();
    let is_count = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    matches!(words[..], [done, "of", total, "reports"] if is_count(done) && is_count(total)).then(|| words.join(" "))
}

/// Prints the declaration of every setting as JSON.
pub fn declaration(binary: &Path) -> Step {
    step("ask for the settings", binary, &[]).args(["config", "--json"]).only_reads()
}

/// What `/health` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// `ok`, or what is wrong.
    pub status: String,
    /// The commit that answers.
    pub commit: String,
    /// The version that answers.
    pub version: String,
}

/// Asks a server for its health; an error says what was seen instead of a healthy one.
pub fn health(address: SocketAddr, path: &str) -> Result<Health, String> {
    let answer =
        minreq::get(format!("http://{address}{path}")).with_timeout(3).with_follow_redirects(false).send().map_err(
            |error| match error {
                minreq::Error::IoError(error) => wait::describe_io(&error),
                error => error.to_string(),
            },
        )?;
    let health = answer.as_str().ok().and_then(|text| serde_json::from_str::<Health>(text).ok());
    match health {
        Some(health) if answer.status_code == 200 => Ok(health),
        Some(health) => Err(format!("{path} is {}: {}", answer.status_code, health.status)),
        None => Err(format!("{path} is {} and not from this backend", answer.status_code)),
    }
}

#[cfg(test)]
mod tests;
