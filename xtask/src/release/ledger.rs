//! What was released to an environment: a shared variable that the newest releases stand in, the newest first, so that
//! every checkout and every run of CI reads the same.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::platform::{Destination, Platform};
use crate::product::RELEASES;

/// How many are kept: variables have to be small.
const KEPT: usize = 20;

/// Stands for the commit of a version that nobody knows it of.
pub const UNKNOWN: &str = "unknown";

/// What came of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was verified, and serves until the next.
    Live,
    /// It failed before it served.
    Failed,
    /// It served, failed, and the one before was put back.
    PutBack,
    /// It serves although it failed: the one before could not be put back.
    Broken,
    /// Somebody went back to it.
    RolledBack,
    /// It was live, and somebody went back from it by hand.
    Left,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Failed => "failed",
            Self::PutBack => "failed, put back",
            Self::Broken => "failed, still live",
            Self::RolledBack => "rolled back to",
            Self::Left => "rolled back from",
        }
    }
}

/// One release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since 1970.
    pub at: u64,
    /// Who did it.
    pub owner: String,
    /// Where it can be looked at.
    pub run: Option<String>,
    /// The commit.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// The id of each service's deployment.
    pub deployments: BTreeMap<String, String>,
    /// The newest migration that it has.
    pub migration: Option<u64>,
    /// The migrations that it brought.
    #[serde(default)]
    pub brought: Vec<u64>,
    /// Those of them that the version before it cannot live with.
    #[serde(default)]
    pub incompatible: Vec<u64>,
    /// Whether it was known which migrations the version before had.
    #[serde(default = "known")]
    pub migrations_known: bool,
    /// The backup that was made before.
    pub backup: Option<String>,
    /// How long each phase took, in seconds.
    #[serde(default)]
    pub seconds: BTreeMap<String, u64>,
    /// What came of it.
    pub verdict: Verdict,
}

/// The newest releases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The id of the environment: a copy of one has its variables too.
    #[serde(default)]
    pub environment: String,
    /// The newest first.
    pub entries: Vec<Entry>,
}

fn known() -> bool {
    true
}

impl Entry {
    /// Whether it brought this migration, and the version before could live with it.
    pub fn is_harmless(&self, version: u64) -> bool {
        self.migrations_known && self.brought.contains(&version) && !self.incompatible.contains(&version)
    }
}

impl Ledger {
    /// What the environment remembers. What stands there and is not ours is an error: it would be written over.
    pub fn load(platform: &dyn Platform, to: &Destination) -> Result<Self> {
        match platform.shared(to, RELEASES)?.filter(|text| !text.trim().is_empty()) {
            None => Ok(Self::default()),
            Some(text) => {
                let ledger: Self = serde_json::from_str(&text)
                    .with_context(|| format!("the shared variable {RELEASES} cannot be read"))?;
                let is_own = ledger.environment.is_empty() || ledger.environment == to.environment;
                Ok(if is_own { ledger } else { Self::default() })
            }
        }
    }

    /// Writes releases down, the older first, before all others.
    pub fn add(mut self, platform: &dyn Platform, to: &Destination, entries: Vec<Entry>) -> Result<()> {
        for entry in entries {
            self.entries.insert(0, entry);
        }
        self.entries.truncate(KEPT);
        self.environment.clone_from(&to.environment);
        platform.set_shared(to, RELEASES, &serde_json::to_string(&self)?)
    }

    /// The release that this deployment of a service belongs to.
    pub fn of_deployment(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.deployments.values().any(|deployment| deployment == id))
    }

    /// Whether a commit was live once and was left because it failed, with nothing good heard of it since.
    pub fn was_left(&self, commit: &str) -> bool {
        let mut words = self.entries.iter().filter(|entry| entry.commit == commit).map(|entry| entry.verdict);
        // One that failed before it served says nothing new.
        let word = words.find(|word| *word != Verdict::Failed);
        matches!(word, Some(Verdict::PutBack | Verdict::Broken | Verdict::Left))
    }

    /// Notes that somebody went back from the release that this deployment belongs to.
    pub fn leave(&mut self, deployment: &str) {
        let entry = self.entries.iter_mut().find(|entry| entry.deployments.values().any(|one| one == deployment));
        if let Some(entry) = entry {
            entry.verdict = Verdict::Left;
        }
    }

    /// The migrations that releases newer than this one brought, and that it cannot live with. None where the release is
    /// not known: nobody knows then.
    pub fn incompatible_since(&self, entry: &Entry) -> Option<Vec<u64>> {
        let place = self.entries.iter().position(|other| other == entry)?;
        if self.entries[..place].iter().any(|newer| !newer.migrations_known) {
            return None;
        }
        Some(self.entries[..place].iter().flat_map(|newer| newer.incompatible.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(commit: &str, incompatible: &[u64]) -> Entry {
        Entry {
            at: 0,
            owner: "me".to_owned(),
            run: None,
            commit: commit.to_owned(),
            subject: String::new(),
            deployments: BTreeMap::from([("backend".to_owned(), format!("d-{commit}"))]),
            migration: None,
            brought: incompatible.to_vec(),
            incompatible: incompatible.to_vec(),
            migrations_known: true,
            backup: None,
            seconds: BTreeMap::new(),
            verdict: Verdict::Live,
        }
    }

    #[test]
    fn every_release_since_counts_and_an_unknown_one_is_not_taken_for_harmless() {
        let ledger =
            Ledger { environment: String::new(), entries: vec![entry("c", &[3]), entry("b", &[2]), entry("a", &[1])] };
        assert_eq!(ledger.incompatible_since(&ledger.entries[2]), Some(vec![3, 2]));
        assert_eq!(ledger.incompatible_since(&ledger.entries[0]), Some(vec![]));
        assert_eq!(ledger.incompatible_since(&entry("z", &[])), None);
        assert_eq!(ledger.of_deployment("d-b").unwrap().commit, "b");
        assert!(ledger.of_deployment("d-z").is_none());
        let unknown = Entry { migrations_known: false, ..entry("d", &[]) };
        let ledger = Ledger { environment: String::new(), entries: vec![unknown, entry("a", &[])] };
        assert_eq!(ledger.incompatible_since(&ledger.entries[1]), None);
    }

    #[test]
    fn only_a_later_good_word_makes_up_for_a_bad_one() {
        let with = |verdicts: &[Verdict]| {
            let entries = verdicts.iter().map(|verdict| Entry { verdict: *verdict, ..entry("a", &[]) });
            Ledger { environment: String::new(), entries: entries.collect() }.was_left("a")
        };
        assert!(with(&[Verdict::PutBack]) && with(&[Verdict::Failed, Verdict::PutBack]) && with(&[Verdict::Left]));
        assert!(!with(&[Verdict::Live, Verdict::PutBack]) && !with(&[Verdict::Failed]) && !with(&[]));
        assert!(!with(&[Verdict::RolledBack, Verdict::Left]));
    }

    #[test]
    fn a_ledger_of_a_later_version_with_more_in_it_is_read() {
        let mut value =
            serde_json::to_value(Ledger { environment: String::new(), entries: vec![entry("a", &[])] }).unwrap();
        value["entries"][0]["later"] = serde_json::json!(1);
        assert_eq!(serde_json::from_value::<Ledger>(value).unwrap().entries.len(), 1);
    }
}
