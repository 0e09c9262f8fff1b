//! The GraphQL documents that are sent, each with what it is for. Tests check them against the API's own schema.
//!
//! Only one document asks for the values of a service's variables: those of the database, for its URL.

/// A document.
#[derive(Debug, Clone, Copy)]
pub struct Document {
    /// Completes the sentence "cannot …".
    pub purpose: &'static str,
    /// The text.
    pub text: &'static str,
    /// Whether it changes nothing.
    pub only_reads: bool,
}

macro_rules! documents {
    ($($(#[$about:meta])* $name:ident: $kind:ident $purpose:literal = $text:literal;)*) => {
        $($(#[$about])* pub const $name: Document =
            Document { purpose: $purpose, text: $text, only_reads: documents!(@ $kind) };)*
        /// Every document.
        #[cfg(test)]
        pub const ALL: &[(&str, Document)] = &[$((stringify!($name), $name)),*];
    };
    (@ ask) => { true };
    (@ tell) => { false };
}

documents! {
    /// Which project and environment a project token is for; only such a token gets an answer.
    PROJECT_TOKEN: ask "ask Railway what the token is for" =
        "query{projectToken{projectId environmentId project{name} environment{name}}}";
    /// The environments and services of a project.
    PROJECT: ask "ask Railway for the project" =
        "query($p:String!){project(id:$p){id name environments{edges{node{id name}}} services{edges{node{id name}}}}}";
    /// The names of an environment's variables. `serviceId` is null where one is shared.
    VARIABLE_NAMES: ask "ask Railway for the names of variables" =
        "query($e:String!){environment(id:$e){variables(first:1000){edges{node{name serviceId}}}}}";
    /// The settings of an environment. The values of its variables are not decrypted.
    CONFIG: ask "ask Railway for the settings" =
        "query($e:String!){environment(id:$e){config(decryptVariables:false)}}";
    /// What somebody has changed and not applied.
    STAGED: ask "ask Railway for staged changes" =
        "query($e:String!){environmentStagedChanges(environmentId:$e){id status patch(decryptVariables:false)}}";
    /// Where a service still reads a file, and its domains.
    SERVICE: ask "ask Railway for the service" =
        "query($p:String!,$e:String!,$s:String!){serviceInstance(environmentId:$e,serviceId:$s){railwayConfigFile} domains(projectId:$p,environmentId:$e,serviceId:$s){customDomains{domain status{verified}} serviceDomains{domain}}}";
    /// Whether pushing to a repository starts a deployment.
    AUTODEPLOY: ask "ask Railway whether it deploys by itself" =
        "query($p:String!,$e:String!,$s:String!){serviceInstanceAutoDeployStatus(projectId:$p,environmentId:$e,serviceId:$s){enabled}}";
    /// The newest deployments of a service.
    DEPLOYMENTS: ask "ask Railway for the deployments" =
        "query($i:DeploymentListInput!,$n:Int!){deployments(input:$i,first:$n){edges{node{id status canRollback createdAt creator{name} meta}}}}";
    /// One deployment.
    DEPLOYMENT: ask "ask Railway for the deployment" =
        "query($id:String!){deployment(id:$id){id status canRollback createdAt diagnosis instances{id status} meta}}";
    /// What a deployment has been doing.
    EVENTS: ask "ask Railway for the deployment's steps" =
        "query($id:String!){deploymentEvents(id:$id,first:50){edges{node{step createdAt completedAt payload{error reason detail skipped}}}}}";
    /// What a build printed.
    BUILD_LOG: ask "ask Railway for the build's log" =
        "query($id:String!,$n:Int!,$d:DateTime){buildLogs(deploymentId:$id,limit:$n,startDate:$d){timestamp message severity}}";
    /// What a deployment printed.
    DEPLOY_LOG: ask "ask Railway for the deployment's log" =
        "query($id:String!,$n:Int!,$d:DateTime){deploymentLogs(deploymentId:$id,limit:$n,startDate:$d){timestamp message severity}}";
    /// How many requests a service has answered with which status.
    STATUS_CODES: ask "ask Railway for the answers of the service" =
        "query($e:String!,$s:String!,$from:DateTime!,$to:DateTime!,$step:Int){httpMetricsGroupedByStatus(environmentId:$e,serviceId:$s,startDate:$from,endDate:$to,stepSeconds:$step){statusCode samples{ts value}}}";
    /// The shared variables of an environment, with their values: the lock and the releases are among them.
    SHARED_VARIABLES: ask "ask Railway for the lock" =
        "query($p:String!,$e:String!){variables(projectId:$p,environmentId:$e,unrendered:true)}";
    /// The variables of the database's service, with their values: its URL is among them.
    DATABASE_VARIABLES: ask "ask Railway for the database's address" =
        "query($p:String!,$e:String!,$s:String!){variables(projectId:$p,environmentId:$e,serviceId:$s)}";
    /// Sets a shared variable.
    SET_VARIABLE: tell "set a shared variable" =
        "mutation($i:VariableUpsertInput!){variableUpsert(input:$i)}";
    /// Sets variables of a service.
    SET_VARIABLES: tell "set variables" =
        "mutation($i:VariableCollectionUpsertInput!){variableCollectionUpsert(input:$i)}";
    /// Stages changed settings.
    STAGE: tell "stage the settings" =
        "mutation($e:String!,$c:EnvironmentConfig!){environmentStageChanges(environmentId:$e,input:$c,merge:true){id}}";
    /// Applies what is staged, without a deployment. The answer is the id of a workflow.
    COMMIT: tell "apply the settings" =
        "mutation($e:String!,$m:String){environmentPatchCommitStaged(environmentId:$e,commitMessage:$m,skipDeploys:true)}";
    /// Starts a deployment of what a service's source is set to. The answer is its id.
    DEPLOY: tell "deploy the image" =
        "mutation($s:String!,$e:String!){serviceInstanceDeployV2(serviceId:$s,environmentId:$e)}";
    /// How far a workflow is.
    WORKFLOW: ask "ask Railway how far it is" =
        "query($w:String!){workflowStatus(workflowId:$w){status error}}";
    /// Makes an environment as a copy of another.
    CREATE_ENVIRONMENT: tell "make the environment" =
        "mutation($i:EnvironmentCreateInput!){environmentCreate(input:$i){id name}}";
    /// Removes an environment.
    DELETE_ENVIRONMENT: tell "remove the environment" =
        "mutation($id:String!){environmentDelete(id:$id)}";
    /// Gives a service a domain.
    CREATE_DOMAIN: tell "give the service a domain" =
        "mutation($i:ServiceDomainCreateInput!){serviceDomainCreate(input:$i){domain}}";
    /// Makes the service run an older deployment again.
    ROLLBACK: tell "roll back" =
        "mutation($id:String!){deploymentRollback(id:$id)}";
    /// Stops a deployment that is under way.
    CANCEL: tell "cancel the deployment" =
        "mutation($id:String!){deploymentCancel(id:$id)}";
}
