//! Railway, as a target of releases.

mod api;
mod source;
mod target;
mod upload;

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Release;
use super::declaration::Declaration;
use super::platform::{Deployment, Destination, Log, LogLine, Order, Place, Platform, Refusal, Target, Workflow};
use super::preflight::Finding;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::plan::{Access, Phase};
use crate::runner::{self, Runner};
use crate::step::Step;
use crate::tool::backend::Variable;
use crate::tool::railway::answer::{
    Committed, ConfigAnswer, DeploymentAnswer, DeploymentsAnswer, Domains, EventsAnswer, LogAnswer, SharedVariables,
    StagedAnswer, StatusCodes, VariableNames, WorkflowAnswer,
};
use crate::tool::railway::{self, MINIMUM, Railway, document};

pub use self::api::{Api, find};
pub use self::target::{no_project, refused_project};

/// How the CLI is installed.
pub const INSTALL: &str = "npm install --global @railway/cli, or cargo install --locked railwayapp";
/// Within which time what somebody writes is seen by everybody.
const SETTLE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 3_000 });

impl Target for Railway {
    fn name(&self) -> &'static str {
        "Railway"
    }

    fn surroundings(&self) -> Vec<Phase> {
        Vec::new()
    }

    fn by<'a>(&'a self, runner: &'a dyn Runner, cancel: &'a CancelToken) -> Box<dyn Platform + 'a> {
        Box::new(Api { railway: self, runner, cancel })
    }

    fn commands(&self, order: &Order<'_>) -> Vec<Step> {
        match *order {
            Order::Settings(to, patch, message) => vec![
                self.api(&document::STAGE, &json!({ "e": to.environment, "c": patch })),
                self.api(&document::COMMIT, &json!({ "e": to.environment, "m": message })),
            ],
            Order::Upload(to, message) => vec![self.up("<folder>".as_ref(), to, message)],
            Order::Image(to, image, message) => vec![
                self.api(&document::STAGE, &json!({ "e": to.environment, "c": source::patch(&to.service, image) })),
                self.api(&document::COMMIT, &json!({ "e": to.environment, "m": message })),
                self.api(&document::DEPLOY, &json!({ "s": to.service, "e": to.environment })),
            ],
            Order::RollBack(deployment) => vec![self.api(&document::ROLLBACK, &json!({ "id": deployment }))],
            Order::BackUp(database, name) => vec![self.backup(database, name)],
        }
    }

    fn network(&self) -> &[Variable] {
        Railway::network(self)
    }

    fn operator_token(&self) -> Option<Variable> {
        Railway::operator_token(self).cloned()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn log_hint(&self, deployment: &str) -> String {
        format!("railway logs {deployment} --build")
    }

    fn flags(&self, environment: &str) -> String {
        format!("--environment {environment}")
    }
}

