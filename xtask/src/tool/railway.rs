//! The Railway CLI.
//!
//! Nearly everything goes through `railway api`, which sends one GraphQL document and prints the answer: the CLI's own
//! commands ask several questions for each answer, some print the values of variables, and some end well although
//! nothing was done.

pub mod answer;
pub mod document;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::failure::Exit;
use crate::product::setting::OPERATOR_TOKEN;
use crate::runner::{self, Output};
use crate::step::{Stdin, Step};
use crate::tool::backend::Variable;

use self::document::Document;

/// The oldest version that has everything used here: `api` came with 5.28, and with 5.41 a refused WebSocket no longer
/// ends a command.
pub const MINIMUM: (u32, u32) = (5, 41);
/// How long a question may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(100);
/// How long an upload may take: the CLI's own timeout, and a little.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(UPLOAD_SECONDS + 20);
/// The CLI's own timeout for an upload, in seconds.
const UPLOAD_SECONDS: u64 = 600;

/// Which variable of the environment holds the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `RAILWAY_TOKEN`: one project and one environment of it.
    Project,
    /// `RAILWAY_API_TOKEN`: an account or a workspace.
    Account,
    /// None: whoever ran `railway login`.
    Login,
}

/// The CLI, and what it needs of our environment.
#[derive(Debug, Clone)]
pub struct Railway {
    program: PathBuf,
    token: Option<Variable>,
    network: Vec<Variable>,
    operator_token: Option<Variable>,
    kind: TokenKind,
}

/// What reaches the CLI, and others who ask a service, of our own environment: how to get out of a company's network. Everything else of Railway's
/// would change which project it means, or which API it asks.
const PASSED_ON: [&str; 9] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// The variables of the two kinds of token.
pub const TOKENS: [(&str, TokenKind); 2] =
    [("RAILWAY_TOKEN", TokenKind::Project), ("RAILWAY_API_TOKEN", TokenKind::Account)];

impl Railway {
    /// The CLI at that path, with what `variable` says of the environment.
    pub fn new(program: &Path, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let token = TOKENS.into_iter().find_map(|(name, kind)| Some((kind, Variable::secret(name, set(name)?))));
        let network = PASSED_ON.into_iter().filter_map(|name| {
            let value = set(name)?;
            // The address of a proxy may have a password in it.
            Some(if value.contains('@') { Variable::secret(name, value) } else { Variable::plain(name, value) })
        });
        Self {
            program: program.to_owned(),
            network: network.collect(),
            operator_token: set(OPERATOR_TOKEN).map(|token| Variable::secret(OPERATOR_TOKEN, token)),
            kind: token.as_ref().map_or(TokenKind::Login, |(kind, _)| *kind),
            token: token.map(|(_, token)| token),
        }
    }

    /// How this machine reaches others, for whoever else asks the service.
    pub fn network(&self) -> &[Variable] {
        &self.network
    }

    /// The token of the service's operators, where somebody has said it.
    pub fn operator_token(&self) -> Option<&Variable> {
        self.operator_token.as_ref()
    }

    /// Who is asking.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    fn step(&self, purpose: impl Into<String>) -> Step {
        let step = Step::new(purpose, &self.program)
            .isolated()
            .env("DO_NOT_TRACK", "1")
            .env("RAILWAY_NO_AUTO_UPDATE", "1")
            .env("RAILWAY_CALLER", "xtask")
            .digest(said);
        self.network.iter().chain(&self.token).fold(step, |step, variable| variable.give_to(step))
    }

    /// Asks for the version of the CLI.
    pub fn version(&self) -> Step {
        self.step("ask for the version of railway").arg("--version").only_reads().timeout(Duration::from_secs(20))
    }

    /// Sends a document whose variables everybody may see.
    pub fn api(&self, document: &Document, variables: &Value) -> Step {
        let step = self.step(document.purpose).args(["api", document.text, "--compact"]).timeout(QUESTION_TIMEOUT);
        let step = match variables {
            Value::Null => step,
            variables => step.arg("--variables").arg(variables.to_string()),
        };
        if document.only_reads { step.only_reads() } else { step }
    }

    /// Sends a document whose variables hold secrets: they go through stdin.
    pub fn api_with_secrets(&self, document: &Document, variables: &Value) -> Step {
        self.step(document.purpose)
            .args(["api", document.text, "--compact", "--variables", "@-"])
            .stdin(Stdin::Text(variables.to_string()))
            .timeout(QUESTION_TIMEOUT)
    }

    /// Uploads a folder and starts a deployment of it, without waiting for what comes of that.
    pub fn up(&self, folder: &Path, to: &Destination, message: &str) -> Step {
        self.step(format!("upload {}", to.service_name))
            .arg("up")
            .arg(folder)
            .args(["--path-as-root", "--detach", "--json"])
            .args(["--project", &to.project, "--environment", &to.environment, "--service", &to.service])
            .args(["--message", message])
            .env("RAILWAY_HTTP_TIMEOUT", UPLOAD_SECONDS.to_string())
            .timeout(UPLOAD_TIMEOUT)
    }

    /// Makes a backup of the volume of a PostgreSQL.
    pub fn backup(&self, database: &Destination, name: &str) -> Step {
        self.step(format!("back up {}", database.service_name))
            .args(["postgres", "pitr", "backup", "create", "--name", name, "--json"])
            .args(["--project", &database.project, "--environment", &database.environment])
            .args(["--service", &database.service])
            .timeout(QUESTION_TIMEOUT)
    }
}

