//! docker: the daemon, its images and its containers. What is said to compose is in [`super::compose`].

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::failure::Exit;
use crate::runner::Output;
use crate::step::Step;
use crate::tool::backend::Variable;

/// The oldest engine that is good enough, as `major, minor`.
pub const MINIMUM: (u32, u32) = (20, 10);
/// A daemon on another machine, or one that is just starting, may take its time; nobody wants to wait for it here.
const ANSWER: Duration = Duration::from_secs(3);
/// How long a question about containers may take on a busy machine.
const BUSY: Duration = Duration::from_secs(30);
/// How long an image may take to come.
const PULL: Duration = Duration::from_mins(15);

fn question(purpose: &str) -> Step {
    Step::new(purpose, "docker").only_reads().timeout(BUSY)
}

/// Asks the daemon for its version.
pub fn daemon_version() -> Step {
    question("ask for a Docker daemon").args(["version", "--format", "{{json .}}"]).timeout(ANSWER)
}

/// Asks for Compose's version.
pub fn compose_version() -> Step {
    question("ask for Docker Compose").args(["compose", "version", "--short"]).timeout(ANSWER)
}

/// Asks which daemon the client talks to.
pub fn context() -> Step {
    question("ask for Docker's context").args(["context", "show"]).timeout(ANSWER)
}

/// Asks how the daemon is confined; `name=rootless` is among the answers of one that does without root.
pub fn security_options() -> Step {
    question("ask how Docker is confined").args(["info", "--format", "{{json .SecurityOptions}}"]).timeout(ANSWER)
}

/// Asks which container publishes a port.
pub fn container_on(port: u16) -> Step {
    question("ask which container holds the port")
        .args(["ps", "--filter", &format!("publish={port}"), "--format", "{{.Names}}"])
        .timeout(ANSWER)
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
    Step::new("save the image", "docker").args(["save", "--output"]).arg(into).arg(name).timeout(PULL)
}

/// Sends an image to its registry.
pub fn push(name: &str) -> Step {
    Step::new(format!("push the image {name}"), "docker")
        .args(["push", name])
        .timeout(PULL)
        .hint("docker login, if the registry asks who you are")
        .hint("--tag REGISTRY/NAME:TAG, if the name has no registry in it")
}

/// Makes a network of its own for some containers; `label` says whose it is.
pub fn make_network(name: &str, label: &str) -> Step {
    Step::new("make a network", "docker").args(["network", "create", "--label", label, name])
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
    step.arg(image).args(command.iter().copied()).timeout(BUSY)
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
        .timeout(PULL)
        .exit(Exit::Missing)
        .hint("--engine host, which needs no images")
        .hint("docker login, if the registry asks who you are")
}

/// Asks how a container is.
pub fn state(container: &str) -> Step {
    question("look at a container").args(["inspect", "--type", "container", "--format", "{{json .State}}", container])
}

/// What a file inside of a running container holds.
pub fn read_file(container: &str, path: &Path) -> Step {
    question("read a file in a container").args(["exec", container, "cat"]).arg(path)
}

