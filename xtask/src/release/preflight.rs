//! Preflight: everything that can be known before anything is changed. It only reads, and tells all that it finds at
//! once.

mod checkout;
mod live;
mod migrations;

use std::fmt::Write as _;

use anyhow::Result;

use super::Release;
use super::declaration::{Change, Declaration, patch};
use super::ledger::Ledger;
use super::lock;
use super::platform::{Destination, Place, Platform, UNDER_WAY, places};
use crate::failure::{Exit, Failure};
use crate::plan::Access;
use crate::product::DECLARATION;
use crate::product::setting::PROXIES;
use crate::settings::parse_declaration;

pub use self::live::Live;
pub use self::migrations::Brought;

/// Something that is in the way of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    exit: Exit,
    text: String,
    hints: Vec<String>,
}

impl Finding {
    /// `text` is a sentence without a full stop.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), hints: Vec::new() }
    }

    /// Adds what helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// What preflight found out, where nothing is in the way.
#[derive(Debug)]
pub struct Found {
    /// Where the release goes.
    pub target: Place,
    /// What differs in each service's settings.
    pub changes: Vec<Vec<Change>>,
    /// What is live of each service.
    pub live: Vec<Live>,
    /// The migrations that the release brings.
    pub brought: Brought,
    /// What is not in the way, and worth a word.
    pub warnings: Vec<String>,
}

impl Found {
    /// What is known of a release that brings nothing.
    pub fn only(target: Place) -> Self {
        Self { target, changes: Vec::new(), live: Vec::new(), brought: Brought::default(), warnings: Vec::new() }
    }
}

/// Looks at everything.
pub fn look(release: &Release, access: &Access<'_>) -> Result<Found> {
    let platform = &*release.platform(access);
    let mut findings = platform.unusable()?;
    let is_usable = findings.is_empty();
    findings.extend(checkout::look(release, access));
    let declaration = match &release.declaration {
        Ok(declaration) => declaration,
        Err(problems) => {
            findings.extend(problems.iter().cloned());
            return Err(refuse(findings).into());
        }
    };
    // Without a usable program there is nobody to ask.
    if !is_usable {
        return Err(refuse(findings).into());
    }
    let request = &release.request;
    if request.url.is_some() && declaration.services.len() > 1 {
        findings.push(Finding::new(Exit::Refused, "--url is for one service, and several are declared"));
    }
    let target = match platform.resolve(declaration, request.project.as_deref(), &request.environment)? {
        Ok(target) => target,
        Err(more) => {
            findings.extend(more);
            return Err(refuse(findings).into());
        }
    };
    let mut warnings = Vec::new();
    let (changes, more) = services(release, declaration, platform, &target, &mut warnings)?;
    findings.extend(more);
    findings.extend(others(release, platform, &target, &changes)?);
    let ledger = Ledger::load(platform, target.any())?;
    if ledger.was_left(&release.commit.id) && !request.again {
        let what = format!("{} was released before, failed, and was put back", release.commit.id);
        findings.push(Finding::new(Exit::Refused, what).hint("--again, if the reason was another one"));
    }
    let mut live = Vec::new();
    for service in &target.services {
        live.push(live::look(release, platform, service, &ledger, access)?);
    }
    let (brought, more) = migrations::look(&live, &ledger, request.older, access)?;
    if !brought.is_known {
        warnings.push("the live version does not say which migrations it has".to_owned());
    }
    findings.extend(more);
    let has_run = live.iter().any(|live| live.last.is_some());
    if let Some(why) = brought.rules_out_a_way_back().filter(|_| has_run && !request.without_backup)
        && target.database.is_none()
    {
        let named = declaration.database.as_ref();
        let no_database = named.map_or_else(
            || "infra/railway.json names no database".to_owned(),
            |name| format!("the project has no service {name}"),
        );
        let what = format!("the version before has no way back ({why}), and nothing can be backed up: {no_database}");
        findings.push(Finding::new(Exit::Refused, what).hint("--without-backup, if you have made one"));
    }
    for (to, live) in target.services.iter().zip(&live) {
        if live.url.is_none() {
            let what = format!("{} has no domain, so that nobody can ask what is deployed", to.service_name);
            findings.push(
                Finding::new(Exit::Missing, what)
                    .hint(format!("railway domain --service {}", to.service_name))
                    .hint("--url URL, if it is reached by another address"),
            );
        }
    }
    if !findings.is_empty() {
        return Err(refuse(findings).into());
    }
    Ok(Found { target, changes, live, brought, warnings })
}

