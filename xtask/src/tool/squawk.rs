//! squawk, which knows what a migration does to the users of a PostgreSQL that is in use.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::runner::{Output, failure};
use crate::step::Step;

/// Rules that are not wanted: timeouts are the migrator's, and a migration is applied once.
const EXCLUDED: &[&str] =
    &["require-lock-timeout", "require-statement-timeout", "prefer-robust-stmts", "require-enum-value-ordering"];
/// Rules that squawk has, and leaves out unless it is asked.
const INCLUDED: &[&str] = &["ban-new-write-restriction", "ban-drop-index"];

/// What squawk found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// The file, as it was named.
    pub file: PathBuf,
    /// From 0.
    pub line: usize,
    /// From 0, in bytes.
    pub column: usize,
    /// What the rule is called.
    #[serde(rename = "rule_name")]
    pub rule: String,
    /// What is dangerous.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
}

/// Lints scripts for a PostgreSQL of that major version; `in_transaction`, if the migrator opens one around each.
pub fn lint(program: &Path, files: &[&Path], postgres: u32, in_transaction: bool) -> Step {
    let step = Step::new("lint the migrations", program)
        .args(["--reporter", "json", "--pg-version", &format!("{postgres}.0")])
        .args(EXCLUDED.iter().flat_map(|rule| ["--exclude", rule]))
        .args(INCLUDED.iter().flat_map(|rule| ["--include", rule]))
        .isolated()
        .only_reads();
    let step = if in_transaction { step.arg("--assume-in-transaction") } else { step };
    step.args(files)
}

/// The answer to [`lint`]: findings end it with 1, as mistakes of ours do, which print no JSON.
pub fn parse(step: &Step, output: &Output) -> Result<Vec<Report>> {
    if !matches!(output.code, Some(0 | 1)) || !output.stdout.trim_start().starts_with('[') {
        return Err(failure(step, output.code, &output.lines()).into());
    }
    serde_json::from_str(&output.stdout).context("cannot read squawk's report")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_no_failure_and_a_failure_is_not_no_findings() {
        let step = lint(Path::new("/x/squawk"), &[Path::new("a.sql")], 15, true);
        let text = step.to_string();
        for words in ["--pg-version 15.0", "--include ban-drop-index", "--assume-in-transaction a.sql"] {
            assert!(text.contains(words), "{text}");
        }
        assert!(step.is_read_only());
        let said =
            |code, stdout: &str| Output { code: Some(code), stdout: stdout.to_owned(), stderr: "why".to_owned() };
        assert_eq!(parse(&step, &said(0, "[]\n")).unwrap(), []);
        let report = r#"[{"file":"a.sql","line":3,"column":20,"level":"Warning","message":"m","help":null,
            "rule_name":"ban-drop-column","column_end":1,"line_end":3}]"#;
        let found = parse(&step, &said(1, report)).unwrap();
        assert_eq!((found[0].line, found[0].rule.as_str(), found[0].help.as_deref()), (3, "ban-drop-column", None));
        for (code, stdout) in [(1, ""), (2, "[]"), (101, "")] {
            assert!(parse(&step, &said(code, stdout)).is_err(), "{code} {stdout:?}");
        }
    }
}
