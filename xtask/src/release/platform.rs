//! What a release needs of the place that it goes to. The phases know this and nothing more: Railway is one
//! implementation, the rehearsal another.
//!
//! The words are Railway's, because what is rehearsed is a deploy to Railway: the statuses of deployments, settings that
//! are staged and applied, shared variables.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::Release;
use super::declaration::Declaration;
use super::preflight::Finding;
use crate::interrupt::CancelToken;
use crate::plan::{Access, Phase};
use crate::runner::Runner;
use crate::step::Step;
use crate::tool::backend::Variable;

pub use crate::tool::railway::answer::{Deployment, LogLine, SERVING, Status, UNDER_WAY, WERE_LIVE, Workflow};
pub use crate::tool::railway::{Destination, Refusal};

/// Where releases go.
pub trait Target: Send + Sync {
    /// Its name, as the subject of a sentence.
    fn name(&self) -> &'static str;

    /// The phases that have what releases there take, before the first question.
    fn surroundings(&self) -> Vec<Phase>;

    /// It, asked by that runner until somebody cancels.
    fn by<'a>(&'a self, runner: &'a dyn Runner, cancel: &'a CancelToken) -> Box<dyn Platform + 'a>;

    /// The commands of an order, as far as they can be told before, for a dry run.
    fn commands(&self, order: &Order<'_>) -> Vec<Step>;

    /// How this machine reaches what is deployed there.
    fn network(&self) -> &[Variable];

    /// What lets a walk through the service sign in; none where nobody has said it.
    fn operator_token(&self) -> Option<Variable>;

    /// Whether others meet there, so that only what they can look at is released.
    fn is_shared(&self) -> bool;

    /// What to type to see the log of a deployment.
    fn log_hint(&self, deployment: &str) -> String;

    /// The flags that name an environment there to other tasks.
    fn flags(&self, environment: &str) -> String;
}

/// Something that changes what is there.
pub enum Order<'a> {
    /// Change settings, without a deployment.
    Settings(&'a Destination, &'a Value, &'a str),
    /// Have a service built from what is checked out, and started.
    Upload(&'a Destination, &'a str),
    /// Have a service run an image.
    Image(&'a Destination, &'a str, &'a str),
    /// Have an older deployment serve again.
    RollBack(&'a str),
    /// Keep the data of a database under a name.
    BackUp(&'a Destination, &'a str),
}

/// Which log of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// What its build says.
    Build,
    /// What it says itself.
    Deploy,
}

/// The project, the environment and its services, by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The project's name.
    pub project: String,
    /// The environment's name.
    pub environment: String,
    /// The services in their order.
    pub services: Vec<Destination>,
    /// The database's service.
    pub database: Option<Destination>,
}

impl Place {
    /// Any of its services, for what is about the whole environment.
    pub fn any(&self) -> &Destination {
        &self.services[0]
    }
}

/// A target that is asked.
pub trait Platform {
    /// Its name, as the subject of a sentence.
    fn name(&self) -> &'static str;

    /// Where a person looks at a service or stops it, to complete "look at the service …".
    fn dashboard(&self) -> &'static str;

    /// Whether to stop asking.
    fn cancel(&self) -> &CancelToken;

    /// Why nobody could be asked at all.
    fn unusable(&self) -> Result<Vec<Finding>>;

    /// Resolves names to ids; the findings say what cannot be.
    fn resolve(
        &self,
        declaration: &Declaration,
        project: Option<&str>,
        environment: &str,
    ) -> Result<Result<Place, Vec<Finding>>>;

    /// What is in the way of deployments of a service that only this target knows, and what is worth a warning.
    fn obstacles(&self, to: &Destination, warnings: &mut Vec<String>) -> Result<Vec<Finding>>;

    /// How many proxies stand in front of a service, where it has to be told that by a variable.
    fn proxies(&self) -> Option<u8>;

    /// What to type to give a service its variables.
    fn variables_hint(&self, environment: &str, service: &str) -> String;

