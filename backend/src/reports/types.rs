//! What a report is made of, and its rules.

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::request::rules::{Rule, Words, line, prose};
use crate::request::{Input, Members, text, whole, word};

/// How bad the finding is: the bands of CVSS 3.1 §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
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

impl Words for Severity {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("low", Self::Low),
        ("medium", Self::Medium),
        ("high", Self::High),
        ("critical", Self::Critical),
    ];
}

/// How far the company has come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ReportState {
    /// Nobody has looked at it.
    New,
    /// Reproduced and accepted.
    Triaged,
    /// Fixed.
    Resolved,
    /// Somebody reported it before.
    Duplicate,
    /// True, but nothing to fix.
    Informative,
    /// Not a finding.
    Rejected,
}

impl Words for ReportState {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("new", Self::New),
        ("triaged", Self::Triaged),
        ("resolved", Self::Resolved),
        ("duplicate", Self::Duplicate),
        ("informative", Self::Informative),
        ("rejected", Self::Rejected),
    ];
}

/// A report as it stands in a list.
#[derive(Debug, Serialize, sqlx::FromRow)]
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
#[derive(Debug, Clone)]
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

impl Input for NewReport {
    // The longest description in characters of four bytes, and as much again where they are escaped.
    const MOST_BYTES: usize = 512 * 1024;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let program = members.required("program", text(line(1, 60)));
        let title = members.required("title", text(line(1, 200)));
        let severity = members.required("severity", word);
        let weakness = members.optional("weakness", |value, spot| {
            let number = whole(1, 99_999)(value, spot)?;
            i32::try_from(number).ok()
        });
        let asset = members.optional("asset", text(line(1, 255)));
        let description = members.required("description", text(prose(1, 50_000)));
        let reporter = members.required("reporter", text(handle));
        Some(Self {
            program: program?,
            title: title?,
            severity: severity?,
            weakness: weakness?,
            asset: asset?,
            description: description?,
            reporter: reporter?,
        })
    }
}

/// The same rule as the database's `reports_reporter_check`.
fn handle(text: &str) -> Rule {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_handle = (2..=39).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || byte == b'-' || byte == b'_');
    if is_handle {
        Ok(())
    } else {
        Err("must be 2 to 39 of a-z, 0-9, - and _, starting with a letter or a digit".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Json, read};

    #[test]
    fn every_wrong_part_is_named() {
        let document = serde_json::json!({
            "program": "", "title": "two\nlines", "severity": "terrible", "weakness": 0, "asset": "",
            "reporter": "Not a handle",
        });
        let violations = read::<NewReport>(Json::parse(document.to_string().as_bytes()).unwrap()).unwrap_err();
        let found: Vec<_> =
            violations.listed().iter().map(|one| serde_json::to_value(one).unwrap()["pointer"].clone()).collect();
        let expected = ["#/program", "#/title", "#/severity", "#/weakness", "#/asset", "#/description", "#/reporter"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_handle_is_what_the_database_accepts() {
        for good in ["ab", "0x", "night_owl-7"] {
            assert!(handle(good).is_ok(), "{good}");
        }
        for bad in ["a", "-ab", "_ab", "Ab", "a b", "ä1", &"a".repeat(40)] {
            assert!(handle(bad).is_err(), "{bad}");
        }
    }
}