/// The variable in which a database of Railway's has the URL that is reached from anywhere.
pub const PUBLIC_URL: &str = "DATABASE_PUBLIC_URL";
/// What the names of hosts end with that only services of the same environment reach.
pub const PRIVATE_HOSTS: &str = ".railway.internal";

/// A service of an environment, by its ids: a name would be looked up, and may be another one tomorrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The project's id.
    pub project: String,
    /// The environment's id.
    pub environment: String,
    /// The service's id.
    pub service: String,
    /// The service's name, for people.
    pub service_name: String,
}

/// Why the API gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It understood, and said no: asking again gives the same.
    Denied(String),
    /// It is busy, broken or out of reach: asking again may help.
    Away(String),
}

impl Refusal {
    /// What it said.
    pub fn text(&self) -> &str {
        match self {
            Self::Denied(text) | Self::Away(text) => text,
        }
    }

    /// As the failure of that step.
    pub fn into_failure(self, step: &Step, output: &Output) -> anyhow::Error {
        let exit = if matches!(self, Self::Away(_)) { Exit::Unhealthy } else { Exit::Failed };
        let mut failure = runner::failure(step, output.code, &output.lines());
        if failure.evidence().is_empty() {
            failure = failure.details([self.text()]);
        }
        failure.with_exit(exit).into()
    }
}

/// The `data` of an answer, or why there is none. The CLI ends with 0 only where the answer has no errors.
pub fn parse<T: DeserializeOwned>(output: &Output) -> std::result::Result<T, Refusal> {
    if output.is_success() {
        #[derive(serde::Deserialize)]
        struct Answer<T> {
            data: T,
        }
        return serde_json::from_str::<Answer<T>>(&output.stdout)
            .map(|answer| answer.data)
            .map_err(|error| Refusal::Away(format!("the answer of Railway cannot be read: {error}")));
    }
    let errors = messages(&output.stdout);
    // Said without an answer by a CLI that has no token, or whose login is over.
    if ["Unauthorized", "Not authenticated"].iter().any(|word| output.stderr.contains(word)) && errors.is_empty() {
        return Err(Refusal::Denied(reason(output, &errors)));
    }
    let status = output.stderr.split("HTTP ").nth(1).and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    Err(match (status, errors.first()) {
        (Some(429 | 500..), _) | (None, None) => Refusal::Away(reason(output, &errors)),
        (Some(_), _) | (None, Some(_)) => Refusal::Denied(reason(output, &errors)),
    })
}

fn reason(output: &Output, errors: &[String]) -> String {
    if !errors.is_empty() {
        return errors.join("; ");
    }
    let lines = said(&output.lines());
    if lines.is_empty() { "railway says nothing".to_owned() } else { lines.join("; ") }
}

/// The messages of an answer's errors.
fn messages(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body.trim()).unwrap_or_default();
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    let mut texts: Vec<String> =
        errors.iter().filter_map(|error| error["message"].as_str()).map(str::to_owned).collect();
    texts.extend(body["error"].as_str().map(str::to_owned));
    texts.dedup();
    texts
}

/// What a failed command comes down to: the messages of its answer and its own lines. Data is left out, which may hold
/// what nobody has to see.
fn said(lines: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    for line in lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        if line.starts_with(['{', '[', '}', ']', '"']) {
            kept.extend(messages(line));
        } else {
            kept.push(line.to_owned());
        }
    }
    kept.dedup();
    kept
}

/// The version that the CLI prints.
pub fn parse_version(output: &Output) -> Result<(String, (u32, u32))> {
    let word = super::version::word(output.stdout.trim());
    match super::version::major_minor(word) {
        Some(numbers) if output.is_success() => Ok((word.to_owned(), numbers)),
        _ => anyhow::bail!("railway --version says {:?}", output.stdout.trim()),
    }
}

/// The id of the deployment that an upload has started.
pub fn parse_up(output: &Output) -> Option<String> {
    if !output.is_success() {
        return None;
    }
    let find = |line: &str| serde_json::from_str::<Value>(line).ok()?["deploymentId"].as_str().map(str::to_owned);
    find(output.stdout.trim()).or_else(|| output.stdout.lines().find_map(find))
}

/// Whether Railway has said no to an upload: nothing came of it then. Of any other failure nobody knows.
pub fn was_refused(output: &Output) -> bool {
    let said: Value = serde_json::from_str(output.stdout.trim()).unwrap_or_default();
    let is_refusal = ["UPLOAD_FAILED", "UNAUTHORIZED", "INVALID_TOKEN", "NOT_AUTHENTICATED", "RATELIMITED"];
    said["code"].as_str().is_some_and(|code| is_refusal.contains(&code))
        && !said["error"].as_str().unwrap_or_default().contains("status code 5")
}

/// The workflow that makes a backup, as `postgres pitr backup create --json` says it; what it calls `root` is the
/// service.
pub fn parse_backup(stdout: &str) -> Option<String> {
    let said: Value = serde_json::from_str(stdout.trim()).ok()?;
    said["workflowId"].as_str().map(str::to_owned)
}

/// Variables of a shared variable's change, without a deployment.
pub fn shared_variable(to: &Destination, name: &str, value: &str) -> Value {
    json!({"i": {"projectId": to.project, "environmentId": to.environment, "name": name, "value": value,
        "skipDeploys": true}})
}

#[cfg(test)]
mod tests;
