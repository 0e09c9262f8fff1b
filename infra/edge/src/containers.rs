//! The containers of deployments, by docker.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

use crate::answers::second;
use crate::deployment::{Ended, Spec};

/// How long docker may take for an answer.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How long what runs before a deployment may take.
const BEFORE_TIMEOUT: Duration = Duration::from_mins(15);

/// What runs containers.
#[derive(Debug, Clone)]
pub struct Containers {
    /// The program.
    pub docker: PathBuf,
    /// A label that all of the containers get.
    pub label: String,
}

/// For how many seconds docker is listened to at a time.
const EVENTS_SECONDS: u64 = 60;

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// As docker says it: `running`, `restarting`, `exited` and others.
    pub status: String,
    /// How it ended, where it did.
    pub code: i64,
    /// The port of this machine that leads to it.
    pub port: Option<u16>,
}

impl Containers {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.docker);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run(&self, command: &mut Command, timeout: Duration) -> Result<String> {
        let output = tokio::time::timeout(timeout, command.output()).await.context("docker does not answer")?;
        let output = output.with_context(|| format!("cannot run {}", self.docker.display()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let code = output.status.code().map_or_else(|| "a signal".to_owned(), |code| code.to_string());
        bail!("{}", if said.is_empty() { format!("docker ended with {code}") } else { said })
    }

    /// `docker run` of a version. The values of its variables come from docker's own environment: arguments can be read
    /// by everybody.
    fn start(&self, name: &str, spec: &Spec) -> Command {
        let mut command = self.command();
        command.args(["run", "--name", name, "--label", &self.label, "--network", &spec.network]).args(&spec.flags);
        for (variable, value) in &spec.variables {
            command.env(variable, value).args(["--env", variable]);
        }
        command
    }

    /// Runs what is to run before a version starts, to its end; an error tells how it failed.
    pub async fn before(&self, name: &str, spec: &Spec, words: &[String]) -> Result<()> {
        let (program, arguments) = words.split_first().context("there is nothing to run")?;
        let mut command = self.start(name, spec);
        command.args(["--entrypoint", program, &spec.image]).args(arguments);
        let done = self.run(&mut command, BEFORE_TIMEOUT).await;
        done.map(drop).map_err(|error| {
            let said = format!("{error:#}");
            let last = said.lines().last().unwrap_or_default().to_owned();
            anyhow::anyhow!("{} failed: {last}", words.join(" "))
        })
    }

    /// Starts one container of a version.
    pub async fn serve(&self, name: &str, spec: &Spec) -> Result<()> {
        let mut command = self.start(name, spec);
        command.args(["--detach", "--restart", &spec.restart(), "--publish", &format!("127.0.0.1::{}", spec.port)]);
        command.arg(&spec.image);
        self.run(&mut command, TIMEOUT).await.map(drop)
    }

    /// How each of these containers is; one that is not there is left out.
    pub async fn look(&self, names: &[String], port: u16) -> Result<Vec<(String, Seen)>> {
        let mut seen = Vec::new();
        for name in names {
            let format = format!(
                "{{{{.State.Status}}}} {{{{.State.ExitCode}}}} \
                 {{{{with index .NetworkSettings.Ports \"{port}/tcp\"}}}}{{{{(index . 0).HostPort}}}}{{{{end}}}}"
            );
            let mut command = self.command();
            command.args(["inspect", "--type", "container", "--format", &format, name]);
            let said = match self.run(&mut command, TIMEOUT).await {
                Ok(said) => said,
                Err(error) if format!("{error:#}").to_lowercase().contains("no such") => continue,
                Err(error) => return Err(error),
            };
            if let Some(found) = parse(&said) {
                seen.push((name.clone(), found));
            }
        }
        Ok(seen)
    }

    /// Starts containers that have ended.
    pub async fn start_again(&self, names: &[String]) -> Result<()> {
        self.run(self.command().arg("start").args(names), TIMEOUT).await.map(drop)
    }

    /// Ends a container by SIGTERM, and by SIGKILL after that time; tells how it ended.
    pub async fn end(&self, name: &str, draining: Duration) -> Result<Ended> {
        let begun = Instant::now();
        let seconds = draining.as_secs().to_string();
        self.run(self.command().args(["stop", "--time", &seconds, name]), TIMEOUT + draining).await?;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let seen = self.look(&[name.to_owned()], 0).await?;
        Ok(Ended { code: seen.first().map_or(-1, |(_, seen)| seen.code), milliseconds })
    }

    /// Removes containers at once, whether they run or are not there.
    pub async fn remove(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut command = self.command();
        let done = self.run(command.args(["rm", "--force", "--volumes"]).args(names), TIMEOUT).await;
        match done {
            Err(error) if !format!("{error:#}").to_lowercase().contains("no such container") => Err(error),
            _ => Ok(()),
        }
    }

    /// The names of all containers with the label.
    pub async fn all(&self) -> Result<Vec<String>> {
        let filter = format!("label={}", self.label);
        let mut command = self.command();
        command.args(["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
        Ok(self.run(&mut command, TIMEOUT).await?.lines().map(str::to_owned).collect())
    }

    /// Starts to tell, a line each, that a container with the label has started or ended. It ends by itself after a
    /// while, also where the edge was killed.
    pub fn events(&self) -> Result<Child> {
        let mut command = self.command();
        command.args(["events", "--filter", "type=container", "--filter", &format!("label={}", self.label)]);
        command.args(["--filter", "event=start", "--filter", "event=die", "--format", "{{.Action}}"]);
        command.args(["--until", &(second() + EVENTS_SECONDS).to_string()]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().with_context(|| format!("cannot run {}", self.docker.display()))
    }
}

fn parse(said: &str) -> Option<Seen> {
    let mut words = said.split_whitespace();
    Some(Seen {
        status: words.next()?.to_owned(),
        code: words.next()?.parse().ok()?,
        port: words.next().and_then(|port| port.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests::spec;
    use serde_json::json;

    #[test]
    fn what_docker_says_of_a_container_is_read() {
        let seen = |status: &str, code, port| Some(Seen { status: status.to_owned(), code, port });
        assert_eq!(parse("running 0 32768\n"), seen("running", 0, Some(32768)));
        assert_eq!(parse("exited 137 \n"), seen("exited", 137, None));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn values_of_variables_are_no_arguments() {
        let containers = Containers { docker: "docker".into(), label: "a=b".to_owned() };
        let command = containers.start("name", &spec(&json!({})));
        let arguments: Vec<String> =
            command.as_std().get_args().map(|one| one.to_string_lossy().into_owned()).collect();
        assert_eq!(arguments.join(" "), "run --name name --label a=b --network net --env KEY");
        assert!(command.as_std().get_envs().any(|(name, value)| name == "KEY" && value == Some("hunter2".as_ref())));
    }
}
