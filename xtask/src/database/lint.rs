//! What migrations would do to a database that is in use: squawk's rules, our own, and what an author has accepted.
//!
//! A comment above a statement accepts a finding in it, and says why: `-- accept RULE: reason`. A migration is
//! *compatible* when nothing is left in it that the version before, which still runs, cannot go on with.

pub mod advice;
pub mod rules;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::migrations::Migration;
use super::sql::{self, Statement, Token};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::pinned::linters;
use crate::product::POSTGRES_MINIMUM;
use crate::tool::squawk;

/// squawk's name for what it cannot read, which nobody can accept.
const SYNTAX_ERROR: &str = "syntax-error";

/// What the names of a trace's rules begin with.
pub const TRACED: &str = "trace-";

/// A finding before anybody has accepted it.
#[derive(Debug, Default, Clone)]
pub struct Found {
    /// From 1.
    pub line: usize,
    /// From 0, in bytes.
    pub column: usize,
    /// The rule.
    pub rule: String,
    /// squawk's words for what is dangerous.
    pub message: String,
    /// squawk's words for what to do instead.
    pub help: String,
}

/// Something in a migration that its author has to change, or to accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, relative to the checkout.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule's name, for `-- accept RULE: reason`.
    pub rule: String,
    /// What happens to whom.
    pub effect: String,
    /// The sequence that is safe.
    pub instead: String,
    /// Whether the version before can go on running with it.
    pub compatible: bool,
    /// Why the author has accepted it; none where nobody has.
    pub accepted: Option<String>,
}

/// What came of linting one migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The file, relative to the checkout.
    pub file: String,
    /// The digits in its name.
    pub version: u64,
    /// Whether the version before can go on running once it is applied.
    pub compatible: bool,
    /// In the order of lines.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether the whole file could be read.
    pub fn is_read(&self) -> bool {
        self.findings.iter().all(|finding| finding.rule != SYNTAX_ERROR)
    }

    /// What nobody has accepted.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.accepted.is_none())
    }
}

/// Lints migrations. An error is that squawk cannot be had, or does not answer.
pub fn lint(context: &Context, migrations: &[Migration]) -> Result<Vec<Verdict>> {
    if migrations.is_empty() {
        return Ok(Vec::new());
    }
    let program = linters::find(context, &linters::SQUAWK).map_err(|why| {
        Failure::new(Exit::Missing, "migrations cannot be linted").details([why]).hint("pip install squawk-cli")
    })?;
    if context.dry_run && context.runner.find(&program.to_string_lossy()).is_none() {
        return Err(Failure::new(
            Exit::Missing,
            "migrations cannot be linted: squawk is not here, and a dry run fetches nothing",
        )
        .hint("cargo xtask migrate lint")
        .into());
    }
    let mut reports = Vec::new();
    for in_transaction in [true, false] {
        let files: Vec<&Path> = migrations
            .iter()
            .filter(|migration| migration.is_without_transaction() != in_transaction)
            .map(|migration| migration.up.as_path())
            .collect();
        if !files.is_empty() {
            let step = squawk::lint(&program, &files, POSTGRES_MINIMUM, in_transaction);
            reports.extend(squawk::parse(&step, &context.runner.read(&step)?)?);
        }
    }
    let relative = |path: &Path| context.project.relative(path).to_string();
    Ok(migrations
        .iter()
        .map(|migration| {
            let own: Vec<Found> = reports.iter().filter(|one| one.file == migration.up).map(of_squawk).collect();
            verdict(relative(&migration.up), migration, own)
        })
        .collect())
}

fn of_squawk(report: &squawk::Report) -> Found {
    Found {
        line: report.line + 1,
        column: report.column,
        rule: report.rule.clone(),
        message: report.message.clone(),
        help: report.help.clone().unwrap_or_default(),
    }
}

