//! Questions and orders to Railway, with what is done where it gives no answer.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::interrupt::CancelToken;
use crate::plan::Access;
use crate::runner::{Output, Runner};
use crate::step::Step;
use crate::tool::railway::answer::{
    AutodeployAnswer, Committed, ConfigAnswer, CreatedDomain, CreatedEnvironment, Deployment, DeploymentAnswer,
    DeploymentsAnswer, EventsAnswer, LogAnswer, LogLine, Named, Project, ProjectAnswer, ProjectToken, SERVING,
    ServiceAnswer, SharedVariables, StagedAnswer, StatusCodes, TokenScope, VariableName, VariableNames, Workflow,
    WorkflowAnswer,
};
use crate::tool::railway::document::{self, Document};
use crate::tool::railway::{self, Destination, Railway, Refusal};
use crate::wait;

/// How long a question is asked again while Railway is away.
const RETRY_TIMEOUT: Duration = Duration::from_secs(90);
/// How long is waited before a question is asked for the second time; twice as long before each later one.
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 2_000 });
/// How often a question is asked, whatever time that takes.
const MOST_TRIES: u32 = 6;

/// Railway, and who asks it.
#[derive(Clone, Copy)]
pub struct Platform<'a> {
    /// The CLI.
    pub railway: &'a Railway,
    /// What runs it.
    pub runner: &'a dyn Runner,
    /// Whether to stop asking.
    pub cancel: &'a CancelToken,
}

impl<'a> Platform<'a> {
    /// As a part of a plan.
    pub fn of(railway: &'a Railway, access: &Access<'a>) -> Self {
        Self { railway, runner: access.runner, cancel: access.cancel }
    }

    /// Asks, again where Railway is busy or away, and gives up in the end.
    fn ask<T: DeserializeOwned>(self, document: &Document, variables: &Value) -> Result<T> {
        let step = self.railway.api(document, variables);
        self.persist(&step)
    }

    /// What the CLI says. One that hangs until its timeout is one that is away.
    fn hear(self, step: &Step) -> Result<Output> {
        self.runner.read(step).or_else(|error| {
            self.cancel.check()?;
            Ok(Output { code: None, stdout: String::new(), stderr: format!("{error:#}") })
        })
    }

