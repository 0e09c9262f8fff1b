//! Whether the version that still runs can go on once migrations are applied: `migrate status` shows it, a deployment
//! and a rollback read it.

use anyhow::Result;

use super::lint::{Finding, Verdict, lint};
use super::migrations;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::product::MIGRATIONS;

/// A migration that the version before it cannot go on with.
#[derive(Debug, PartialEq, Eq)]
pub struct Incompatible<'v> {
    /// The file, relative to the checkout.
    pub file: &'v str,
    /// The digits in its name.
    pub version: u64,
    /// What makes it so, and what nobody has accepted.
    pub findings: Vec<&'v Finding>,
}

/// Those of the migrations that the version before cannot go on with, each with the reasons. The lint decides; a comment
/// in the file that gives a reason overrides it.
pub fn incompatible(verdicts: &[Verdict]) -> Vec<Incompatible<'_>> {
    let told = verdicts.iter().filter(|verdict| !verdict.compatible);
    told.map(|verdict| Incompatible {
        file: &verdict.file,
        version: verdict.version,
        findings: verdict.open().filter(|finding| !finding.compatible).collect(),
    })
    .collect()
}

/// The verdicts on the migrations of these versions, for [`incompatible`]. An error where one of them has no file here:
/// what nobody can read is not taken for compatible.
pub fn verdicts(context: &Context, versions: &[u64]) -> Result<Vec<Verdict>> {
    let found = migrations::read(&context.project.root().join(MIGRATIONS))?;
    let missing: Vec<String> = versions
        .iter()
        .filter(|version| !found.all.iter().any(|migration| migration.version == **version))
        .map(|version| format!("{version} has no file in {MIGRATIONS}"))
        .collect();
    if !missing.is_empty() {
        let what = "nobody can tell whether these migrations are compatible with the version before";
        let failure = Failure::new(Exit::Migrations, what).details(missing);
        return Err(failure.hint("git checkout COMMIT, the one that brought these files").into());
    }
    let chosen: Vec<_> = found.all.into_iter().filter(|migration| versions.contains(&migration.version)).collect();
    lint(context, &chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::exit_code;
    use crate::fixture::Fixture;
    use crate::runner::says;

    /// A checkout with these migrations, of which squawk finds nothing.
    fn checkout(scripts: &[&str]) -> Fixture {
        let fixture = Fixture::new(&["squawk"]);
        for (index, text) in scripts.iter().enumerate() {
            let stem = format!("{MIGRATIONS}/2026010{}000000_a", index + 1);
            fixture.write(&format!("{stem}.up.sql"), text);
            fixture.write(&format!("{stem}.down.sql"), "");
        }
        fixture.runner.on("squawk", says("[]"));
        fixture
    }

    const FIRST: u64 = 20_260_101_000_000;

    #[test]
    fn each_migration_that_is_not_compatible_is_told_with_what_makes_it_so() {
        let scripts =
            ["TRUNCATE a; VACUUM FULL b;", "SELECT 1;", "-- accept truncate: empty since 1.2\nTRUNCATE a;", "LOCK a;"];
        let fixture = checkout(&scripts);
        let versions = [FIRST, FIRST + 1_000_000, FIRST + 2_000_000, FIRST + 3_000_000];
        let verdicts = verdicts(&fixture.context, &versions).unwrap();
        let told = incompatible(&verdicts);
        let rules = |one: &Incompatible<'_>| one.findings.iter().map(|found| found.rule.clone()).collect::<Vec<_>>();
        assert_eq!(
            told.iter().map(|one| (one.version, rules(one))).collect::<Vec<_>>(),
            [(FIRST, vec!["truncate".to_owned()])]
        );
        assert_eq!(told[0].file, format!("{MIGRATIONS}/{FIRST}_a.up.sql"));
    }

    #[test]
    fn only_what_was_asked_for_is_told_and_what_has_no_file_is_no_answer() {
        let fixture = checkout(&["TRUNCATE a;", "SELECT 1;"]);
        let verdicts_of_second = verdicts(&fixture.context, &[FIRST + 1_000_000]).unwrap();
        assert_eq!(incompatible(&verdicts_of_second), []);
        assert_eq!(verdicts(&fixture.context, &[]).unwrap(), []);
        let error = verdicts(&fixture.context, &[FIRST, 7]).unwrap_err();
        assert_eq!(exit_code(&error), 5);
        assert_eq!(error.downcast_ref::<Failure>().unwrap().evidence(), [format!("7 has no file in {MIGRATIONS}")]);
    }
}