/// One failure of all findings. Its code is the one that they share, else that of a missing prerequisite.
pub fn refuse(findings: Vec<Finding>) -> Failure {
    let first = findings.first().map_or(Exit::Failed, |finding| finding.exit);
    let exit = if findings.iter().all(|finding| finding.exit == first) { first } else { Exit::Missing };
    let count = findings.len();
    let what = if count == 1 { "one thing is".to_owned() } else { format!("{count} things are") };
    let mut failure = Failure::new(exit, format!("{what} in the way of this deployment, and nothing was changed"));
    for finding in findings {
        let mut text = format!("• {}", finding.text);
        if count > 1 {
            for hint in &finding.hints {
                let _ = write!(text, "\n    {hint}");
            }
        }
        failure = failure.details(text.lines().map(str::to_owned));
        if count == 1 {
            failure = finding.hints.into_iter().fold(failure, Failure::hint);
        }
    }
    failure
}

/// What of each service differs, and what of it is in the way.
fn services(
    release: &Release,
    declaration: &Declaration,
    platform: &dyn Platform,
    target: &Place,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Vec<Change>>, Vec<Finding>)> {
    let (mut changes, mut findings) = (Vec::new(), Vec::new());
    for (service, to) in declaration.services.iter().zip(&target.services) {
        findings.extend(missing_variables(platform, to, &target.environment, warnings)?);
        findings.extend(platform.obstacles(to, warnings)?);
        changes.push(service.changes(&release.request.declared_as, &platform.settings(to)?));
    }
    Ok((changes, findings))
}

/// The variables that a service needs and does not have, and a warning about one that it should have. Only names are
/// looked at.
fn missing_variables(
    platform: &dyn Platform,
    to: &Destination,
    environment: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<Finding>> {
    let declared = parse_declaration(DECLARATION)?;
    let needed = declared.iter().filter(|one| one.is_needed_in_production());
    let there = platform.variable_names(to)?;
    let is_there = |name: &str| there.iter().any(|one| one == name);
    if let Some(count) = platform.proxies().filter(|_| !is_there(PROXIES)) {
        warnings.push(format!(
            "{} has no {PROXIES} in {environment}: without {PROXIES}={count}, all of its clients share one address, and one \
             rate limit",
            to.service_name
        ));
    }
    let missing: Vec<&str> = needed.map(|one| one.name.as_str()).filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let what = format!("{} has no {} in {environment}", to.service_name, missing.join(", "));
    let hint = platform.variables_hint(environment, &to.service_name);
    Ok(vec![Finding::new(Exit::Missing, what).hint(hint)])
}

/// What somebody else is doing there.
fn others(release: &Release, platform: &dyn Platform, target: &Place, changes: &[Vec<Change>]) -> Result<Vec<Finding>> {
    // What is staged or under way then is that of whoever holds the lock: the wait for it says so.
    if lock::held(platform, target.any())?.is_some_and(|held| held.nonce != release.owner.nonce) {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    let staged = platform.staged(&target.any().environment)?;
    // A deploy that failed in between leaves our own changes there.
    let mut services = target.services.iter().zip(changes);
    let is_ours = services.any(|(to, changes)| {
        patch(&to.service, changes) == staged || places(&staged) == [format!("services.{}.source.image", to.service)]
    });
    let staged = if is_ours { Vec::new() } else { places(&staged) };
    if !staged.is_empty() {
        let shown: Vec<&str> = staged.iter().map(String::as_str).take(5).collect();
        let what = format!("somebody has staged changes that would be applied with ours: {}", shown.join(", "));
        findings
            .push(Finding::new(Exit::Refused, what).hint("apply or discard them in the dashboard, then deploy again"));
    }
    for to in &target.services {
        findings.extend(under_way(platform, to)?);
    }
    Ok(findings)
}

/// The finding that deployments are under way which take no lock of ours.
pub fn under_way(platform: &dyn Platform, to: &Destination) -> Result<Option<Finding>> {
    let deployments = platform.deployments(to, &UNDER_WAY, 5)?;
    let Some(first) = deployments.first() else { return Ok(None) };
    let who = first.creator.as_ref().and_then(|creator| creator.name.clone()).unwrap_or_else(|| "somebody".to_owned());
    let what = format!(
        "a deployment of {} that takes no lock is under way: {} of {who}, {}, begun {}",
        to.service_name, first.id, first.status, first.created_at
    );
    let hint = format!("wait until it has ended, or stop it {}", platform.dashboard());
    Ok(Some(Finding::new(Exit::Locked, what).hint(hint)))
}

impl From<Finding> for Failure {
    fn from(finding: Finding) -> Self {
        finding.hints.into_iter().fold(Self::new(finding.exit, finding.text), Self::hint)
    }
}
