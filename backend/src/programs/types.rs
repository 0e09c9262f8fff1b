//! What a program is made of, and its rules.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::key::slug;
use crate::request::rules::{Rule, Words, line, prose};
use crate::request::{Input, Members, flag, list, object, text, whole, word};

/// Whether a program takes reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ProgramStatus {
    /// Being written; not announced yet.
    Draft,
    /// Takes reports.
    Open,
    /// Takes none for now.
    Paused,
    /// Has ended.
    Closed,
}

impl Words for ProgramStatus {
    const WORDS: &'static [(&'static str, Self)] =
        &[("draft", Self::Draft), ("open", Self::Open), ("paused", Self::Paused), ("closed", Self::Closed)];
}

/// What kind of thing may be tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum AssetKind {
    /// A web application.
    Web,
    /// An interface for programs.
    Api,
    /// A mobile application.
    Mobile,
    /// Source code.
    Source,
    /// A device.
    Hardware,
    /// A range of addresses.
    Network,
    /// Anything else.
    Other,
}

impl Words for AssetKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("web", Self::Web),
        ("api", Self::Api),
        ("mobile", Self::Mobile),
        ("source", Self::Source),
        ("hardware", Self::Hardware),
        ("network", Self::Network),
        ("other", Self::Other),
    ];
}

/// The severities that earn a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum RewardSeverity {
    /// CVSS 0.1 to 3.9.
    Low,
    /// CVSS 4.0 to 6.9.
    Medium,
    /// CVSS 7.0 to 8.9.
    High,
    /// CVSS 9.0 to 10.0.
    Critical,
}

impl Words for RewardSeverity {
    const WORDS: &'static [(&'static str, Self)] =
        &[("low", Self::Low), ("medium", Self::Medium), ("high", Self::High), ("critical", Self::Critical)];
}

/// One thing that a program is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// A host, a package, a repository: unique within the program.
    pub identifier: String,
    /// What kind of thing it is.
    pub kind: AssetKind,
    /// Whether it may be tested; `false` says that it must not.
    pub in_scope: bool,
    /// What testers have to know about it.
    pub instructions: String,
}

impl Asset {
    fn read(members: &mut Members<'_>) -> Option<Self> {
        let identifier = members.required("identifier", text(line(1, 255)));
        let kind = members.required("kind", word);
        let in_scope = members.or("in_scope", true, flag);
        let instructions = members.or("instructions", String::new(), text(prose(0, 2000)));
        Some(Self { identifier: identifier?, kind: kind?, in_scope: in_scope?, instructions: instructions? })
    }
}

/// What a severity pays, in the minor unit of the program's currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reward {
    /// For which reports.
    pub severity: RewardSeverity,
    /// The least.
    pub minimum: i64,
    /// The most.
    pub maximum: i64,
}

/// The largest number that every reader of JSON keeps exactly (RFC 8259 §6).
const LARGEST: i64 = (1 << 53) - 1;

impl Reward {
    fn read(members: &mut Members<'_>) -> Option<Self> {
        let severity = members.required("severity", word);
        let minimum = members.required("minimum", whole(0, LARGEST));
        let maximum = members.required("maximum", whole(0, LARGEST));
        Some(Self { severity: severity?, minimum: minimum?, maximum: maximum? })
    }
}

/// A program as it stands in a list.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct ProgramSummary {
    /// Its id.
    pub id: Uuid,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// What it is about, in a sentence or two.
    pub summary: String,
    /// Whether it takes reports.
    pub status: ProgramStatus,
    /// The ISO 4217 code of its rewards.
    pub currency: String,
    /// Whether an automatic check made it, and is going to remove it.
    pub temporary: bool,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A program with everything that belongs to it.
#[derive(Debug, Serialize)]
pub struct Program {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: ProgramSummary,
    /// The rules, in Markdown.
    pub policy: String,
    /// What it is about: first what is in scope, and each by its identifier.
    pub assets: Vec<Asset>,
    /// What it pays, from low to critical.
    pub rewards: Vec<Reward>,
}

impl Program {
    /// Puts assets and rewards into their order, which no database's collation has a part in.
    pub(super) fn sorted(mut self) -> Self {
        self.assets.sort_by(|a, b| (!a.in_scope, &a.identifier).cmp(&(!b.in_scope, &b.identifier)));
        self.rewards.sort_by_key(|reward| reward.severity);
        self
    }
}

/// What is needed to make a program.
#[derive(Debug, Clone)]
pub struct NewProgram {
    /// Lower-case words joined by hyphens, 3 to 60 characters, and not like an id.
    pub slug: String,
    /// 1 to 120 characters.
    pub name: String,
    /// 1 to 500 characters.
    pub summary: String,
    /// At most 20,000 characters.
    pub policy: String,
    /// A draft by default.
    pub status: ProgramStatus,
    /// Three capital letters; EUR by default.
    pub currency: String,
    /// At most 100.
    pub assets: Vec<Asset>,
    /// At most one for each severity.
    pub rewards: Vec<Reward>,
    /// For automatic checks, which remove it with its reports; an hour later it may be gone by itself.
    pub temporary: bool,
}

/// The most assets one program may list.
const MOST_ASSETS: usize = 100;

