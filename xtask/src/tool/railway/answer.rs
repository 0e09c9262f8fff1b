//! What Railway answers, as far as it is read.

mod status;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub use self::status::{SERVING, Status, UNDER_WAY, WERE_LIVE};

/// A connection of GraphQL.
#[derive(Debug, Clone, Deserialize)]
pub struct Edges<T> {
    edges: Vec<Edge<T>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Edge<T> {
    node: T,
}

impl<T> Edges<T> {
    /// What it connects.
    pub fn into_nodes(self) -> Vec<T> {
        self.edges.into_iter().map(|edge| edge.node).collect()
    }
}

/// Something with an id and a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
}

/// Something of which only the name is read.
#[derive(Debug, Clone, Deserialize)]
pub struct Name {
    /// The name; none where somebody has given none.
    pub name: Option<String>,
}

/// The answer to `PROJECT_TOKEN`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectToken {
    /// What the token is for.
    pub project_token: TokenScope,
}

/// What a project token is for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenScope {
    /// The project's id.
    pub project_id: String,
    /// The environment's id.
    pub environment_id: String,
    /// The environment.
    pub environment: Name,
}

/// The answer to `PROJECT`.
#[derive(Debug, Clone, Deserialize)]
pub struct ProjectAnswer {
    /// The project.
    pub project: Project,
}

/// A project.
#[derive(Debug, Clone, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its environments.
    pub environments: Edges<Named>,
    /// Its services.
    pub services: Edges<Named>,
}

/// The answer to `VARIABLE_NAMES`.
#[derive(Debug, Clone, Deserialize)]
pub struct VariableNames {
    /// The environment.
    pub environment: EnvironmentVariables,
}

/// The variables of an environment.
#[derive(Debug, Clone, Deserialize)]
pub struct EnvironmentVariables {
    /// All of them.
    pub variables: Edges<VariableName>,
}

/// The name of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariableName {
    /// The name.
    pub name: String,
    /// The service that has it; none where it is shared.
    pub service_id: Option<String>,
}

/// The answer to `CONFIG`.
#[derive(Debug, Clone, Deserialize)]
pub struct ConfigAnswer {
    /// The environment.
    pub environment: EnvironmentConfig,
}

/// The settings of an environment.
#[derive(Debug, Clone, Deserialize)]
pub struct EnvironmentConfig {
    /// As the platform has them.
    pub config: Value,
}

/// The answer to `STAGED`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedAnswer {
    /// What somebody has changed and not applied.
    pub environment_staged_changes: Staged,
}

/// What somebody has changed and not applied.
#[derive(Debug, Clone, Deserialize)]
pub struct Staged {
    /// The changes, by service and key.
    #[serde(default)]
    pub patch: Value,
}

/// The answer to `SERVICE`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAnswer {
    /// The service in this environment.
    pub service_instance: ServiceInstance,
    /// Its domains.
    pub domains: Domains,
}

/// A service in an environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInstance {
    /// The file in the repository that it still reads.
    pub railway_config_file: Option<String>,
}

/// The domains of a service.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Domains {
    /// Those of the team.
    pub custom_domains: Vec<Domain>,
    /// Those of Railway.
    pub service_domains: Vec<Domain>,
}

/// A domain.
#[derive(Debug, Clone, Deserialize)]
pub struct Domain {
    /// Its name, without a scheme.
    pub domain: String,
    /// Whether it leads to the service; Railway's own do from the beginning.
    #[serde(default)]
    pub status: Option<DomainStatus>,
}

/// Whether a domain leads to the service.
#[derive(Debug, Clone, Deserialize)]
pub struct DomainStatus {
    /// Whether it does.
    pub verified: Option<bool>,
}

/// The answer to `AUTODEPLOY`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutodeployAnswer {
    /// Whether a push starts a deployment.
    pub service_instance_auto_deploy_status: Autodeploy,
}