impl Platform for Api<'_> {
    fn name(&self) -> &'static str {
        Target::name(self.railway)
    }

    fn dashboard(&self) -> &'static str {
        "in the dashboard"
    }

    fn cancel(&self) -> &CancelToken {
        self.cancel
    }

    fn unusable(&self) -> Result<Vec<Finding>> {
        let (version, numbers) = railway::parse_version(&self.runner.read(&self.railway.version())?)?;
        if numbers >= MINIMUM {
            return Ok(Vec::new());
        }
        let (major, minor) = MINIMUM;
        let what = format!("railway {version} is too old: {major}.{minor} is the oldest that has everything");
        Ok(vec![Finding::new(Exit::Missing, what).hint(INSTALL)])
    }

    fn resolve(
        &self,
        declaration: &Declaration,
        project: Option<&str>,
        environment: &str,
    ) -> Result<Result<Place, Vec<Finding>>> {
        target::resolve(*self, declaration, project, environment)
    }

    fn obstacles(&self, to: &Destination, warnings: &mut Vec<String>) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if let Some(file) = self.service(to)?.service_instance.railway_config_file.filter(|file| !file.is_empty()) {
            let what = format!("{} still reads {file}, which overrides what is declared", to.service_name);
            findings.push(Finding::new(Exit::Missing, what).hint("remove that path in the service's settings"));
        }
        if self.deploys_by_itself(to)? {
            warnings.push(format!(
                "{} also deploys by itself when somebody pushes: turn that off, or two deployments will race",
                to.service_name
            ));
        }
        Ok(findings)
    }

    /// The edge puts the client's address into `X-Forwarded-For`, and its own behind it.
    fn proxies(&self) -> Option<u8> {
        Some(2)
    }

    fn variables_hint(&self, environment: &str, service: &str) -> String {
        format!("cargo xtask env push --environment {environment} --service {service}, with a file of them")
    }

    fn url(&self, to: &Destination) -> Result<Option<String>> {
        Ok(address(&self.service(to)?.domains))
    }

    fn variable_names(&self, to: &Destination) -> Result<Vec<String>> {
        let answer: VariableNames = self.ask(&document::VARIABLE_NAMES, &json!({ "e": to.environment }))?;
        let own = answer.environment.variables.into_nodes().into_iter();
        let own = own.filter(|one| one.service_id.as_deref() == Some(to.service.as_str()));
        Ok(own.map(|one| one.name).collect())
    }

    fn settings(&self, to: &Destination) -> Result<Value> {
        let mut answer: ConfigAnswer = self.ask(&document::CONFIG, &json!({ "e": to.environment }))?;
        let mut service = answer.environment.config["services"][to.service.as_str()].take();
        if let Some(service) = service.as_object_mut() {
            service.remove("variables");
        }
        Ok(service)
    }

    fn staged(&self, environment: &str) -> Result<Value> {
        let answer: StagedAnswer = self.ask(&document::STAGED, &json!({ "e": environment }))?;
        Ok(answer.environment_staged_changes.patch)
    }

    fn deployments(&self, to: &Destination, statuses: &[&str], most: usize) -> Result<Vec<Deployment>> {
        let mut input = json!({ "projectId": to.project, "environmentId": to.environment, "serviceId": to.service });
        if !statuses.is_empty() {
            input["status"] = json!({ "in": statuses });
        }
        let answer: DeploymentsAnswer = self.ask(&document::DEPLOYMENTS, &json!({ "i": input, "n": most }))?;
        let mut all = answer.deployments.into_nodes();
        all.sort_by(|one, other| other.created_at.cmp(&one.created_at));
        Ok(all)
    }

    fn deployment(&self, id: &str) -> Result<Deployment> {
        Ok(self.ask::<DeploymentAnswer>(&document::DEPLOYMENT, &json!({ "id": id }))?.deployment)
    }

    fn look_at(&self, id: &str) -> Result<Result<Deployment, Refusal>> {
        let output = self.hear(&self.railway.api(&document::DEPLOYMENT, &json!({ "id": id })))?;
        Ok(railway::parse::<DeploymentAnswer>(&output).map(|answer| answer.deployment))
    }

    fn failed_step(&self, id: &str) -> Option<String> {
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

    fn log(&self, log: Log, id: &str, from: Option<&str>, most: u32) -> Vec<LogLine> {
        let document = match log {
            Log::Build => &document::BUILD_LOG,
            Log::Deploy => &document::DEPLOY_LOG,
        };
        let step = self.railway.api(document, &json!({ "id": id, "n": most, "d": from }));
        let output = self.hear(&step).unwrap_or_default();
        railway::parse::<LogAnswer>(&output).map(|answer| answer.lines).unwrap_or_default()
    }

    fn answers(&self, to: &Destination, from: &str, until: &str) -> Result<(f64, f64)> {
        let variables = json!({ "e": to.environment, "s": to.service, "from": from, "to": until, "step": 10 });
        let answer: StatusCodes = self.ask(&document::STATUS_CODES, &variables)?;
        let count = |is_counted: fn(u16) -> bool| -> f64 {
            let codes = answer.http_metrics_grouped_by_status.iter().filter(|one| is_counted(one.status_code));
            codes.flat_map(|one| &one.samples).map(|sample| sample.value).sum()
        };
        Ok((count(|_| true), count(|status| status >= 500)))
    }

    fn shared(&self, to: &Destination, name: &str) -> Result<Option<String>> {
        let variables = json!({ "p": to.project, "e": to.environment });
        let mut answer: SharedVariables = self.ask(&document::SHARED_VARIABLES, &variables)?;
        Ok(answer.variables.remove(name).flatten())
    }

    fn set_shared(&self, to: &Destination, name: &str, value: &str) -> Result<()> {
        let variables = railway::shared_variable(to, name, value);
        let step = self.railway.api_with_secrets(&document::SET_VARIABLE, &variables);
        self.persist::<Value>(&step).map(drop)
    }

    fn stage(&self, to: &Destination, patch: &Value) -> Result<()> {
        self.tell::<Value>(&self.railway.api(&document::STAGE, &json!({ "e": to.environment, "c": patch }))).map(drop)
    }

    fn commit_staged(&self, to: &Destination, message: &str) -> Result<String> {
        let step = self.railway.api(&document::COMMIT, &json!({ "e": to.environment, "m": message }));
        Ok(self.tell::<Committed>(&step)?.environment_patch_commit_staged)
    }

    fn workflow(&self, id: &str) -> Result<Workflow> {
        Ok(self.ask::<WorkflowAnswer>(&document::WORKFLOW, &json!({ "w": id }))?.workflow_status)
    }

    fn roll_back(&self, id: &str) -> Result<bool> {
        let step = self.railway.api(&document::ROLLBACK, &json!({ "id": id }));
        let output = self.hear(&step)?;
        match railway::parse::<Value>(&output) {
            Ok(_) => Ok(true),
            Err(Refusal::Away(_)) => Ok(false),
            Err(refusal) => Err(refusal.into_failure(&step, &output)),
        }
    }

    fn stop_deployment(&self, id: &str) -> Result<()> {
        self.tell::<Value>(&self.railway.api(&document::CANCEL, &json!({ "id": id }))).map(drop)
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    fn back_up(&self, database: &Destination, name: &str) -> Result<String> {
        let said = runner::read_well(self.runner, &self.railway.backup(database, name)).map_err(|error| match error
            .downcast::<Failure>(
        ) {
            Ok(failure) => failure.hint("--without-backup, if you have made one yourself").into(),
            Err(error) => error,
        })?;
        railway::parse_backup(&said).with_context(|| format!("Railway does not say how far the backup {name} is"))
    }

    fn begin(
        &self,
        release: &Release,
        access: &Access<'_>,
        index: usize,
        service: &str,
        known: &[String],
    ) -> Result<String> {
        match &release.request.image {
            Some(image) => source::deploy(*self, release, access, index, service, known, image),
            None => upload::upload(*self, release, access, index, service, known),
        }
    }
}

/// Where a service is reached: a domain of the team that leads there, else Railway's own.
pub fn address(domains: &Domains) -> Option<String> {
    let own = domains.custom_domains.iter().filter(|domain| {
        let status = domain.status.as_ref();
        status.is_none_or(|status| status.verified != Some(false))
    });
    own.chain(&domains.service_domains).next().map(|domain| format!("https://{}", domain.domain))
}
