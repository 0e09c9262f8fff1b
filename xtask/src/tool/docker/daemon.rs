//! The daemon: whether it answers, its version, and how it is confined.

use serde::Deserialize;

use super::{QUESTION_TIMEOUT, question};
use crate::runner::Output;
use crate::step::Step;

/// The oldest engine that is good enough, as `major, minor`.
pub const MINIMUM: (u32, u32) = (20, 10);
/// Asks the daemon for its version.
pub fn daemon_version() -> Step {
    question("ask for a Docker daemon").args(["version", "--format", "{{json .}}"]).timeout(QUESTION_TIMEOUT)
}

/// Asks for Compose's version.
pub fn compose_version() -> Step {
    question("ask for Docker Compose").args(["compose", "version", "--short"]).timeout(QUESTION_TIMEOUT)
}

/// Asks which daemon the client talks to.
pub fn context() -> Step {
    question("ask for Docker's context").args(["context", "show"]).timeout(QUESTION_TIMEOUT)
}

/// Asks how the daemon is confined; `name=rootless` is among the answers of one that does without root.
pub fn security_options() -> Step {
    question("ask how Docker is confined")
        .args(["info", "--format", "{{json .SecurityOptions}}"])
        .timeout(QUESTION_TIMEOUT)
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
    fn what_no_daemon_says_is_a_silence_with_its_reason() {
        let silent = |client: Option<&str>, reason: &str| Daemon::Silent(client.map(str::to_owned), reason.to_owned());
        for (stdout, stderr, expected) in [
            ("", "", silent(None, "the client says nothing")),
            ("", "  permission denied  \nsecond line", silent(None, "permission denied")),
            ("{\"Client\":{\"Version\":\"28.2.2\"},\"Ser", "cut", silent(None, "cut")),
            ("null", "", silent(None, "the client says nothing")),
            (r#"{"Client":{"Version":"28.2.2"}}"#, "", silent(Some("28.2.2"), "the client says nothing")),
            (r#"{"Client":null,"Server":null}"#, "x", silent(None, "x")),
            (r#"{"Server":{"Version":28}}"#, "", silent(None, "the client says nothing")),
        ] {
            assert_eq!(parse_daemon(&said(stdout, stderr)), expected, "{stdout}");
        }
    }

    #[test]
    fn a_warning_beside_an_answer_does_not_make_it_a_silence() {
        for components in ["", r#","Components":null"#, r#","Components":[]"#, r#","Components":[{"Name":"Engine"}]"#] {
            let text = format!(r#"{{"Server":{{"Version":"28.2.2"{components}}}}}"#);
            let answers = Daemon::Answers { version: "28.2.2".to_owned(), is_podman: false };
            assert_eq!(parse_daemon(&said(&text, "WARNING: no swap limit support")), answers, "{text}");
        }
    }
}
