//! Verify: this commit answers on the real domain, as many instances run as are declared, the deployment ran with the
//! declared settings, and the walk through the service passes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::Release;
use super::phases::timed;
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Phase, Plan};
use crate::product::HEALTH_PATH;
use crate::runner::{Output, Runner};
use crate::step::Step;
use crate::tool::backend::{Health, Program, Variable};
use crate::wait::{self, Poll, Waited};

/// With fewer digits a hash may name several commits.
const SHORTEST_HASH: usize = 12;
/// How often in a row the commit has to answer: a domain may lead to the old version and to the new one in turn.
const IN_A_ROW: usize = 8;
/// How much longer than the two versions run side by side it may take until only the new one answers.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 120 });
/// A second of an overlap.
const SECOND: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1_000 });
/// How often the domain is asked.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 300 });
/// How long the declared instances may take to run.
const INSTANCES_TIMEOUT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 120_000 });

/// The phase that verifies a service.
pub fn phase(release: &Arc<Release>, index: usize, name: &str) -> Phase {
    let release = Arc::clone(release);
    let (lane, service) = (format!("verify {name}"), name.to_owned());
    Phase::new(
        format!("verify-{name}"),
        format!("see that it is this commit of {name} which answers, and that it works"),
        {
            move |_| {
                let verify = |what: String, commands, run: fn(&Release, &Access<'_>, usize) -> Result<()>| {
                    timed(&release, format!("verify {service}"), what, commands, move |release, access| {
                        run(release, access, index)
                    })
                };
                let url = release.known().and_then(|found| found.live.get(index)?.url.clone());
                let shown = url.unwrap_or_else(|| "<domain>".to_owned());
                let actions = vec![
                    verify(
                        format!("ask for {} {IN_A_ROW} times in a row", release.commit.id),
                        vec![release.program().health(&format!("{shown}{HEALTH_PATH}"))],
                        answers,
                    ),
                    verify("see that as many instances run as are declared".to_owned(), vec![], instances),
                    verify("compare the settings that it runs with".to_owned(), vec![], manifest),
                    verify("walk through the service".to_owned(), vec![release.program().smoke(&shown, false)], smoke),
                ];
                Ok(Plan::of(&lane, actions, "it is this commit, and it works"))
            }
        },
    )
}

impl Release {
    /// The backend's program, which reaches the service as this machine reaches others.
    pub(super) fn program(&self) -> Program {
        let variables: Vec<Variable> =
            self.target.network().iter().cloned().chain(self.target.operator_token()).collect();
        Program::with(&self.request.program, &variables)
    }
}

/// Who has to answer.
pub enum Expected {
    /// That commit.
    Commit(String),
    /// Another commit than that one.
    AnotherThan(String),
    /// Anybody who is healthy.
    Healthy,
}

impl Expected {
    fn is(&self, commit: &str) -> bool {
        match self {
            Self::Commit(expected) => is_same_commit(commit, expected),
            Self::AnotherThan(left) => !is_same_commit(commit, left),
            Self::Healthy => true,
        }
    }
}

/// Whether two hashes name one commit: a build on a developer's machine tells all of its digits.
fn is_same_commit(one: &str, other: &str) -> bool {
    let is_short = |hash: &str| hash.len() < SHORTEST_HASH || !hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_short(one) || is_short(other) {
        return one == other;
    }
    one.starts_with(other) || other.starts_with(one)
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(commit) => f.write_str(commit),
            Self::AnotherThan(commit) => write!(f, "another commit than {commit}"),
            Self::Healthy => f.write_str("a healthy version"),
        }
    }
}

/// What the service says of itself, or what is there instead.
pub fn health(release: &Release, runner: &dyn Runner, url: &str) -> Result<Health, String> {
    let step = release.program().health(&format!("{url}{HEALTH_PATH}"));
    let output = runner.read(&step).map_err(|error| format!("{error:#}"))?;
    let health = serde_json::from_str::<Health>(output.stdout.trim());
    match health {
        Ok(health) if output.is_success() => Ok(health),
        Ok(health) => Err(format!("it says {} ({})", health.status, health.commit)),
        Err(_) => Err(last_line(&output)),
    }
}

fn last_line(output: &Output) -> String {
    let lines = output.lines();
    let line = lines.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty());
    line.map_or_else(|| "no answer".to_owned(), |line| line.chars().take(200).collect())
}

fn url_of(release: &Release, index: usize) -> Result<String> {
    release.found()?.live[index].url.clone().ok_or_else(|| anyhow!("preflight has found no domain"))
}

/// Waits until this commit answers.
pub fn answers(release: &Release, access: &Access<'_>, index: usize) -> Result<()> {
    let url = url_of(release, index)?;
    let service = &release.declared()?.services[index];
    let overlap = service.setting(&release.request.declared_as, "deploy", "overlapSeconds");
    let overlap = SECOND * u32::try_from(overlap.and_then(|seconds| seconds.as_u64()).unwrap_or(0))?;
    let found = release.found()?;
    let to = &found.target.services[index];
    let expected = Expected::Commit(release.commit.id.clone());
    answers_as(release, access, &url, &expected, SWITCH_TIMEOUT + overlap, &|| {
        release.lock.keep(&*release.platform(access), to)
    })
}

