//! docker: its images and its containers. Compose has [`super::compose`].

mod daemon;
mod image_build;

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::failure::Exit;
use crate::runner::Output;
use crate::step::Step;
use crate::tool::backend::Variable;

pub use self::daemon::*;
pub use self::image_build::{build, digest};

/// A daemon on another machine, or one that is just starting, may take its time; nobody wants to wait for it here.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a question about containers may take on a busy machine.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an image may take to come.
const PULL_TIMEOUT: Duration = Duration::from_mins(15);

fn question(purpose: &str) -> Step {
    Step::new(purpose, "docker").only_reads().timeout(BUSY_TIMEOUT)
}

/// Asks which container publishes a port.
pub fn container_on(port: u16) -> Step {
    question("ask which container holds the port")
        .args(["ps", "--filter", &format!("publish={port}"), "--format", "{{.Names}}"])
        .timeout(QUESTION_TIMEOUT)
}

/// Asks for the images of that name: a line each, and none where it is not there.
pub fn images_named(name: &str) -> Step {
    question("look for an image").args(["image", "ls", "--quiet", "--filter", &format!("reference={name}")])
}

/// Asks for the containers of that name: a line each, and none where it is not there.
pub fn containers_named(name: &str) -> Step {
    let filter = format!("name=^/?{name}$");
    question("look for a container").args(["ps", "--all", "--quiet", "--filter", &filter])
}

/// Describes an image.
pub fn describe_image(name: &str) -> Step {
    question("look at an image").args(["image", "inspect", name])
}

/// Tells the steps that made an image, each with its size in bytes.
pub fn history(name: &str) -> Step {
    question("read an image's history").args(["history", "--no-trunc", "--human=false", "--format", "{{json .}}", name])
}

/// Writes an image with all of its layers into a file.
pub fn save(name: &str, into: &Path) -> Step {
    Step::new("save the image", "docker").args(["save", "--output"]).arg(into).arg(name).timeout(PULL_TIMEOUT)
}

/// Sends an image to its registry.
pub fn push(name: &str) -> Step {
    Step::new(format!("push the image {name}"), "docker")
        .args(["push", name])
        .timeout(PULL_TIMEOUT)
        .hint("docker login, if the registry asks who you are")
        .hint("--tag REGISTRY/NAME:TAG, if the name has no registry in it")
}

/// Asks under which digests registries have an image.
pub fn digests(name: &str) -> Step {
    Step::new("ask for the digest of the image", "docker")
        .args(["image", "inspect", "--format", "{{json .RepoDigests}}", name])
        .only_reads()
}

/// The digest under which the registry in a name has an image, as `NAME@sha256:…`.
pub fn parse_digest(said: &str, repository: &str) -> Option<String> {
    let all: Vec<String> = serde_json::from_str(said.trim()).ok()?;
    all.into_iter().find(|one| one.split_once('@').is_some_and(|(name, _)| name == repository))
}

/// Makes a network of its own for some containers; `label` says whose it is.
pub fn make_network(name: &str, label: &str) -> Step {
    Step::new("make a network", "docker").args(["network", "create", "--label", label, name])
}

/// Makes a volume; `label` says whose it is.
pub fn make_volume(name: &str, label: &str) -> Step {
    Step::new("make a volume", "docker").args(["volume", "create", "--label", label, name])
}

/// Starts containers again that have ended.
pub fn start(names: &[String]) -> Step {
    Step::new("start the containers", "docker").arg("start").args(names).timeout(BUSY_TIMEOUT)
}

/// The answer to [`published_port`]; none where there is no such container.
pub fn parse_published_port(said: &str) -> Option<u16> {
    said.lines().next()?.rsplit_once(':')?.1.trim().parse().ok()
}

/// Starts a container, and waits for its end unless a flag says `--detach`. Each variable is taken from our environment.
pub fn run(purpose: &str, name: &str, flags: &[&str], variables: &[Variable], image: &str, command: &[&str]) -> Step {
    let step = Step::new(purpose, "docker").args(["run", "--name", name]).args(flags.iter().copied());
    // By name only: arguments can be read by everybody.
    let step = variables.iter().fold(step, |step, variable| variable.give_to(step.args(["--env", &variable.name])));
    step.arg(image).args(command.iter().copied()).timeout(BUSY_TIMEOUT)
}

/// Runs a command in a container.
pub fn exec(container: &str, command: &[&str]) -> Step {
    Step::new(format!("run {}", command.join(" ")), "docker").args(["exec", container]).args(command.iter().copied())
}

/// Asks on which port of this machine a container's port is.
pub fn published_port(container: &str) -> Step {
    question("ask for a container's port").args(["port", container])
}

/// Asks how much memory a container uses.
pub fn memory(container: &str) -> Step {
    question("ask for a container's memory").args(["stats", "--no-stream", "--format", "{{.MemUsage}}", container])
}

/// Stops containers by their stop signals, and kills what is left after that many seconds.
pub fn stop_all(names: &[String], seconds: u64) -> Step {
    Step::new("stop the containers", "docker").args(["stop", "--time", &seconds.to_string()]).args(names)
}

/// Kills a container.
pub fn kill(container: &str) -> Step {
    Step::new("kill a container", "docker").args(["kill", container])
}