/// The end of what a container said.
pub fn last_words(container: &str, lines: u32) -> Step {
    question("read what a container said").args(["logs", "--tail", &lines.to_string(), container])
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

/// Builds a stage of the Dockerfile.
pub fn build(root: &Path, tag: &str, target: &str, arguments: &[(&str, &String)], no_cache: bool, pull: bool) -> Step {
    let step = Step::new(format!("build the image {tag}"), "docker").env("DOCKER_BUILDKIT", "1").folder(root).args([
        "build",
        "--progress",
        "plain",
        "--file",
        "infra/Dockerfile",
        "--target",
        target,
        "--tag",
        tag,
    ]);
    let step =
        arguments.iter().fold(step, |step, (name, value)| step.arg("--build-arg").arg(format!("{name}={value}")));
    let step = if no_cache { step.arg("--no-cache") } else { step };
    let step = if pull { step.arg("--pull") } else { step };
    step.arg(".").digest(digest)
}

/// What a failed build's plain progress comes down to: the first error of what was run, or the last lines where there is
/// none, and the line of the Dockerfile that failed.
pub fn digest(said: &[String]) -> Vec<String> {
    // `#13 4.567 error: …` is what a command says, `#13 [build 2/2] RUN …` and `#13 ERROR: …` are the builder's own words.
    let spoken: Vec<&str> = said.iter().filter_map(|line| spoken(line)).collect();
    let first = spoken.iter().position(|line| line.trim_start().starts_with("error"));
    let mut lines: Vec<String> = match first {
        Some(first) => spoken[first..].iter().take(12).map(|line| (*line).to_owned()).collect(),
        None => spoken[spoken.len().saturating_sub(12)..].iter().map(|line| (*line).to_owned()).collect(),
    };
    let place = said.iter().rposition(|line| line.starts_with("Dockerfile:"));
    lines.extend(said[place.unwrap_or(said.len())..].iter().filter(|line| is_place(line)).cloned());
    lines.extend(said.iter().rev().find(|line| line.starts_with("ERROR")).cloned());
    lines
}

/// What a command has said, in a line of the progress.
fn spoken(line: &str) -> Option<&str> {
    let (_, rest) = line.strip_prefix('#')?.split_once(' ')?;
    let (seconds, said) = rest.split_once(' ')?;
    seconds.parse::<f64>().ok().map(|_| said)
}

/// Whether the line shows where in the Dockerfile it failed.
fn is_place(line: &str) -> bool {
    line.starts_with("Dockerfile:") || line.contains(" >>> ")
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    client: Option<Version>,
    server: Option<Server>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Server {
    version: String,
    #[serde(default)]
    components: Option<Vec<Component>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
}

/// What there is of Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    /// A daemon answers, of this version.
    Answers {
        /// Its version.
        version: String,
        /// Whether it is Podman behind Docker's interface; its version counts differently.
        is_podman: bool,
    },
    /// The client is of this version, and no daemon answers because of this.
    Silent(Option<String>, String),
}

/// What the answer to [`daemon_version`] means.
pub fn parse_daemon(output: &Output) -> Daemon {
    let versions: Option<Versions> = serde_json::from_str(output.stdout.trim()).ok();
    let client = versions.as_ref().and_then(|versions| Some(versions.client.as_ref()?.version.clone()));
    if let Some(server) = versions.and_then(|versions| versions.server) {
        let components = server.components.unwrap_or_default();
        Daemon::Answers {
            version: server.version,
            is_podman: components.iter().any(|component| component.name.contains("Podman")),
        }
    } else {
        let reason = output.stderr.lines().next().unwrap_or("the client says nothing").trim();
        Daemon::Silent(client, reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stdout: &str, stderr: &str) -> Output {
        Output { code: Some(i32::from(!stderr.is_empty())), stdout: stdout.to_owned(), stderr: stderr.to_owned() }
    }

    #[test]
    fn a_client_without_a_daemon_is_told_from_both() {
        let alone = said(
            r#"{"Client":{"Version":"28.2.2"},"Server":null}"#,
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\nIs it running?",
        );
        let reason = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.".to_owned();
        assert_eq!(parse_daemon(&alone), Daemon::Silent(Some("28.2.2".to_owned()), reason));
        let both = said(r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"20.10.24"}}"#, "");
        assert_eq!(parse_daemon(&both), Daemon::Answers { version: "20.10.24".to_owned(), is_podman: false });
    }

    #[test]
    fn podman_is_told_from_docker() {
        let podman = said(
            r#"{"Client":{"Version":"28.2.2"},
                "Server":{"Version":"4.3.1","Components":[{"Name":"Podman Engine","Version":"4.3.1"}]}}"#,
            "",
        );
        assert_eq!(parse_daemon(&podman), Daemon::Answers { version: "4.3.1".to_owned(), is_podman: true });
    }

    #[test]
    fn a_failed_build_comes_down_to_its_first_error_and_the_dockerfiles_line() {
        let said = "#1 [internal] load build definition\n#9 [build 2/2] RUN cargo build\n#9 1.2    Compiling backend\n\
                    #9 2.0 warning: unused\n#9 2.1 error[E0425]: cannot find value `x`\n#9 2.1   --> src/main.rs:1:1\n\
                    #9 ERROR: process \"/bin/sh -c cargo build\" did not complete\n------\n > [build 2/2] RUN:\n------\n\
                    Dockerfile:36\n--------------------\n  35 |     # why\n  36 | >>> RUN cargo build\n\
                    --------------------\nERROR: failed to solve: exit code: 101";
        let said: Vec<String> =
            said.lines().map(|line| line.trim_start_matches("                    ").to_owned()).collect();
        assert_eq!(
            digest(&said),
            [
                "error[E0425]: cannot find value `x`",
                "  --> src/main.rs:1:1",
                "Dockerfile:36",
                "  36 | >>> RUN cargo build",
                "ERROR: failed to solve: exit code: 101",
            ]
        );
    }

    #[test]
    fn the_last_answer_of_a_containers_check_is_found() {
        let state = parse_state(&said(
            r#"{"Status":"running","ExitCode":0,"OOMKilled":false,"StartedAt":"2026-11-21T17:00:00.1Z",
                "Health":{"Status":"unhealthy","FailingStreak":2,"Log":[{"Output":"first"},{"Output":"no route\n"}]}}"#,
            "",
        ));
        assert_eq!(state.unwrap().last_health(), Some("no route"));
        let without = parse_state(&said(r#"{"Status":"exited","ExitCode":137,"OOMKilled":true}"#, "")).unwrap();
        assert_eq!((without.exit_code, without.is_out_of_memory, without.last_health()), (137, true, None));
    }
}
