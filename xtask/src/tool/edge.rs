//! The edge that a rehearsed deployment stands behind: a program of this workspace.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::runner::Output;
use crate::step::{Stdin, Step};
use crate::tool::railway::Refusal;

/// The package and its program.
pub const PACKAGE: &str = "edge";
/// The file that tells where orders go, in its folder.
pub const ENTRANCE: &str = "edge-entrance.json";
/// How long an answer may take: a deployment may have to be stopped for it.
const TIMEOUT: Duration = Duration::from_secs(100);

/// The program, and where it keeps what it knows.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The program.
    pub program: PathBuf,
    /// Its folder.
    pub folder: PathBuf,
}

/// Where the services are, and all deployments.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Standing {
    /// The port of each service on this machine.
    pub ports: BTreeMap<String, u16>,
    /// The oldest first.
    pub deployments: Vec<Known>,
}

/// A deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct Known {
    /// Its id.
    pub id: String,
    /// When it was begun, RFC 3339.
    pub created_at: String,
    /// How far it came, in a word of the platform's.
    pub status: String,
    /// Why it failed: the step, and the reason.
    pub reason: Option<(String, String)>,
    /// How many of its containers run.
    pub running: usize,
    /// The names of its containers.
    pub containers: Vec<String>,
    /// The container of what ran before it started.
    pub before: Option<String>,
    /// From its order until requests went to it.
    #[serde(default)]
    pub switch_milliseconds: Option<u64>,
    /// How its containers ended.
    #[serde(default)]
    pub ended: Vec<Ended>,
    /// What runs.
    pub spec: Version,
}

/// How a container ended that was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// Its exit code; 137 is that of one that had to be killed.
    pub code: i64,
    /// How long it took.
    pub milliseconds: u64,
}

/// What a deployment runs.
#[derive(Debug, Clone, Deserialize)]
pub struct Version {
    /// The service.
    pub service: String,
    /// The commit.
    pub commit: String,
    /// What a person calls it.
    pub message: String,
    /// Who asked for it.
    pub creator: String,
    /// The settings that it runs with.
    pub manifest: Value,
}

/// The answer to an order that begins a deployment.
#[derive(Debug, Deserialize)]
pub struct Begun {
    /// Its id.
    pub id: String,
}

/// The answer to [`Edge::answers`].
#[derive(Debug, Deserialize)]
pub struct Answers {
    /// How many requests were answered.
    pub all: u32,
    /// How many of them with 500 or more.
    pub bad: u32,
}

impl Edge {
    fn step(&self, purpose: &str) -> Step {
        Step::new(purpose, &self.program).arg("--folder").arg(&self.folder)
    }

    /// Stands in front of the services until SIGTERM; the containers that it starts get the label.
    pub fn serve(&self, label: &str) -> Step {
        self.step("start the edge").args(["serve", "--label", label])
    }

    fn ask(&self, purpose: &str, order: &Value) -> Step {
        self.step(purpose).args(["ask".to_owned(), order.to_string()]).timeout(TIMEOUT)
    }

    /// Asks where the services are, and for all deployments. Services that have no address yet get one.
    pub fn standing(&self, services: &[&str]) -> Step {
        self.ask("look at what was rehearsed", &json!({ "status": { "services": services } })).only_reads()
    }

    /// Begins a deployment; its variables hold secrets, which go through stdin.
    pub fn begin(&self, spec: &Value) -> Step {
        let order = json!({ "begin": spec }).to_string();
        self.step("start the new version beside the old one")
            .args(["ask", "-"])
            .stdin(Stdin::Text(order))
            .timeout(TIMEOUT)
    }

    /// Has an older deployment serve again, with its image and its variables.
    pub fn roll_back(&self, id: &str) -> Step {
        self.ask("have an older version serve again", &json!({ "roll_back": id }))
    }

    /// Stops a deployment that does not serve yet.
    pub fn stop(&self, id: &str) -> Step {
        self.ask("stop the new version", &json!({ "stop": id }))
    }

    /// Asks how many requests a service has answered between two times.
    pub fn answers(&self, service: &str, from: &str, until: &str) -> Step {
        let order = json!({ "answers": { "service": service, "from": from, "until": until } });
        self.ask("count the answers", &order).only_reads()
    }
}

/// What it answers, or why it does not.
pub fn parse<T: DeserializeOwned>(output: &Output) -> Result<T, Refusal> {
    if output.is_success() {
        return serde_json::from_str(output.stdout.trim())
            .map_err(|error| Refusal::Away(format!("the answer of the edge cannot be read: {error}")));
    }
    let said = output.stderr.trim().trim_start_matches("Error: ").to_owned();
    let is_away = ["is not there", "gives no answer", "does not answer", "no edge serves"];
    Err(if is_away.iter().any(|words| said.contains(words)) || said.is_empty() {
        Refusal::Away(said)
    } else {
        Refusal::Denied(said)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::{fails, says};

    fn edge() -> Edge {
        Edge { program: "edge".into(), folder: "/f".into() }
    }

    #[test]
    fn orders_are_words_unless_they_hold_secrets() {
        let shown = |step: Step| step.to_string();
        assert_eq!(shown(edge().roll_back("d")), r#"edge --folder /f ask '{"roll_back":"d"}'"#);
        let begin = shown(edge().begin(&json!({ "variables": { "KEY": "hunter2" } })));
        assert_eq!(begin, "printf '***' | edge --folder /f ask -");
        assert!(edge().standing(&["api"]).is_read_only() && !edge().stop("d").is_read_only());
    }

    #[test]
    fn one_that_is_not_there_may_be_asked_again_and_one_that_refuses_not() {
        assert_eq!(parse::<Begun>(&says(r#"{"id":"d"}"#)).unwrap().id, "d");
        let refused = |said: &str| parse::<Begun>(&fails(1, said)).unwrap_err();
        assert_eq!(
            refused("Error: the deployment d is under way"),
            Refusal::Denied("the deployment d is under way".into())
        );
        assert!(matches!(refused("Error: the edge is not there\n\nCaused by:\n refused"), Refusal::Away(_)));
        assert!(matches!(refused(""), Refusal::Away(_)));
    }
}
