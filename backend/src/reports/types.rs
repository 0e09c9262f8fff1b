//! What a report is made of, and its rules.

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::request::rules::{Words, line, prose};
use crate::request::{Input, Json, Members, Spot, flag, id, text, whole, word};

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
    /// The report that said it first.
    pub duplicate_of: Option<Uuid>,
    /// Grows with each change.
    pub version: i64,
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
}

// The longest description in characters that JSON escapes with twelve bytes.
const MOST_BYTES: usize = 640 * 1024;

impl Input for NewReport {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let program = members.required("program", text(line(1, 60)));
        let title = members.required("title", text(line(1, 200)));
        let severity = members.required("severity", word);
        let weakness = members.optional("weakness", weakness);
        let asset = members.optional("asset", text(line(1, 255)));
        let description = members.required("description", text(prose(1, 50_000)));
        Some(Self {
            program: program?,
            title: title?,
            severity: severity?,
            weakness: weakness?,
            asset: asset?,
            description: description?,
        })
    }
}

fn weakness(value: Json, spot: Spot<'_>) -> Option<i32> {
    let number = whole(1, 99_999)(value, spot)?;
    i32::try_from(number).ok()
}

/// What is to be different about a report. What is absent stays as it is.
#[derive(Debug, Default, Clone)]
pub struct ReportChange {
    /// 1 to 200 characters.
    pub title: Option<String>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// The number of its CWE entry.
    pub weakness: Option<i32>,
    /// One of the program's assets that are in scope.
    pub asset: Option<String>,
    /// 1 to 50,000 characters.
    pub description: Option<String>,
}

impl Input for ReportChange {
    const MOST_BYTES: usize = MOST_BYTES;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let title = members.optional("title", text(line(1, 200)));
        let severity = members.optional("severity", word);
        let weakness = members.optional("weakness", weakness);
        let asset = members.optional("asset", text(line(1, 255)));
        let description = members.optional("description", text(prose(1, 50_000)));
        Some(Self { title: title?, severity: severity?, weakness: weakness?, asset: asset?, description: description? })
    }
}

/// Where a report is to go.
#[derive(Debug, Clone, Copy)]
pub struct Transition {
    /// The state.
    pub to: ReportState,
    /// Which report said it first, where it is a duplicate.
    pub duplicate_of: Option<Uuid>,
}

impl Input for Transition {
    const MOST_BYTES: usize = 4 * 1024;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let to = members.required("to", word);
        let duplicate_of = members.optional("duplicate_of", id);
        if let (Some(to), Some(duplicate_of)) = (to, duplicate_of) {
            match (to, duplicate_of) {
                (ReportState::Duplicate, None) => members.refuse("duplicate_of", None, None, "is missing"),
                (ReportState::Duplicate, Some(_)) | (_, None) => {}
                _ => members.refuse("duplicate_of", None, None, "belongs to a duplicate alone"),
            }
        }
        Some(Self { to: to?, duplicate_of: duplicate_of? })
    }
}

/// What somebody says about a report.
#[derive(Debug, Clone)]
pub struct NewComment {
    /// 1 to 20,000 characters of Markdown.
    pub body: String,
    /// Whether it is for those who triage alone.
    pub internal: bool,
}

impl Input for NewComment {
    const MOST_BYTES: usize = 256 * 1024;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let body = members.required("body", text(prose(1, 20_000)));
        let internal = members.or("internal", false, flag);
        Some(Self { body: body?, internal: internal? })
    }
}

/// A comment.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Comment {
    /// Its id.
    pub id: Uuid,
    /// The handle of whoever wrote it.
    pub author: String,
    /// What it says, in Markdown.
    pub body: String,
    /// Whether the report's sender does not see it.
    pub internal: bool,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Something that happened to a report.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Event {
    /// Its id.
    pub id: Uuid,
    /// `created`, `changed`, `transitioned` or `commented`.
    pub kind: String,
    /// The handle of whoever did it; none where it was a version of the service without accounts.
    pub actor: Option<String>,
    /// For each member that changed, what was before and what is now.
    pub changes: sqlx::types::Json<serde_json::Value>,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::read;

    #[test]
    fn every_wrong_part_is_named() {
        let document = serde_json::json!({
            "program": "", "title": "two\nlines", "severity": "terrible", "weakness": 0, "asset": "",
        });
        let violations = read::<NewReport>(Json::parse(document.to_string().as_bytes()).unwrap()).unwrap_err();
        let found: Vec<_> =
            violations.listed().iter().map(|one| serde_json::to_value(one).unwrap()["pointer"].clone()).collect();
        let expected = ["#/program", "#/title", "#/severity", "#/weakness", "#/asset", "#/description"];
        assert_eq!(found, expected);
    }

    #[test]
    fn only_a_duplicate_names_the_report_that_said_it_first() {
        let id = "0198c2f0-7a1e-7cc0-b0d5-2b8f9a1c3d4e";
        let is_fine = |document: serde_json::Value| {
            read::<Transition>(Json::parse(document.to_string().as_bytes()).unwrap()).is_ok()
        };
        assert!(is_fine(serde_json::json!({ "to": "duplicate", "duplicate_of": id })));
        assert!(is_fine(serde_json::json!({ "to": "triaged" })));
        assert!(!is_fine(serde_json::json!({ "to": "duplicate" })));
        assert!(!is_fine(serde_json::json!({ "to": "triaged", "duplicate_of": id })));
        assert!(!is_fine(serde_json::json!({ "to": "duplicate", "duplicate_of": "1001" })));
    }
}