impl Input for NewProgram {
    // All assets with the longest instructions, in characters of four bytes.
    const MOST_BYTES: usize = 1024 * 1024;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let slug = members.required("slug", text(slug));
        let name = members.required("name", text(line(1, 120)));
        let summary = members.required("summary", text(line(1, 500)));
        let policy = members.or("policy", String::new(), text(prose(0, 20_000)));
        let status = members.or("status", ProgramStatus::Draft, word);
        let currency = members.or("currency", "EUR".to_owned(), text(currency));
        let assets = members.or("assets", Vec::new(), list(MOST_ASSETS, object(Asset::read)));
        let rewards = members.or("rewards", Vec::new(), list(RewardSeverity::WORDS.len(), object(Reward::read)));
        let temporary = members.or("temporary", false, flag);
        refuse_doubled_assets(members, assets.iter().flatten());
        refuse_odd_rewards(members, rewards.iter().flatten());
        Some(Self {
            slug: slug?,
            name: name?,
            summary: summary?,
            policy: policy?,
            status: status?,
            currency: currency?,
            assets: assets?,
            rewards: rewards?,
            temporary: temporary?,
        })
    }
}

/// What is to be different about a program. What is absent stays as it is; a list is replaced as a whole.
#[derive(Debug, Default, Clone)]
pub struct ProgramChange {
    /// 1 to 120 characters.
    pub name: Option<String>,
    /// 1 to 500 characters.
    pub summary: Option<String>,
    /// At most 20,000 characters.
    pub policy: Option<String>,
    /// Whether it takes reports.
    pub status: Option<ProgramStatus>,
    /// At most 100.
    pub assets: Option<Vec<Asset>>,
    /// At most one for each severity.
    pub rewards: Option<Vec<Reward>>,
}

impl ProgramChange {
    /// Whether nothing is to be different.
    pub fn is_empty(&self) -> bool {
        let Self { name, summary, policy, status, assets, rewards } = self;
        name.is_none()
            && summary.is_none()
            && policy.is_none()
            && status.is_none()
            && assets.is_none()
            && rewards.is_none()
    }
}

impl Input for ProgramChange {
    const MOST_BYTES: usize = NewProgram::MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let name = members.optional("name", text(line(1, 120)));
        let summary = members.optional("summary", text(line(1, 500)));
        let policy = members.optional("policy", text(prose(0, 20_000)));
        let status = members.optional("status", word);
        let assets = members.optional("assets", list(MOST_ASSETS, object(Asset::read)));
        let rewards = members.optional("rewards", list(RewardSeverity::WORDS.len(), object(Reward::read)));
        refuse_doubled_assets(members, assets.iter().flatten().flatten());
        refuse_odd_rewards(members, rewards.iter().flatten().flatten());
        Some(Self {
            name: name?,
            summary: summary?,
            policy: policy?,
            status: status?,
            assets: assets?,
            rewards: rewards?,
        })
    }
}

fn refuse_doubled_assets<'a>(members: &mut Members<'_>, assets: impl Iterator<Item = &'a Asset>) {
    let mut seen = HashSet::new();
    for (index, asset) in assets.enumerate() {
        if !seen.insert(&asset.identifier) {
            members.refuse("assets", Some(index), Some("identifier"), "is listed twice");
        }
    }
}

fn refuse_odd_rewards<'a>(members: &mut Members<'_>, rewards: impl Iterator<Item = &'a Reward>) {
    let mut seen = HashSet::new();
    for (index, reward) in rewards.enumerate() {
        if reward.maximum < reward.minimum {
            members.refuse("rewards", Some(index), None, "must have a maximum that is not below its minimum");
        }
        if !seen.insert(reward.severity) {
            members.refuse("rewards", Some(index), Some("severity"), "is listed twice");
        }
    }
}

fn currency(text: &str) -> Rule {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err("must be an ISO 4217 code such as EUR".into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::{Json, read};

    fn wrong(body: &serde_json::Value) -> Vec<serde_json::Value> {
        let document = Json::parse(body.to_string().as_bytes()).unwrap();
        let violations = read::<NewProgram>(document).err().unwrap_or_default();
        violations.listed().iter().map(|one| serde_json::to_value(one).unwrap()["pointer"].clone()).collect()
    }

    #[test]
    fn a_minimal_program_is_fine() {
        assert!(wrong(&json!({ "slug": "acme", "name": "Acme", "summary": "All of it" })).is_empty());
    }

    #[test]
    fn every_wrong_part_is_named() {
        let found = wrong(&json!({
            "slug": "Not A Slug", "name": " ", "summary": "nul \u{0}", "currency": "euro",
            "assets": [
                { "identifier": "a.example.com", "kind": "web" },
                { "identifier": "a.example.com", "kind": "api" },
            ],
            "rewards": [
                { "severity": "low", "minimum": 10, "maximum": 5 },
                { "severity": "low", "minimum": 1, "maximum": 5 },
            ],
        }));
        let expected = [
            "#/slug",
            "#/name",
            "#/summary",
            "#/currency",
            "#/assets/1/identifier",
            "#/rewards/0",
            "#/rewards/1/severity",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_amount_is_one_that_every_reader_keeps() {
        let with = |maximum: u64| {
            wrong(&json!({ "slug": "acme", "name": "x", "summary": "x",
                           "rewards": [{ "severity": "low", "minimum": 0, "maximum": maximum }] }))
        };
        assert!(with((1 << 53) - 1).is_empty());
        assert_eq!(with(1 << 53), ["#/rewards/0/maximum"]);
        assert_eq!(with(u64::MAX), ["#/rewards/0/maximum"]);
    }
}