/// Whether a push starts a deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct Autodeploy {
    /// Whether it does.
    pub enabled: bool,
}

/// The answer to `DEPLOYMENTS`.
#[derive(Debug, Clone, Deserialize)]
pub struct DeploymentsAnswer {
    /// The newest first.
    pub deployments: Edges<Deployment>,
}

/// The answer to `DEPLOYMENT`.
#[derive(Debug, Clone, Deserialize)]
pub struct DeploymentAnswer {
    /// The deployment.
    pub deployment: Deployment,
}

/// A deployment.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// As the platform says it; see [`Status::of`].
    pub status: String,
    /// Whether its image is still there.
    #[serde(default)]
    pub can_rollback: bool,
    /// When it began, in RFC 3339.
    pub created_at: String,
    /// Who began it.
    #[serde(default)]
    pub creator: Option<Name>,
    /// What the platform makes of a failure.
    #[serde(default)]
    pub diagnosis: Value,
    /// The processes that it runs.
    #[serde(default)]
    pub instances: Vec<Instance>,
    /// What the platform knows of it besides.
    #[serde(default)]
    pub meta: Value,
}

/// One process of a deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct Instance {
    /// `RUNNING`, or another word.
    pub status: String,
}

impl Deployment {
    /// How many of its processes run.
    pub fn running(&self) -> usize {
        self.instances.iter().filter(|instance| instance.status == "RUNNING").count()
    }

    /// Its status, as a verdict.
    pub fn verdict(&self) -> Status {
        Status::of(&self.status)
    }
}

/// The answer to `EVENTS`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsAnswer {
    /// In order.
    pub deployment_events: Edges<Event>,
}

/// One step of a deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// Which, as `BUILD_IMAGE`.
    pub step: String,
    /// What came of it.
    #[serde(default)]
    pub payload: Option<Payload>,
}

/// What came of a step.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Payload {
    /// What went wrong.
    pub error: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// More of that.
    pub detail: Option<String>,
}

/// The answers to `BUILD_LOG` and `DEPLOY_LOG`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogAnswer {
    /// The lines, in order.
    #[serde(alias = "buildLogs", alias = "deploymentLogs")]
    pub lines: Vec<LogLine>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// When, in RFC 3339.
    pub timestamp: String,
    /// What.
    pub message: String,
}

/// The answer to `STATUS_CODES`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusCodes {
    /// One for each status.
    pub http_metrics_grouped_by_status: Vec<StatusCode>,
}

/// How often a status was answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusCode {
    /// The status.
    pub status_code: u16,
    /// How often in each stretch of time.
    pub samples: Vec<Sample>,
}

/// How often in a stretch of time.
#[derive(Debug, Clone, Deserialize)]
pub struct Sample {
    /// How often.
    pub value: f64,
}

/// The answer to `SHARED_VARIABLES`. A sealed variable has no value.
#[derive(Debug, Clone, Deserialize)]
pub struct SharedVariables {
    /// By name.
    pub variables: BTreeMap<String, Option<String>>,
}

/// The answer to `COMMIT`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    /// The id of the workflow that does it.
    pub environment_patch_commit_staged: String,
}

/// The answer to `DEPLOY`.
#[derive(Debug, Clone, Deserialize)]
pub struct Deployed {
    /// The deployment's id.
    #[serde(rename = "serviceInstanceDeployV2")]
    pub deployment: String,
}

/// The answer to `WORKFLOW`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowAnswer {
    /// How far it is.
    pub workflow_status: Workflow,
}

/// How far a workflow is.
#[derive(Debug, Clone, Deserialize)]
pub struct Workflow {
    /// `Running`, `Complete`, `Error` or `NotFound`.
    pub status: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// The answer to `CREATE_ENVIRONMENT`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedEnvironment {
    /// The environment.
    pub environment_create: Named,
}

/// The answer to `CREATE_DOMAIN`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedDomain {
    /// The domain.
    pub service_domain_create: Domain,
}
