//! Questions and orders to Railway, with what is done where it gives no answer.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::context::Context;
use crate::interrupt::CancelToken;
use crate::plan::Access;
use crate::runner::{Output, Runner};
use crate::step::Step;
use crate::tool::railway::answer::{
    AutodeployAnswer, CreatedDomain, CreatedEnvironment, Named, Project, ProjectAnswer, ProjectToken, ServiceAnswer,
    SharedVariables, TokenScope,
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
pub struct Api<'a> {
    /// The CLI.
    pub railway: &'a Railway,
    /// What runs it.
    pub runner: &'a dyn Runner,
    /// Whether to stop asking.
    pub cancel: &'a CancelToken,
}

impl<'a> Api<'a> {
    /// As a part of a plan.
    pub fn of(railway: &'a Railway, access: &Access<'a>) -> Self {
        Self { railway, runner: access.runner, cancel: access.cancel }
    }

    /// For a task.
    pub fn by(railway: &'a Railway, context: &'a Context, cancel: &'a CancelToken) -> Self {
        Self { railway, runner: &*context.runner, cancel }
    }

    /// Asks, again where Railway is busy or away, and gives up in the end.
    pub fn ask<T: DeserializeOwned>(self, document: &Document, variables: &Value) -> Result<T> {
        let step = self.railway.api(document, variables);
        self.persist(&step)
    }

    /// What the CLI says. One that hangs until its timeout is one that is away.
    pub fn hear(self, step: &Step) -> Result<Output> {
        self.runner.read(step).or_else(|error| {
            self.cancel.check()?;
            Ok(Output { code: None, stdout: String::new(), stderr: format!("{error:#}") })
        })
    }

    /// Runs a command until it has an answer: only for what may be said twice.
    pub fn persist<T: DeserializeOwned>(self, step: &Step) -> Result<T> {
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
    pub fn tell<T: DeserializeOwned>(self, step: &Step) -> Result<T> {
        let output = self.hear(step)?;
        railway::parse(&output).map_err(|refusal| refusal.into_failure(step, &output))
    }

    /// What a project token is for; `Err` has what Railway said to another token.
    pub fn token_scope(self) -> Result<Result<TokenScope, Refusal>> {
        let step = self.railway.api(&document::PROJECT_TOKEN, &Value::Null);
        self.unless_denied::<ProjectToken>(&step).map(|answer| answer.map(|answer| answer.project_token))
    }

    /// A project with its environments and services; `Err` has what Railway says to whoever may not see it.
    pub fn project(self, id: &str) -> Result<Result<Project, Refusal>> {
        let step = self.railway.api(&document::PROJECT, &json!({ "p": id }));
        self.unless_denied::<ProjectAnswer>(&step).map(|answer| answer.map(|answer| answer.project))
    }

    /// What is answered; `Err` has what was said to one who may not ask. One that is away is asked again.
    fn unless_denied<T: DeserializeOwned>(self, step: &Step) -> Result<Result<T, Refusal>> {
        match railway::parse(&self.hear(step)?) {
            Ok(answer) => Ok(Ok(answer)),
            Err(refusal @ Refusal::Denied(_)) => Ok(Err(refusal)),
            Err(Refusal::Away(_)) => self.persist(step).map(Ok),
        }
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

    /// The value of a variable of the database's, the first that is set of these. The others are dropped unread.
    pub fn database_variable(self, to: &Destination, names: &[&str]) -> Result<Option<String>> {
        let variables = json!({ "p": to.project, "e": to.environment, "s": to.service });
        let mut answer: SharedVariables = self.ask(&document::DATABASE_VARIABLES, &variables)?;
        let mut value = |name: &&str| answer.variables.remove(*name).flatten().filter(|value| !value.is_empty());
        Ok(names.iter().find_map(&mut value))
    }

    /// Starts a deployment of what a service's source is set to; what the CLI said, however it ended.
    pub fn deploy_source(self, to: &Destination) -> Result<Output> {
        self.hear(&self.railway.api(&document::DEPLOY, &json!({ "s": to.service, "e": to.environment })))
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
}

/// The one of that name, or of that id.
pub fn find<'a>(all: &'a [Named], wanted: &str) -> Option<&'a Named> {
    all.iter().find(|one| one.name == wanted).or_else(|| all.iter().find(|one| one.id == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_an_id() {
        let named = |id: &str, name: &str| Named { id: id.to_owned(), name: name.to_owned() };
        let all = [named("b", "a"), named("a", "b")];
        assert_eq!(find(&all, "a").unwrap().id, "b");
        assert!(find(&all, "c").is_none());
    }
}