/// Stops a container by its stop signal, and kills it after that many seconds.
pub fn stop(container: &str, seconds: u64) -> Step {
    Step::new("stop the container", "docker").args(["stop", "--time", &seconds.to_string(), container])
}

/// Fetches an image.
pub fn pull(name: &str) -> Step {
    Step::new(format!("fetch the image {name}"), "docker")
        .args(["pull", "--quiet", name])
        .timeout(PULL_TIMEOUT)
        .exit(Exit::Missing)
        .hint("--engine host, which needs no images")
        .hint("docker login, if the registry asks who you are")
}

/// Asks how a container is.
pub fn state(container: &str) -> Step {
    question("look at a container").args(["inspect", "--type", "container", "--format", "{{json .State}}", container])
}

/// Asks for the process of this machine that a container is.
pub fn process_of(container: &str) -> Step {
    question("ask for a container's process").args(["inspect", "--format", "{{.State.Pid}}", container])
}

/// Asks how often a container was started again because it had failed.
pub fn restarts_of(container: &str) -> Step {
    question("ask how often a container was started again").args([
        "inspect",
        "--format",
        "{{.RestartCount}}",
        container,
    ])
}

/// What a file inside of a running container holds.
pub fn read_file(container: &str, path: &Path) -> Step {
    question("read a file in a container").args(["exec", container, "cat"]).arg(path)
}

/// The end of what a container said.
pub fn last_words(container: &str, lines: u32) -> Step {
    question("read what a container said").args(["logs", "--tail", &lines.to_string(), container])
}

/// What a container said from a time on, each line with its time.
pub fn log(container: &str, from: Option<&str>, lines: u32) -> Step {
    let step = question("read what a container said").args(["logs", "--timestamps", "--tail", &lines.to_string()]);
    let step = if let Some(from) = from { step.args(["--since", from]) } else { step };
    step.arg(container)
}

/// Asks for the containers of a project that run.
pub fn running_of(project: &str) -> Step {
    let label = format!("label=com.docker.compose.project={project}");
    question("look for containers that run").args(["ps", "--filter", &label, "--format", "{{.Names}}"])
}

/// Asks for the images of a repository, a name with its tag a line.
pub fn tags_of(repository: &str) -> Step {
    question("look for images").args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository])
}

/// Asks for the containers of a compose project, without compose: service, name and state of each, between tabs.
pub fn containers_of(project: &str) -> Step {
    let label = format!("label=com.docker.compose.project={project}");
    let format = "{{.Label \"com.docker.compose.service\"}}\t{{.Names}}\t{{.State}}";
    question("look at the containers").args(["ps", "--all", "--filter", &label, "--format", format])
}

/// Asks for what belongs to a compose project.
pub fn resources(kind: Kind, project: &str) -> Step {
    let label = format!("label=com.docker.compose.project={project}");
    let step = question("look for what belongs to the stack");
    match kind {
        Kind::Container => step.args(["ps", "--all", "--filter", &label, "--format", "{{.Names}}"]),
        Kind::Volume => step.args(["volume", "ls", "--filter", &label, "--format", "{{.Name}}"]),
        Kind::Network => step.args(["network", "ls", "--filter", &label, "--format", "{{.Name}}"]),
        Kind::Image => step.args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", &format!("{project}-*")]),
    }
}

/// What a compose project is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// A volume.
    Volume,
    /// A network.
    Network,
    /// An image that was built for it.
    Image,
}

impl Kind {
    /// In the order in which they are removed.
    pub const ALL: [Self; 4] = [Self::Container, Self::Network, Self::Volume, Self::Image];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Image => "image",
        }
    }
}

/// Removes what has these names.
pub fn remove(kind: Kind, names: &[String]) -> Step {
    let step = Step::new(format!("remove {}s", kind.name()), "docker");
    match kind {
        Kind::Container => step.args(["rm", "--force", "--volumes"]),
        Kind::Volume => step.args(["volume", "rm"]),
        Kind::Network => step.args(["network", "rm"]),
        Kind::Image => step.args(["image", "rm"]),
    }
    .args(names)
}

/// Stops containers at once and removes them.
pub fn remove_containers(names: &[String]) -> Step {
    remove(Kind::Container, names)
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    /// How it ended.
    pub exit_code: i32,
    /// Whether it was ended because it used more memory than it may.
    #[serde(rename = "OOMKilled", default)]
    pub is_out_of_memory: bool,
    /// When it was started, RFC 3339.
    #[serde(default)]
    pub started_at: String,
    /// What its check says.
    #[serde(default)]
    pub health: Option<HealthLog>,
}

/// What a container's check has said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthLog {
    /// From the oldest to the newest.
    #[serde(default)]
    pub log: Option<Vec<HealthEntry>>,
}

/// One answer of a check.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthEntry {
    /// What it printed.
    #[serde(default)]
    pub output: String,
}

impl State {
    /// What the check said last.
    pub fn last_health(&self) -> Option<&str> {
        let entries = self.health.as_ref()?.log.as_ref()?;
        Some(entries.last()?.output.trim()).filter(|output| !output.is_empty())
    }
}

/// The answer to [`state`].
pub fn parse_state(output: &Output) -> Option<State> {
    serde_json::from_str(output.stdout.trim()).ok()
}

#[cfg(test)]
mod tests;
