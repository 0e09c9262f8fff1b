//! A deployment: what is to run, and how far it came. The words are those of the platform that is rehearsed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How often a container that fails is started again where nothing says it.
const USUAL_RETRIES: u64 = 10;
/// How long a deployment may take to answer where nothing says it.
const USUAL_HEALTH_TIMEOUT: u64 = 300;

/// What is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// The service that it is a version of.
    pub service: String,
    /// The image.
    pub image: String,
    /// The commit in it.
    pub commit: String,
    /// What a person calls it.
    pub message: String,
    /// Who asks for it.
    pub creator: String,
    /// The variables of its environment.
    pub variables: BTreeMap<String, String>,
    /// The network that its containers are in.
    pub network: String,
    /// The port that it listens on inside of its containers.
    pub port: u16,
    /// More arguments of `docker run`.
    pub flags: Vec<String>,
    /// The settings of the service, as they are declared.
    pub manifest: Value,
}

impl Spec {
    fn deploy(&self, key: &str) -> &Value {
        &self.manifest["deploy"][key]
    }

    fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.deploy(key).as_u64().unwrap_or(0))
    }

    /// How many containers run it.
    pub fn replicas(&self) -> usize {
        usize::try_from(self.deploy("numReplicas").as_u64().unwrap_or(1)).unwrap_or(1).max(1)
    }

    /// How long the version before goes on beside it.
    pub fn overlap(&self) -> Duration {
        self.seconds("overlapSeconds")
    }

    /// How long it may take to end after SIGTERM.
    pub fn draining(&self) -> Duration {
        self.seconds("drainingSeconds")
    }

    /// Where it says whether it is healthy; none where any start is good enough.
    pub fn health_path(&self) -> Option<&str> {
        self.deploy("healthcheckPath").as_str()
    }

    /// How long it may take to say so.
    pub fn health_timeout(&self) -> Duration {
        Duration::from_secs(self.deploy("healthcheckTimeout").as_u64().unwrap_or(USUAL_HEALTH_TIMEOUT))
    }

    /// What runs before it starts, as words.
    pub fn before(&self) -> Vec<String> {
        let words = self.deploy("preDeployCommand").as_str().unwrap_or_default();
        words.split_whitespace().map(str::to_owned).collect()
    }

    /// What becomes of a container that ends, in the words of `docker run --restart`.
    pub fn restart(&self) -> String {
        let retries = self.deploy("restartPolicyMaxRetries").as_u64().unwrap_or(USUAL_RETRIES);
        match self.deploy("restartPolicyType").as_str() {
            Some("NEVER") => "no".to_owned(),
            Some("ALWAYS") => "always".to_owned(),
            _ => format!("on-failure:{retries}"),
        }
    }
}

/// How far a deployment came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Its containers are being started, or have not answered yet.
    Deploying,
    /// It serves.
    Success,
    /// It never served.
    Failed,
    /// It served, and all of its containers have ended by themselves.
    Crashed,
    /// It was stopped before it served.
    Cancelled,
    /// A newer one serves.
    Removed,
}

/// How a container ended that was told to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code; 137 is that of one that had to be killed.
    pub code: i64,
    /// How long it took.
    pub milliseconds: u64,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// A word that no other has.
    pub id: String,
    /// When it was begun, RFC 3339.
    pub created_at: String,
    /// What runs.
    pub spec: Spec,
    /// How far it is.
    pub status: Status,
    /// Why it failed: the step, and the reason.
    pub reason: Option<(String, String)>,
    /// The names of its containers.
    pub containers: Vec<String>,
    /// How many of them run.
    #[serde(default)]
    pub running: usize,
    /// The container of what runs before it starts.
    pub before: Option<String>,
    /// How its containers ended.
    #[serde(default)]
    pub ended: Vec<Ended>,
    /// How long its switch took, from its order to the first request that it got.
    #[serde(default)]
    pub switch_milliseconds: Option<u64>,
}

impl Deployment {
    /// One that is only begun.
    pub fn begun(id: String, spec: Spec) -> Self {
        Self {
            created_at: now(),
            spec,
            status: Status::Deploying,
            reason: None,
            containers: Vec::new(),
            running: 0,
            before: None,
            ended: Vec::new(),
            switch_milliseconds: None,
            id,
        }
    }

    /// What others are told of it: no values of variables.
    pub fn told(&self) -> Value {
        let mut told = serde_json::to_value(self).unwrap_or_default();
        told["spec"]["variables"] = self.spec.variables.keys().map(|name| Value::from(name.as_str())).collect();
        told
    }
}

/// Now, in RFC 3339 with every digit, so that two in one second are in order.
pub fn now() -> String {
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::now_utc().format(format).unwrap_or_default()
}

/// Seconds since 1970 of a time in RFC 3339.
pub fn seconds_of(time: &str) -> Result<u64> {
    let format = &time::format_description::well_known::Rfc3339;
    let parsed = time::OffsetDateTime::parse(time, format).map_err(|error| anyhow!("{time} is no time: {error}"))?;
    Ok(u64::try_from(parsed.unix_timestamp())?)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A version with these settings.
    pub fn spec(deploy: &Value) -> Spec {
        Spec {
            service: "api".to_owned(),
            image: "image".to_owned(),
            commit: "a".to_owned(),
            message: String::new(),
            creator: "Ada".to_owned(),
            variables: BTreeMap::from([("KEY".to_owned(), "hunter2".to_owned())]),
            network: "net".to_owned(),
            port: 3000,
            flags: Vec::new(),
            manifest: json!({ "deploy": deploy }),
        }
    }

    #[test]
    fn the_settings_are_those_of_the_platform() {
        let all = spec(&json!({
            "preDeployCommand": "/bin/x migrate run", "healthcheckPath": "/health", "healthcheckTimeout": 7,
            "restartPolicyType": "ON_FAILURE", "restartPolicyMaxRetries": 3, "numReplicas": 2,
            "overlapSeconds": 10, "drainingSeconds": 15,
        }));
        assert_eq!(all.before(), ["/bin/x", "migrate", "run"]);
        assert_eq!((all.health_path(), all.health_timeout().as_secs()), (Some("/health"), 7));
        assert_eq!((all.restart().as_str(), all.replicas()), ("on-failure:3", 2));
        assert_eq!((all.overlap().as_secs(), all.draining().as_secs()), (10, 15));
        let none = spec(&json!({}));
        assert_eq!((none.before().len(), none.health_path(), none.replicas()), (0, None, 1));
        assert_eq!((none.restart().as_str(), none.overlap().as_secs()), ("on-failure:10", 0));
        assert_eq!(spec(&json!({ "restartPolicyType": "NEVER" })).restart(), "no");
    }

    #[test]
    fn no_value_of_a_variable_is_told() {
        let told = Deployment::begun("d".to_owned(), spec(&json!({}))).told();
        assert_eq!(told["spec"]["variables"], json!(["KEY"]));
        assert!(!told.to_string().contains("hunter2"), "{told}");
        assert_eq!(told["status"], "DEPLOYING");
    }

    #[test]
    fn times_are_in_order_as_text() {
        let (one, other) = (now(), now());
        assert!(one <= other && seconds_of(&one).unwrap() > 1_700_000_000);
        assert!(seconds_of("yesterday").is_err());
    }
}