/// What squawk found in a migration, what our rules find, and what its author has accepted of both.
fn verdict(file: String, migration: &Migration, squawk: Vec<Found>) -> Verdict {
    let statements = sql::statements(&migration.text);
    let script = rules::Script { statements: &statements, in_transaction: !migration.is_without_transaction() };
    let mut found: Vec<Found> =
        squawk.into_iter().filter(|found| !restricts_nobody(found, migration, &statements)).collect();
    found.extend(rules::check(&script));
    let mut accepted: Vec<Accepted> = statements.iter().flat_map(Accepted::of).collect();
    let mut findings: Vec<Finding> = Vec::new();
    for found in found {
        let own = accepted.iter_mut().find(|one| found.rule != SYNTAX_ERROR && one.covers(&found));
        let reason = own.map(|accepted| {
            accepted.is_used = true;
            accepted.reason.clone()
        });
        findings.push(finding(&file, found, reason.filter(|reason| !reason.is_empty())));
    }
    // What only a trace can find is none of the lint's business.
    for one in accepted.iter().filter(|one| !one.rule.starts_with(TRACED)) {
        let rule = match (one.reason.is_empty(), one.is_used) {
            (true, _) => "accept-without-reason",
            (false, false) => "accept-without-finding",
            (false, true) => continue,
        };
        findings.push(finding(&file, Found { line: one.line, rule: rule.to_owned(), ..Found::default() }, None));
    }
    for (index, line) in migration.text.lines().enumerate() {
        if line.contains("squawk-ignore") {
            let found = Found { line: index + 1, rule: "squawk-ignore".to_owned(), ..Found::default() };
            findings.push(finding(&file, found, None));
        }
    }
    findings.sort_by(|one, other| (one.line, &one.rule).cmp(&(other.line, &other.rule)));
    findings.dedup_by(|one, other| one.line == other.line && one.rule == other.rule);
    if statements.is_empty() {
        findings.push(finding(&file, Found { line: 1, rule: "empty".to_owned(), ..Found::default() }, None));
    }
    let compatible = findings.iter().all(|finding| finding.compatible || finding.accepted.is_some());
    Verdict { file, version: migration.version, compatible, findings }
}

fn finding(file: &str, found: Found, accepted: Option<String>) -> Finding {
    let advice = advice::of(&found.rule);
    Finding {
        file: file.to_owned(),
        line: found.line,
        effect: advice.map_or(found.message, |advice| advice.effect.to_owned()),
        instead: advice.map_or(found.help, |advice| advice.instead.to_owned()),
        compatible: advice.is_none_or(|advice| !advice.is_incompatible),
        rule: found.rule,
        accepted,
    }
}

/// What a comment above a statement accepts.
#[derive(Debug)]
pub struct Accepted {
    /// The rule.
    pub rule: String,
    /// Why; empty where that is missing.
    pub reason: String,
    /// The line of the statement, for whoever has to find the comment.
    pub line: usize,
    last_line: usize,
    is_used: bool,
}

/// What the comments of a script accept of what a trace finds.
pub fn accepted_traces(text: &str) -> Vec<Accepted> {
    let statements = sql::statements(text);
    statements.iter().flat_map(Accepted::of).filter(|one| one.rule.starts_with(TRACED)).collect()
}

impl Accepted {
    fn of(statement: &Statement) -> impl Iterator<Item = Self> + '_ {
        let words = statement.comments.iter().filter_map(|line| line.strip_prefix("accept "));
        words.map(|words| {
            let (rule, reason) = words.split_once(':').unwrap_or((words, ""));
            Self {
                rule: rule.trim().to_owned(),
                reason: reason.trim().to_owned(),
                line: statement.line,
                last_line: statement.last_line,
                is_used: false,
            }
        })
    }

    fn covers(&self, found: &Found) -> bool {
        self.rule == found.rule && (self.line..=self.last_line).contains(&found.line)
    }
}

/// Whether squawk sees a restriction that nobody meets: `NOT NULL` of a new column that has a default, or a constraint
/// that takes over an index which has been there before.
fn restricts_nobody(found: &Found, migration: &Migration, statements: &[Statement]) -> bool {
    if found.rule != "ban-new-write-restriction" {
        return false;
    }
    let before: usize = migration.text.split_inclusive('\n').take(found.line - 1).map(str::len).sum();
    let place = before + found.column;
    let covers = |statement: &&Statement| {
        statement.tokens.first().is_some_and(|(start, _)| *start <= place)
            && statement.tokens.last().is_some_and(|(end, _)| *end >= place)
    };
    let Some(statement) = statements.iter().find(covers) else { return false };
    let (mut depth, mut clauses) = (0_i32, vec![Vec::new()]);
    for (at, token) in &statement.tokens {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth -= 1,
            Token::Mark(',') if depth == 0 => clauses.push(Vec::new()),
            _ => {}
        }
        clauses.last_mut().expect("it begins with one").push((*at, token));
    }
    let own = clauses.iter().rev().find(|clause| clause.first().is_some_and(|(start, _)| *start <= place));
    let has = |word: &str| own.is_some_and(|clause| clause.iter().any(|(_, token)| token.word() == Some(word)));
    if has("USING") && has("INDEX") {
        return true;
    }
    has("ADD") && has("DEFAULT") && !has("CHECK") && !has("UNIQUE") && !has("REFERENCES") && !has("CONSTRAINT")
}
