//! Which migrations a release brings, and whether the version that is live can go on with them.

use anyhow::Result;

use super::{Finding, Live};
use crate::checkout;
use crate::context::Context;
use crate::database::compatibility;
use crate::database::lint::{self, Verdict};
use crate::database::migrations::{self, Migration};
use crate::failure::Exit;
use crate::plan::Access;
use crate::product::MIGRATIONS;
use crate::release::ledger::{Ledger, UNKNOWN};

/// The migrations that a release brings.
#[derive(Debug, Clone, Default)]
pub struct Brought {
    /// The newest of all.
    pub newest: Option<u64>,
    /// Those that the live version does not have.
    pub new: Vec<u64>,
    /// Those of them that the live version cannot go on with, and why.
    pub incompatible: Vec<(u64, String)>,
    /// Whether it is known what the live version has.
    pub is_known: bool,
}

impl Brought {
    /// Why the version before could not go on once this one has migrated; none where it could.
    pub fn rules_out_a_way_back(&self) -> Option<String> {
        match self.incompatible.first() {
            Some((version, why)) => Some(format!("it cannot go on with migration {version} ({why})")),
            None if self.is_known => None,
            None => Some("nobody knows whether it can go on with the new migrations".to_owned()),
        }
    }
}

/// Compares the migrations with those of the live version, and lints the new ones.
pub fn look(live: &[Live], ledger: &Ledger, older: bool, access: &Access<'_>) -> Result<(Brought, Vec<Finding>)> {
    let folder = access.context.project.root().join(MIGRATIONS);
    let found = migrations::read(&folder)?;
    let mut findings: Vec<Finding> = found
        .problems
        .iter()
        .map(|problem| Finding::new(Exit::Migrations, problem.clone()).hint("cargo xtask migrate lint"))
        .collect();
    let mut brought = Brought { newest: found.all.last().map(|last| last.version), ..Brought::default() };
    let Some(serving) = live.iter().find(|live| live.last.is_some()) else {
        // The first release: there is nothing that has to go on.
        brought.new = found.all.iter().map(|one| one.version).collect();
        brought.is_known = true;
        return Ok((brought, findings));
    };
    let Some(has) = versions_of(serving, ledger, access.context) else {
        return Ok((brought, findings));
    };
    findings.extend(lacking(&found.all, &has, ledger, older));
    let new: Vec<Migration> = found.all.into_iter().filter(|one| !has.has(one.version)).collect();
    brought.is_known = true;
    brought.new = new.iter().map(|one| one.version).collect();
    let verdicts = lint::lint(access.context, &new)?;
    // What the live version cannot go on with is no mistake: it takes a backup, and rules out a rollback.
    for finding in verdicts.iter().flat_map(Verdict::open).filter(|finding| finding.compatible) {
        let what = format!("{}:{} {}: {}", finding.file, finding.line, finding.rule, finding.effect);
        findings.push(Finding::new(Exit::Migrations, what).hint("cargo xtask migrate lint"));
    }
    for one in compatibility::incompatible(&verdicts) {
        let rules: Vec<&str> = one.findings.iter().map(|finding| finding.rule.as_str()).collect();
        brought.incompatible.push((one.version, rules.join(", ")));
    }
    Ok((brought, findings))
}

/// The migrations of the live version.
enum Has {
    /// These.
    All(Vec<u64>),
    /// All up to this one, as its release was recorded.
    UpTo(u64),
}

impl Has {
    fn has(&self, version: u64) -> bool {
        match self {
            Self::All(versions) => versions.contains(&version),
            Self::UpTo(newest) => version <= *newest,
        }
    }

    /// What it has, as far as it is known, and the checkout does not.
    fn beyond(&self, own: &[Migration]) -> Vec<u64> {
        let is_own = |version: &u64| own.iter().any(|one| one.version == *version);
        match self {
            Self::All(versions) => versions.iter().filter(|version| !is_own(version)).copied().collect(),
            Self::UpTo(newest) if own.last().is_none_or(|last| last.version < *newest) => vec![*newest],
            Self::UpTo(_) => Vec::new(),
        }
    }
}

/// A commit that lacks migrations of the live version is an older one: the same holds for it as for a rollback.
fn lacking(own: &[Migration], has: &Has, ledger: &Ledger, older: bool) -> Option<Finding> {
    let lacking = has.beyond(own);
    let harmful: Vec<String> = lacking
        .iter()
        .filter(|version| !ledger.entries.iter().any(|entry| entry.is_harmless(**version)))
        .map(u64::to_string)
        .collect();
    if harmful.is_empty() || older {
        return None;
    }
    let what = format!(
        "this commit lacks migration {} of the live version, and is not known to live with it",
        harmful.join(", ")
    );
    Some(
        Finding::new(Exit::Refused, what)
            .hint("git pull")
            .hint("--older, if you know that it can live with the schema"),
    )
}

/// Which migrations the live version has: as its commit says, else as its release was recorded.
fn versions_of(live: &Live, ledger: &Ledger, context: &Context) -> Option<Has> {
    let commit = live.commit.as_deref().filter(|commit| *commit != UNKNOWN);
    let commit = commit.map(|commit| commit.trim_end_matches("-dirty"));
    if let Some(versions) = commit.and_then(|commit| checkout::migrations_at(context, commit)) {
        return Some(Has::All(versions.iter().filter_map(|version| version.parse().ok()).collect()));
    }
    let recorded = live.last.as_ref().and_then(|one| ledger.of_deployment(&one.id));
    recorded.and_then(|entry| entry.migration).map(Has::UpTo)
}
