//! docker: for now only to see whether it is there, and which container holds a port.

use std::time::Duration;

use serde::Deserialize;

use crate::runner::Output;
use crate::step::Step;

/// A daemon on another machine, or one that is just starting, may take its time; nobody wants to wait for it here.
const ANSWER: Duration = Duration::from_secs(3);

/// Asks the daemon for its version.
pub fn daemon_version() -> Step {
    Step::new("ask for a Docker daemon", "docker")
        .args(["version", "--format", "{{json .}}"])
        .only_reads()
        .limit(ANSWER)
}

/// Asks for Compose's version.
pub fn compose_version() -> Step {
    Step::new("ask for Docker Compose", "docker").args(["compose", "version", "--short"]).only_reads().limit(ANSWER)
}

/// Asks which container publishes a port.
pub fn container_on(port: u16) -> Step {
    Step::new("ask which container holds the port", "docker")
        .args(["ps", "--filter", &format!("publish={port}"), "--format", "{{.Names}}"])
        .only_reads()
        .limit(ANSWER)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    client: Option<Version>,
    server: Option<Version>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
}

/// What there is of Docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    /// A daemon answers, of this version.
    Answers(String),
    /// The client is of this version, and no daemon answers because of this.
    Silent(Option<String>, String),
}

/// What the answer to [`daemon_version`] means.
pub fn parse_daemon(output: &Output) -> Daemon {
    let versions: Option<Versions> = serde_json::from_str(output.stdout.trim()).ok();
    let client = versions.as_ref().and_then(|versions| Some(versions.client.as_ref()?.version.clone()));
    if let Some(server) = versions.and_then(|versions| versions.server) {
        Daemon::Answers(server.version)
    } else {
        let reason = output.stderr.lines().next().unwrap_or("the client says nothing").trim();
        Daemon::Silent(client, reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_a_daemon_is_told_from_both() {
        let alone = Output {
            code: Some(1),
            stdout: r#"{"Client":{"Version":"28.2.2"},"Server":null}"#.to_owned(),
            stderr: "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\nIs it running?".to_owned(),
        };
        let reason = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.".to_owned();
        assert_eq!(parse_daemon(&alone), Daemon::Silent(Some("28.2.2".to_owned()), reason));
        let both = Output {
            code: Some(0),
            stdout: r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"20.10.24"}}"#.to_owned(),
            stderr: String::new(),
        };
        assert_eq!(parse_daemon(&both), Daemon::Answers("20.10.24".to_owned()));
    }
}
