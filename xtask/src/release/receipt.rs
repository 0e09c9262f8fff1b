//! What is left of a release: its place in the ledger, and a document for CI to keep.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Release;
use super::ledger::{Entry, Ledger, UNKNOWN, Verdict};
use super::lock;
use super::outcome::Outcome;

/// A release that was verified.
#[derive(Debug, Serialize)]
pub struct Receipt {
    schema_version: u32,
    environment: String,
    commit: String,
    subject: String,
    /// By service.
    deployments: BTreeMap<String, String>,
    /// By service.
    urls: BTreeMap<String, String>,
    migrations: Vec<u64>,
    backup: Option<String>,
    /// By phase.
    seconds: BTreeMap<String, u64>,
    verdict: &'static str,
}

impl Receipt {
    /// What there is to keep of a release.
    pub fn of(release: &Release) -> Self {
        let found = release.known();
        let urls = found.as_ref().map(|found| {
            let url = |(to, live): (&crate::tool::railway::Destination, &super::preflight::Live)| {
                Some((to.service_name.clone(), live.url.clone()?))
            };
            found.target.services.iter().zip(&found.live).filter_map(url).collect()
        });
        Self {
            schema_version: 1,
            environment: release.request.environment.clone(),
            commit: release.commit.id.clone(),
            subject: release.commit.subject.clone(),
            deployments: deployments(release),
            urls: urls.unwrap_or_default(),
            migrations: found.as_ref().map(|found| found.brought.new.clone()).unwrap_or_default(),
            backup: release.backup.get().cloned(),
            seconds: release.seconds().clone(),
            verdict: verdict(*release.outcome()).words(),
        }
    }

    /// What came of it, in a line.
    pub fn title(&self) -> String {
        format!("{} {} in {}: {}", self.commit, self.subject, self.environment, self.verdict)
    }

    /// How long each phase took.
    pub fn seconds(&self) -> impl Iterator<Item = (&str, u64)> {
        self.seconds.iter().map(|(phase, seconds)| (phase.as_str(), *seconds))
    }

    /// Where it answers.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.urls.values().map(String::as_str)
    }

    /// How long it took, in seconds.
    pub fn total(&self) -> u64 {
        self.seconds.values().sum()
    }
}

fn deployments(release: &Release) -> BTreeMap<String, String> {
    release.shipped().iter().map(|(service, shipped)| (service.clone(), shipped.deployment.clone())).collect()
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Untouched | Outcome::StillLive => Verdict::Failed,
        Outcome::Switched => Verdict::Live,
        Outcome::PutBack => Verdict::PutBack,
        Outcome::Stays | Outcome::Unclear => Verdict::Broken,
    }
}

/// What is written down of a release, the older first: nothing where nothing was uploaded; and where the version before
/// was put back, that it serves again.
pub fn entries(release: &Release, ledger: &Ledger) -> Vec<Entry> {
    let Some(own) = entry(release) else { return Vec::new() };
    let restored = release.restored().clone();
    let found = release.known();
    let live = found.as_ref().and_then(|found| found.live.iter().find(|live| live.deployment.is_some()));
    let Some(live) = live.filter(|_| !restored.is_empty()) else { return vec![own] };
    let before = live.deployment.as_ref().and_then(|one| ledger.of_deployment(&one.id));
    let again = Entry {
        commit: live.commit.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        subject: before.map(|entry| entry.subject.clone()).unwrap_or_default(),
        deployments: restored,
        migration: before.and_then(|entry| entry.migration),
        brought: Vec::new(),
        incompatible: Vec::new(),
        migrations_known: true,
        backup: None,
        seconds: BTreeMap::new(),
        verdict: Verdict::RolledBack,
        ..own.clone()
    };
    vec![own, again]
}

fn entry(release: &Release) -> Option<Entry> {
    let deployments = deployments(release);
    let found = release.known().filter(|_| !deployments.is_empty())?;
    Some(Entry {
        at: lock::now(),
        owner: release.owner.name.clone(),
        run: release.owner.run.clone(),
        commit: release.commit.id.clone(),
        subject: release.commit.subject.clone(),
        deployments,
        migration: found.brought.newest,
        migrations_known: found.brought.is_known,
        brought: found.brought.new.clone(),
        incompatible: found.brought.incompatible.iter().map(|(version, _)| *version).collect(),
        backup: release.backup.get().cloned(),
        seconds: release.seconds().clone(),
        verdict: verdict(*release.outcome()),
    })
}
