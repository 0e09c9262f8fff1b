//! Docker Compose. Every command is built on [`Compose::step`], which has all of the flags that name the stack.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::runner::Output;
use crate::step::{Stdin, Step};
use crate::tool::backend::Variable;
use crate::tool::{backend, cargo, docker};

/// The oldest that is good enough, as `major, minor`: older ones cannot `extends` a service across files as here.
pub const MINIMUM: (u32, u32) = (2, 20);
/// The variable that names the services which are off otherwise.
const PROFILES: &str = "COMPOSE_PROFILES";
/// How long an answer may take that needs no work.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long containers may take to end: longer than the longest of their own times.
const STOP_TIMEOUT: Duration = Duration::from_mins(3);

/// One project: a stack's containers, networks and volumes.
#[derive(Debug, Clone)]
pub struct Compose {
    /// The project's name, which is in the names of all that belongs to it.
    pub project: String,
    /// The repository.
    pub root: PathBuf,
    /// The compose file, relative to the repository.
    pub file: &'static str,
    /// The file with the variables' values, relative to the repository unless it is elsewhere.
    pub env_file: PathBuf,
    /// The services that are off otherwise.
    pub profiles: Vec<&'static str>,
    /// Values that go before those of the file; none of them is secret.
    pub variables: Vec<(&'static str, String)>,
    /// The same, of which nothing may be shown.
    pub secrets: Vec<(&'static str, String)>,
}

impl Compose {
    /// A command of compose, about this project. Nothing else builds these flags.
    fn step(&self, purpose: &str) -> Step {
        let step = Step::new(purpose, "docker").folder(&self.root).arg("compose");
        let step = step.args(["--project-name", &self.project, "--file", self.file, "--env-file"]).arg(&self.env_file);
        // Nothing of what a person has set for other projects.
        let step = step.env(PROFILES, self.profiles.join(",")).env("COMPOSE_IGNORE_ORPHANS", "true");
        let step = self.variables.iter().fold(step, |step, (name, value)| step.env(*name, value));
        self.secrets.iter().fold(step, |step, (name, value)| step.secret_env(*name, value))
    }

    /// Checks the file and prints it with every value in its place.
    pub fn config(&self) -> Step {
        self.step("check the compose file").args(["config", "--quiet"]).only_reads().timeout(QUESTION_TIMEOUT)
    }

    /// Makes and starts containers, and not what they depend on. What runs and is as it should be stays as it is.
    pub fn up(&self, services: &[&str], replicas: Option<u16>) -> Step {
        let step =
            self.step("start the containers").args(["up", "--detach", "--no-build", "--no-deps", "--quiet-pull"]);
        let step = match replicas {
            Some(count) => step.arg("--scale").arg(format!("backend={count}")),
            None => step,
        };
        step.arg("--").args(services.iter().copied())
    }

    /// What a person would type without xtask, to compare with.
    pub fn up_and_wait(&self) -> Step {
        self.step("start the containers and wait").args(["up", "--detach", "--wait"])
    }

    /// Builds the images that are built here, by the engine's own builder or by `BuildKit`.
    pub fn build(&self, has_own_builder: bool) -> Step {
        self.step("build the development image")
            .args(["--progress", "plain", "build"])
            .env("DOCKER_BUILDKIT", if has_own_builder { "0" } else { "1" })
            .digest(docker::digest)
    }

    /// Stops containers and removes them, so that the next start makes them again.
    pub fn remove(&self, services: &[&str]) -> Step {
        self.step("stop the containers")
            .args(["rm", "--stop", "--force", "--"])
            .args(services.iter().copied())
            .timeout(STOP_TIMEOUT)
    }

    /// Stops containers.
    pub fn stop(&self, services: &[&str]) -> Step {
        self.step("stop the containers").args(["stop", "--"]).args(services.iter().copied()).timeout(STOP_TIMEOUT)
    }

    /// Stops and removes every container and the network, and keeps the volumes.
    pub fn down(&self) -> Step {
        self.step("stop the containers").args(["down", "--remove-orphans"]).timeout(STOP_TIMEOUT)
    }

    /// Builds the backend in a container of its own, on the volumes that it will run on.
    pub fn build_backend(&self, name: &str, words: &[String], is_colored: bool) -> Step {
        let color = if is_colored { "always" } else { "never" };
        cargo::quietly(self.step("build the backend and check its settings"))
            .args(["run", "--rm", "--no-deps", "--no-TTY", "--name", name])
            .args(["--env", "CARGO_TERM_PROGRESS_WHEN=always", "--env", "CARGO_TERM_PROGRESS_WIDTH=100"])
            .args(["--env", &format!("CARGO_TERM_COLOR={color}")])
            .arg("backend")
            .args(words)
            .exit_codes(backend::EXIT_CODES)
    }

    /// Gives the volumes that the backend is built in to whoever the container runs as: they are made as root's.
    pub fn give_volumes(&self, name: &str, user: &str, folders: &[&str]) -> Step {
        self.step("give the build's volumes to the container's user")
            .args(["run", "--rm", "--no-deps", "--no-TTY", "--name", name, "--user", "0:0", "backend"])
            .args(["chown", "--recursive", user])
            .args(folders.iter().copied())
    }

    /// Every container of the project, also those that have ended.
    pub fn containers(&self) -> Step {
        self.step("look at the containers")
            .args(["ps", "--all", "--format", "json"])
            .only_reads()
            .timeout(QUESTION_TIMEOUT)
    }

    /// What the services have said, each line with its time.
    pub fn logs(&self, services: &[&str], lines: usize, follow: bool) -> Step {
        let step = self.step("read the logs").args(["logs", "--no-color", "--timestamps", "--tail"]);
        let step = step.arg(lines.to_string()).only_reads();
        let step = if follow { step.arg("--follow").endless() } else { step };
        step.arg("--").args(services.iter().copied())
    }

    /// A command inside of a service's container, with a terminal where there is one.
    pub fn exec(&self, service: &str, variables: &[Variable], has_terminal: bool, command: &[String]) -> Step {
        let purpose = format!("run {}", command.first().map_or("a command", String::as_str));
        let step = self.step(&purpose).arg("exec");
        let step = if has_terminal { step } else { step.arg("--no-TTY") };
        // By name only: arguments can be read by everybody.
        let step = variables.iter().fold(step, |step, variable| variable.give_to(step.args(["--env", &variable.name])));
        step.arg(service).args(command)
    }

    /// A command in a container of its own that is gone afterwards, with the variables that a service would get now.
    pub fn run_once(&self, service: &str, command: &[String]) -> Step {
        let purpose = format!("run {}", command.first().map_or("a command", String::as_str));
        self.step(&purpose).args(["run", "--rm", "--no-deps", "--no-TTY", "--quiet-pull", service]).args(command)
    }

    /// SQL as the superuser, by the socket inside of PostgreSQL's own container, where no password is asked for.
    pub fn sql(&self, sql: String) -> Step {
        let psql = ["psql", "--no-psqlrc", "--quiet", "--username=postgres", "--set=ON_ERROR_STOP=1"];
        self.step("set the role's password")
            .args(["exec", "--no-TTY", "postgres"])
            .args(psql)
            .stdin(Stdin::Text(sql))
            .timeout(QUESTION_TIMEOUT)
    }
}

/// A container as compose shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The service that it is one of.
    pub service: String,
    /// created, running, restarting, exited, paused or dead.
    pub state: String,
    /// healthy, unhealthy, starting, or nothing where there is no check.
    #[serde(default)]
    pub health: String,
    /// How it ended, where it did.
    #[serde(default)]
    pub exit_code: i32,
}

/// The containers in the answer to [`Compose::containers`]: an array before Compose 2.21, an object a line since.
pub fn parse_containers(output: &Output) -> Result<Vec<Container>, String> {
    let text = output.stdout.trim();
    let parsed = if text.starts_with('[') {
        serde_json::from_str(text)
    } else {
        text.lines().map(serde_json::from_str).collect()
    };
    parsed.map_err(|error| format!("docker compose ps says what cannot be understood: {error}"))
}

/// The containers in the answer to [`docker::containers_of`].
pub fn parse_labelled(text: &str) -> Vec<Container> {
    let parse = |line: &str| {
        let mut parts = line.split('\t').map(str::to_owned);
        let (service, name, state) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Container { name, service, state, health: String::new(), exit_code: 0 })
    };
    text.lines().filter_map(parse).collect()
}

/// How far a build is, in a line of its plain progress: `#12 [dependencies 2/2] RUN cargo …` or what cargo says in it.
pub fn progress(line: &str) -> Option<String> {
    let rest = line.strip_prefix('#')?.split_once(' ')?.1;
    if let Some(step) = rest.strip_prefix('[') {
        let (stage, command) = step.split_once(']')?;
        let command: String = command.trim().chars().take(60).collect();
        return (!stage.starts_with("internal")).then(|| format!("{stage}: {command}"));
    }
    let said = rest.split_once(' ')?.1.trim();
    let is_cargo = ["Compiling", "Downloaded", "Downloading", "Finished"].iter().any(|word| said.starts_with(word));
    is_cargo.then(|| said.chars().take(80).collect())
}

#[cfg(test)]
mod tests;