    /// The names of a service's own variables.
    fn variable_names(&self, to: &Destination) -> Result<Vec<String>>;

    /// The settings of a service, without its variables.
    fn settings(&self, to: &Destination) -> Result<Value>;

    /// What somebody has changed and not applied. It may hold values: only its [`places`] may be shown.
    fn staged(&self, environment: &str) -> Result<Value>;

    /// Where a service is reached; none where it has no domain.
    fn url(&self, to: &Destination) -> Result<Option<String>>;

    /// The newest deployments of a service with one of these statuses, the newest first.
    fn deployments(&self, to: &Destination, statuses: &[&str], most: usize) -> Result<Vec<Deployment>>;

    /// A deployment.
    fn deployment(&self, id: &str) -> Result<Deployment>;

    /// A look at a deployment among many; `Err` has what was said instead, which is not a verdict on the deployment.
    fn look_at(&self, id: &str) -> Result<Result<Deployment, Refusal>>;

    /// The deployment of a service that serves; none where nothing does.
    fn serving(&self, to: &Destination) -> Result<Option<Deployment>> {
        Ok(self.deployments(to, &SERVING, 5)?.into_iter().next())
    }

    /// Which step of a deployment went wrong, and why; none where nobody says.
    fn failed_step(&self, id: &str) -> Option<String>;

    /// The lines of a log from a time on. Where none come now, they may later: a log is not a verdict.
    fn log(&self, log: Log, id: &str, from: Option<&str>, most: u32) -> Vec<LogLine>;

    /// How many requests a service has answered between two times, and how many of them with 500 or more.
    fn answers(&self, to: &Destination, from: &str, until: &str) -> Result<(f64, f64)>;

    /// The value of a shared variable of ours.
    fn shared(&self, to: &Destination, name: &str) -> Result<Option<String>>;

    /// Sets a shared variable, without a deployment.
    fn set_shared(&self, to: &Destination, name: &str, value: &str) -> Result<()>;

    /// Within which time what somebody writes is seen by everybody.
    fn settle(&self) -> Duration;

    /// Stages settings.
    fn stage(&self, to: &Destination, patch: &Value) -> Result<()>;

    /// Applies what is staged, without a deployment; gives back the workflow that does it.
    fn commit_staged(&self, to: &Destination, message: &str) -> Result<String>;

    /// How far a workflow is.
    fn workflow(&self, id: &str) -> Result<Workflow>;

    /// Begins to keep the data of a database under a name; gives back the workflow that does it.
    fn back_up(&self, database: &Destination, name: &str) -> Result<String>;

    /// Begins a deployment of a service, and gives back its id. `known` are the deployments that are there already.
    fn begin(
        &self,
        release: &Release,
        access: &Access<'_>,
        index: usize,
        service: &str,
        known: &[String],
    ) -> Result<String>;

    /// Makes a service run an older deployment again. `false` where no answer came: it may be done all the same.
    fn roll_back(&self, id: &str) -> Result<bool>;

    /// Stops a deployment that is under way.
    fn stop_deployment(&self, id: &str) -> Result<()>;
}

/// The places in a patch, as `services.x.deploy.numReplicas`: names only, because values may be secrets.
pub fn places(patch: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, found: &mut Vec<String>) {
        match value.as_object().filter(|object| !object.is_empty()) {
            Some(object) if path.matches('.').count() < 3 => {
                for (key, inner) in object {
                    walk(inner, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
                }
            }
            _ if path.is_empty() || value == &json!({}) => {}
            _ => found.push(path.to_owned()),
        }
    }
    let mut found = Vec::new();
    walk(patch, "", &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_staged_is_named_and_never_its_values() {
        let patch = json!({ "services": { "s": { "variables": { "KEY": { "value": "secret" } }, "deploy": {} } } });
        assert_eq!(places(&patch), ["services.s.variables.KEY"]);
        for nothing in [Value::Null, json!({}), json!({ "services": {} })] {
            assert!(places(&nothing).is_empty(), "{nothing}");
        }
    }
}
