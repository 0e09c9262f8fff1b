//! What a report is made of, and its rules.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::problem::Violation;
use crate::request::{Validate, rules};

/// How bad the finding is: the bands of CVSS 3.1 §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Severity {
    /// 0.0.
    None,
    /// 0.1 to 3.9.
    Low,
    /// 4.0 to 6.9.
    Medium,
    /// 7.0 to 8.9.
    High,
    /// 9.0 to 10.0.
    Critical,
}

/// How far the company has come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ReportState {
    /// Nobody has looked at it.
    New,
    /// Reproduced and accepted.
    Triaged,
    /// Mended.
    Resolved,
    /// Somebody reported it before.
    Duplicate,
    /// True, but nothing to mend.
    Informative,
    /// Not a finding.
    Rejected,
}

/// A report as it stands in a list.
#[derive(Debug, Serialize)]
pub struct ReportSummary {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub number: i64,
    /// The slug of the program it was sent to.
    pub program: String,
    /// What was found, in a line.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// How far it has come.
    pub state: ReportState,
    /// The number of its CWE entry.
    pub weakness: Option<i32>,
    /// Which of the program's assets it is about.
    pub asset: Option<String>,
    /// The researcher's handle.
    pub reporter: String,
    /// When it was sent.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// A report with its text.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: ReportSummary,
    /// How to reproduce it and what follows from it, in Markdown.
    pub description: String,
}

/// What is needed to send a report.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReport {
    /// The program's slug or id.
    pub program: String,
    /// 1 to 200 characters.
    pub title: String,
    /// How bad the researcher takes it to be.
    pub severity: Severity,
    /// The number of its CWE entry, if one is known.
    pub weakness: Option<i32>,
    /// One of the program's assets that are in scope, if it is about one.
    pub asset: Option<String>,
    /// 1 to 50,000 characters.
    pub description: String,
    /// The researcher's handle: 2 to 39 of a-z, 0-9, `-` and `_`, starting with a letter or digit.
    pub reporter: String,
}

impl Validate for NewReport {
    fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        rules::text(&mut found, "#/program", &self.program, 1, 60);
        rules::text(&mut found, "#/title", &self.title, 1, 200);
        rules::text(&mut found, "#/description", &self.description, 1, 50_000);
        if self.weakness.is_some_and(|number| !(1..=99_999).contains(&number)) {
            found.push(Violation::at("#/weakness", "must be the number of a CWE entry, such as 79"));
        }
        if let Some(asset) = &self.asset {
            rules::text(&mut found, "#/asset", asset, 1, 255);
        }
        if !is_handle(&self.reporter) {
            let detail = "must be 2 to 39 of a-z, 0-9, - and _, starting with a letter or a digit";
            found.push(Violation::at("#/reporter", detail));
        }
        found
    }
}

/// The same rule as the database's `reports_reporter_check`.
fn is_handle(handle: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (2..=39).contains(&handle.len())
        && handle.bytes().next().is_some_and(is_word)
        && handle.bytes().all(|byte| is_word(byte) || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_part_is_named() {
        let report: NewReport = serde_json::from_value(serde_json::json!({
            "program": "", "title": "", "severity": "high", "weakness": 0, "asset": "", "description": "",
            "reporter": "Not a handle",
        }))
        .unwrap();
        let found: Vec<_> =
            report.violations().iter().map(|one| serde_json::to_value(one).unwrap()["pointer"].clone()).collect();
        assert_eq!(found, ["#/program", "#/title", "#/description", "#/weakness", "#/asset", "#/reporter"]);
    }

    #[test]
    fn a_handle_is_what_the_database_accepts() {
        for good in ["ab", "0x", "night_owl-7"] {
            assert!(is_handle(good), "{good}");
        }
        for bad in ["a", "-ab", "_ab", "Ab", "a b", "ä1", &"a".repeat(40)] {
            assert!(!is_handle(bad), "{bad}");
        }
    }
}
