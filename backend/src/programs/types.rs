//! What a program is made of, and its rules.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::problem::Violation;
use crate::request::{Validate, rules};

/// Whether a program takes reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
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

/// The severities that earn a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
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

/// One thing that a program is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// A host, a package, a repository: unique within the program.
    pub identifier: String,
    /// What kind of thing it is.
    pub kind: AssetKind,
    /// Whether it may be tested; `false` says that it must not.
    #[serde(default = "yes")]
    pub in_scope: bool,
    /// What testers have to know about it.
    #[serde(default)]
    pub instructions: String,
}

fn yes() -> bool {
    true
}

/// What a severity pays, in the minor unit of the program's currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    /// For which reports.
    pub severity: RewardSeverity,
    /// The least.
    pub minimum: i64,
    /// The most.
    pub maximum: i64,
}

/// A program as it stands in a list.
#[derive(Debug, Serialize)]
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
    /// What it is about.
    pub assets: Vec<Asset>,
    /// What it pays, from low to critical.
    pub rewards: Vec<Reward>,
}

/// What is needed to make a program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProgram {
    /// Lower-case words joined by hyphens, 3 to 60 characters.
    pub slug: String,
    /// 1 to 120 characters.
    pub name: String,
    /// 1 to 500 characters.
    pub summary: String,
    /// At most 20,000 characters.
    #[serde(default)]
    pub policy: String,
    /// A draft, if nothing else is said.
    #[serde(default = "draft")]
    pub status: ProgramStatus,
    /// Three capital letters; EUR, if nothing else is said.
    #[serde(default = "euro")]
    pub currency: String,
    /// At most 100.
    #[serde(default)]
    pub assets: Vec<Asset>,
    /// At most one for each severity.
    #[serde(default)]
    pub rewards: Vec<Reward>,
    /// For automatic checks: anybody may remove it with its reports, and an hour later it may be gone by itself.
    #[serde(default)]
    pub temporary: bool,
}

fn draft() -> ProgramStatus {
    ProgramStatus::Draft
}

fn euro() -> String {
    "EUR".to_owned()
}

/// The most assets one program may list.
const MOST_ASSETS: usize = 100;

impl Validate for NewProgram {
    fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if !is_slug(&self.slug) {
            let detail = "must be 3 to 60 lower-case letters and digits, in words joined by single hyphens";
            found.push(Violation::at("#/slug", detail));
        }
        rules::text(&mut found, "#/name", &self.name, 1, 120);
        rules::text(&mut found, "#/summary", &self.summary, 1, 500);
        rules::text(&mut found, "#/policy", &self.policy, 0, 20_000);
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            found.push(Violation::at("#/currency", "must be an ISO 4217 code such as EUR"));
        }
        if self.assets.len() > MOST_ASSETS {
            found.push(Violation::at("#/assets", format!("must be at most {MOST_ASSETS}")));
        }
        for (index, asset) in self.assets.iter().enumerate() {
            rules::text(&mut found, &format!("#/assets/{index}/identifier"), &asset.identifier, 1, 255);
            rules::text(&mut found, &format!("#/assets/{index}/instructions"), &asset.instructions, 0, 2000);
            if self.assets[..index].iter().any(|other| other.identifier == asset.identifier) {
                found.push(Violation::at(format!("#/assets/{index}/identifier"), "is listed twice"));
            }
        }
        for (index, reward) in self.rewards.iter().enumerate() {
            if reward.minimum < 0 || reward.maximum < reward.minimum {
                let detail = "must be a minimum of 0 or more and a maximum that is not below it";
                found.push(Violation::at(format!("#/rewards/{index}"), detail));
            }
            if self.rewards[..index].iter().any(|other| other.severity == reward.severity) {
                found.push(Violation::at(format!("#/rewards/{index}/severity"), "is listed twice"));
            }
        }
        found
    }
}

/// The same rule as the database's `programs_slug_check`.
fn is_slug(slug: &str) -> bool {
    (3..=60).contains(&slug.len())
        && slug
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(json: serde_json::Value) -> Vec<serde_json::Value> {
        let program: NewProgram = serde_json::from_value(json).unwrap();
        program
            .violations()
            .iter()
            .map(|violation| serde_json::to_value(violation).unwrap()["pointer"].clone())
            .collect()
    }

    #[test]
    fn a_minimal_program_is_fine() {
        assert!(input(serde_json::json!({ "slug": "acme", "name": "Acme", "summary": "All of it" })).is_empty());
    }

    #[test]
    fn every_wrong_part_is_named() {
        let found = input(serde_json::json!({
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
    fn a_slug_is_words_joined_by_single_hyphens() {
        for good in ["abc", "a-b", "thunder-security-2"] {
            assert!(is_slug(good), "{good}");
        }
        for bad in ["ab", "-ab", "ab-", "a--b", "Abc", "a_b", "ä-b", &"a".repeat(61)] {
            assert!(!is_slug(bad), "{bad}");
        }
    }
}