/// Waits until who is expected has answered on the domain several times in a row.
pub fn answers_as(
    release: &Release,
    access: &Access<'_>,
    url: &str,
    expected: &Expected,
    timeout: Duration,
    keep: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let mut in_a_row = 0;
    let waited = wait::until_every(LOOK, timeout, access.cancel, || {
        keep()?;
        loop {
            let seen = match health(release, access.runner, url) {
                Ok(health) if expected.is(&health.commit) => {
                    in_a_row += 1;
                    if in_a_row == IN_A_ROW {
                        return Ok(Poll::Ready(()));
                    }
                    access.line.detail(&format!("{in_a_row} of {IN_A_ROW}"));
                    access.cancel.check()?;
                    continue;
                }
                Ok(health) => format!("{} answers", health.commit),
                Err(seen) => seen,
            };
            in_a_row = 0;
            access.line.detail(&seen);
            return Ok(Poll::Pending(seen));
        }
    })?;
    match waited {
        Waited::Done(()) => Ok(()),
        Waited::TimedOut(seen) => {
            let what = format!("{expected} did not answer at {url} {IN_A_ROW} times in a row: {seen}");
            Err(Failure::new(Exit::Unhealthy, what).into())
        }
    }
}

fn instances(release: &Release, access: &Access<'_>, index: usize) -> Result<()> {
    let platform = &*release.platform(access);
    let found = release.found()?;
    let to = &found.target.services[index];
    let service = &release.declared()?.services[index];
    let declared = usize::try_from(service.replicas(&release.request.declared_as))?;
    let id = release.deployment_of(&service.name)?;
    let waited = wait::until_every(super::ship::LOOK, INSTANCES_TIMEOUT, access.cancel, || {
        release.lock.keep(platform, to)?;
        match platform.look_at(&id)? {
            Ok(deployment) if deployment.running() >= declared => Ok(Poll::Ready(())),
            Ok(deployment) => Ok(Poll::Pending(format!("{} of {declared} run", deployment.running()))),
            Err(refusal) => Ok(Poll::Pending(refusal.text().to_owned())),
        }
    })?;
    match waited {
        Waited::Done(()) => Ok(()),
        Waited::TimedOut(seen) => {
            Err(Failure::new(Exit::Unhealthy, format!("not every instance of {} runs: {seen}", service.name)).into())
        }
    }
}

/// Compares what the deployment really ran with to what is declared. What Railway does not tell is not compared.
fn manifest(release: &Release, access: &Access<'_>, index: usize) -> Result<()> {
    let service = &release.declared()?.services[index];
    let id = release.deployment_of(&service.name)?;
    let deployment = release.platform(access).deployment(&id)?;
    let Some(ran_with) = deployment.meta.get("serviceManifest").filter(|manifest| manifest.is_object()) else {
        let what = format!(
            "{} does not say which settings the deployment of {} runs with",
            release.target.name(),
            service.name
        );
        access.context.terminal.warn(what);
        return Ok(());
    };
    let told = |value: &Value| !value.is_null();
    let changes = service.changes(&release.request.declared_as, ran_with);
    let lines: Vec<String> = changes
        .iter()
        .filter(|change| told(&change.live))
        .map(|change| format!("{}.{} was {} and not {}", change.section, change.key, change.live, change.declared))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let what = format!("the deployment of {} did not run with the declared settings", service.name);
    Err(Failure::new(Exit::Failed, what).details(lines).into())
}

fn smoke(release: &Release, access: &Access<'_>, index: usize) -> Result<()> {
    let url = url_of(release, index)?;
    let step: Step = release.program().smoke(&url, false);
    let found = release.found()?;
    release.lock.keep(&*release.platform(access), &found.target.services[index])?;
    access.runner.run(&step, access.cancel, &|_, line| access.line.detail(line))
}

impl Release {
    pub(super) fn deployment_of(&self, service: &str) -> Result<String> {
        let shipped = self.shipped();
        let shipped = shipped.get(service).ok_or_else(|| anyhow!("{service} was not shipped"))?;
        Ok(shipped.deployment.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::is_same_commit;

    #[test]
    fn a_commit_may_be_told_by_all_of_its_digits_or_by_twelve() {
        let long = "40627d3bcff74843778823a116425891eaf89e96";
        assert!(is_same_commit(long, "40627d3bcff7") && is_same_commit("40627d3bcff7", long));
        assert!(!is_same_commit(long, "40627d3bcff8") && !is_same_commit(long, "40627d3") && !is_same_commit(long, ""));
        assert!(!is_same_commit("40627d3bcff7-dirty", "40627d3bcff7"), "files differ");
        assert!(is_same_commit("unknown", "unknown"));
    }
}