    /// Runs a command until it has an answer: only for what may be said twice.
    fn persist<T: DeserializeOwned>(self, step: &Step) -> Result<T> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        for attempt in 1.. {
            let output = self.hear(step)?;
            match railway::parse(&output) {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Away(_)) if attempt < MOST_TRIES && begun.elapsed() <= RETRY_TIMEOUT => {
                    wait::rest(pause, self.cancel)?;
                    pause *= 2;
                }
                Err(refusal) => return Err(refusal.into_failure(step, &output)),
            }
        }
        unreachable!("the last try returns")
    }

    /// Gives an order once: what came of one without an answer is not known.
    fn tell<T: DeserializeOwned>(self, step: &Step) -> Result<T> {
        let output = self.hear(step)?;
        railway::parse(&output).map_err(|refusal| refusal.into_failure(step, &output))
    }

    /// What a project token is for; `Err` has what Railway said to another token.
    pub fn token_scope(self) -> Result<std::result::Result<TokenScope, Refusal>> {
        let step = self.railway.api(&document::PROJECT_TOKEN, &Value::Null);
        self.unless_denied::<ProjectToken>(&step).map(|answer| answer.map(|answer| answer.project_token))
    }

    /// A project with its environments and services; `Err` has what Railway says to whoever may not see it.
    pub fn project(self, id: &str) -> Result<std::result::Result<Project, Refusal>> {
        let step = self.railway.api(&document::PROJECT, &json!({ "p": id }));
        self.unless_denied::<ProjectAnswer>(&step).map(|answer| answer.map(|answer| answer.project))
    }

    /// What is answered; `Err` has what was said to one who may not ask. One that is away is asked again.
    fn unless_denied<T: DeserializeOwned>(self, step: &Step) -> Result<std::result::Result<T, Refusal>> {
        match railway::parse(&self.hear(step)?) {
            Ok(answer) => Ok(Ok(answer)),
            Err(refusal @ Refusal::Denied(_)) => Ok(Err(refusal)),
            Err(Refusal::Away(_)) => self.persist(step).map(Ok),
        }
    }

    /// The names of an environment's variables.
    pub fn variable_names(self, environment: &str) -> Result<Vec<VariableName>> {
        let answer: VariableNames = self.ask(&document::VARIABLE_NAMES, &json!({ "e": environment }))?;
        Ok(answer.environment.variables.into_nodes())
    }

    /// The settings of a service. Its variables are dropped unread.
    pub fn settings(self, to: &Destination) -> Result<Value> {
        let mut answer: ConfigAnswer = self.ask(&document::CONFIG, &json!({ "e": to.environment }))?;
        let mut service = answer.environment.config["services"][to.service.as_str()].take();
        if let Some(service) = service.as_object_mut() {
            service.remove("variables");
        }
        Ok(service)
    }

    /// What somebody has changed and not applied. It may hold values: only its [`places`] may be shown.
    pub fn staged(self, environment: &str) -> Result<Value> {
        let answer: StagedAnswer = self.ask(&document::STAGED, &json!({ "e": environment }))?;
        Ok(answer.environment_staged_changes.patch)
    }

    /// Where a service reads a file, and its domains.
    pub fn service(self, to: &Destination) -> Result<ServiceAnswer> {
        self.ask(&document::SERVICE, &json!({ "p": to.project, "e": to.environment, "s": to.service }))
    }

    /// Whether a push starts a deployment of a service.
    pub fn deploys_by_itself(self, to: &Destination) -> Result<bool> {
        let variables = json!({ "p": to.project, "e": to.environment, "s": to.service });
        Ok(self.ask::<AutodeployAnswer>(&document::AUTODEPLOY, &variables)?.service_instance_auto_deploy_status.enabled)
    }

    /// The newest deployments of a service with one of these statuses, the newest first.
    pub fn deployments(self, to: &Destination, statuses: &[&str], most: usize) -> Result<Vec<Deployment>> {
        let mut input = json!({ "projectId": to.project, "environmentId": to.environment, "serviceId": to.service });
        if !statuses.is_empty() {
            input["status"] = json!({ "in": statuses });
        }
        let answer: DeploymentsAnswer = self.ask(&document::DEPLOYMENTS, &json!({ "i": input, "n": most }))?;
        let mut all = answer.deployments.into_nodes();
        all.sort_by(|one, other| other.created_at.cmp(&one.created_at));
        Ok(all)
    }

    /// A deployment.
    pub fn deployment(self, id: &str) -> Result<Deployment> {
        Ok(self.ask::<DeploymentAnswer>(&document::DEPLOYMENT, &json!({ "id": id }))?.deployment)
    }

    /// The deployment of a service that serves; none where nothing does.
    pub fn serving(self, to: &Destination) -> Result<Option<Deployment>> {
        Ok(self.deployments(to, &SERVING, 5)?.into_iter().next())
    }

    /// A look at a deployment among many; `Err` has what Railway said instead, which is not a verdict on the deployment.
    pub fn look_at(self, id: &str) -> Result<std::result::Result<Deployment, Refusal>> {
        let output = self.hear(&self.railway.api(&document::DEPLOYMENT, &json!({ "id": id })))?;
        Ok(railway::parse::<DeploymentAnswer>(&output).map(|answer| answer.deployment))
    }

    /// Which step of a deployment went wrong, and why; none where Railway does not say.
    pub fn failed_step(self, id: &str) -> Option<String> {
        let answer: EventsAnswer = self.ask(&document::EVENTS, &json!({ "id": id })).ok()?;
        let events = answer.deployment_events.into_nodes();
        let failed = events.into_iter().rev().find_map(|event| {
            let payload = event.payload.unwrap_or_default();
            let error = payload.error.clone().or_else(|| payload.reason.clone())?;
            Some((event.step, error, payload))
        })?;
        let (step, error, payload) = failed;
        let more = [payload.reason, payload.detail].into_iter().flatten().filter(|more| *more != error);
        let all: Vec<String> = std::iter::once(error.clone()).chain(more).collect();
        Some(format!("{}: {}", step.to_lowercase().replace('_', " "), all.join(", ")))
    }

    /// The lines of a log from a time on. Where Railway gives none now, it may later: a log is not a verdict.
    pub fn log(self, document: &Document, id: &str, from: Option<&str>, most: u32) -> Vec<LogLine> {
        let step = self.railway.api(document, &json!({ "id": id, "n": most, "d": from }));
        let output = self.hear(&step).unwrap_or_default();
        railway::parse::<LogAnswer>(&output).map(|answer| answer.lines).unwrap_or_default()
    }

    /// How many requests a service has answered between two times, and how many of them with 500 or more.
    pub fn answers(self, to: &Destination, from: &str, until: &str) -> Result<(f64, f64)> {
        let variables = json!({ "e": to.environment, "s": to.service, "from": from, "to": until, "step": 10 });
        let answer: StatusCodes = self.ask(&document::STATUS_CODES, &variables)?;
        let count = |is_counted: fn(u16) -> bool| -> f64 {
            let codes = answer.http_metrics_grouped_by_status.iter().filter(|one| is_counted(one.status_code));
            codes.flat_map(|one| &one.samples).map(|sample| sample.value).sum()
        };
        Ok((count(|_| true), count(|status| status >= 500)))
    }

    /// The value of a shared variable of ours. The others are dropped unread.
    pub fn shared(self, to: &Destination, name: &str) -> Result<Option<String>> {
        let variables = json!({ "p": to.project, "e": to.environment });
        let mut answer: SharedVariables = self.ask(&document::SHARED_VARIABLES, &variables)?;
        Ok(answer.variables.remove(name).flatten())
    }

    /// The value of a variable of the database's, the first that is set of these. The others are dropped unread.
    pub fn database_variable(self, to: &Destination, names: &[&str]) -> Result<Option<String>> {
        let variables = json!({ "p": to.project, "e": to.environment, "s": to.service });
        let mut answer: SharedVariables = self.ask(&document::DATABASE_VARIABLES, &variables)?;
        let mut value = |name: &&str| answer.variables.remove(*name).flatten().filter(|value| !value.is_empty());
        Ok(names.iter().find_map(&mut value))
    }

    /// Sets a shared variable, without a deployment.
    pub fn set_shared(self, to: &Destination, name: &str, value: &str) -> Result<()> {
        let variables = railway::shared_variable(to, name, value);
        let step = self.railway.api_with_secrets(&document::SET_VARIABLE, &variables);
        self.persist::<Value>(&step).map(drop)
    }

    /// Stages settings.
    pub fn stage(self, to: &Destination, patch: &Value) -> Result<()> {
        self.tell::<Value>(&self.railway.api(&document::STAGE, &json!({ "e": to.environment, "c": patch }))).map(drop)
    }

    /// Applies what is staged, without a deployment; gives back the workflow that does it.
    pub fn commit_staged(self, to: &Destination, message: &str) -> Result<String> {
        let step = self.railway.api(&document::COMMIT, &json!({ "e": to.environment, "m": message }));
        Ok(self.tell::<Committed>(&step)?.environment_patch_commit_staged)
    }

    /// Starts a deployment of what a service's source is set to; what the CLI said, however it ended.
    pub fn deploy_source(self, to: &Destination) -> Result<Output> {
        self.hear(&self.railway.api(&document::DEPLOY, &json!({ "s": to.service, "e": to.environment })))
    }

    /// How far a workflow is.
    pub fn workflow(self, id: &str) -> Result<Workflow> {
        Ok(self.ask::<WorkflowAnswer>(&document::WORKFLOW, &json!({ "w": id }))?.workflow_status)
    }

    /// Makes an environment as a copy of another.
    pub fn create_environment(self, project: &str, name: &str, source: &str) -> Result<Named> {
        let input = json!({ "projectId": project, "name": name, "sourceEnvironmentId": source });
        let step = self.railway.api(&document::CREATE_ENVIRONMENT, &json!({ "i": input }));
        Ok(self.tell::<CreatedEnvironment>(&step)?.environment_create)
    }

    /// The command that removes an environment.
    pub fn deletion(self, id: &str) -> Step {
        self.railway.api(&document::DELETE_ENVIRONMENT, &json!({ "id": id }))
    }

    /// Removes an environment.
    pub fn delete_environment(self, id: &str) -> Result<()> {
        self.tell::<Value>(&self.deletion(id)).map(drop)
    }

    /// Gives a service a domain of Railway's.
    pub fn create_domain(self, to: &Destination) -> Result<String> {
        let input = json!({ "environmentId": to.environment, "serviceId": to.service });
        let step = self.railway.api(&document::CREATE_DOMAIN, &json!({ "i": input }));
        Ok(self.tell::<CreatedDomain>(&step)?.service_domain_create.domain)
    }

    /// Makes a service run an older deployment again. `false` where no answer came: it may be done all the same.
    pub fn roll_back(self, id: &str) -> Result<bool> {
        let step = self.railway.api(&document::ROLLBACK, &json!({ "id": id }));
        let output = self.hear(&step)?;
        match railway::parse::<Value>(&output) {
            Ok(_) => Ok(true),
            Err(Refusal::Away(_)) => Ok(false),
            Err(refusal) => Err(refusal.into_failure(&step, &output)),
        }
    }

    /// Stops a deployment that is under way.
    pub fn stop_deployment(self, id: &str) -> Result<()> {
        self.tell::<Value>(&self.railway.api(&document::CANCEL, &json!({ "id": id }))).map(drop)
    }

    /// Uploads a folder; what the CLI said, however it ended.
    pub fn upload(self, step: &Step) -> Result<Output> {
        self.hear(step)
    }
}

/// The one of that name, or of that id.
pub fn find<'a>(all: &'a [Named], wanted: &str) -> Option<&'a Named> {
    all.iter().find(|one| one.name == wanted).or_else(|| all.iter().find(|one| one.id == wanted))
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

    #[test]
    fn a_name_goes_before_an_id() {
        let named = |id: &str, name: &str| Named { id: id.to_owned(), name: name.to_owned() };
        let all = [named("b", "a"), named("a", "b")];
        assert_eq!(find(&all, "a").unwrap().id, "b");
        assert!(find(&all, "c").is_none());
    }
}
