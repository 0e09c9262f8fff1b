//! Putting a dump in the place of the database, or trying whether that could be done.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::dump::keep_survey;
use super::dumps::Manifest;
use super::survey::Survey;
use super::target::{Target, before};
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Action, Phase, Plan, Value};
use crate::product::DATABASE;
use crate::tool::version;

/// How long migrations of the restored database may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);

/// The warning about a dump whose manifest has no counts of rows.
pub const NOT_COMPARED: &str = "its rows could not be compared, because somebody wrote during the dump";

/// The phases that restore a dump and put it in the place of the database, which is kept under another name. The checkout
/// has to know every migration of the dump.
pub fn restore(target: &Target<'_>, dump: &Path, manifest: &Manifest, known: &[u64]) -> Result<Vec<Phase>> {
    let new = format!("{DATABASE}_restored");
    let mut phases = into_new(target, dump, manifest, &new)?;
    if is_older(manifest, known) {
        phases.push(migrate(target, &new)?);
    }
    let swap = target.swap(&new)?;
    let result = format!("the database before is kept as {}", before());
    phases.push(Phase::new("swap", "put the restored database in its place", move |_| {
        Ok(Plan::of("swap", vec![Action::Run(swap.clone())], &result))
    }));
    Ok(phases)
}

/// The phases that put the database that was replaced last in the place of the one that is there, and the other way
/// round. Its migrations are those, and this checkout's those that are known.
pub fn exchange(target: &Target<'_>, applied: &[u64], known: &[u64]) -> Result<Vec<Phase>> {
    let mut phases = Vec::new();
    if known.iter().any(|version| !applied.contains(version)) {
        phases.push(migrate(target, &before())?);
    }
    let exchange = target.exchange()?;
    let result = format!("the database that was there is {} now", before());
    phases.push(Phase::new("swap", "exchange the two", move |_| {
        Ok(Plan::of("swap", vec![Action::Run(exchange.clone())], &result))
    }));
    Ok(phases)
}

/// The phase that applies what is pending in a database which is not in its place yet.
fn migrate(target: &Target<'_>, database: &str) -> Result<Phase> {
    let migrate = (target.program)(database)?.migrate(MIGRATION_TIMEOUT, &[]);
    Ok(Phase::new("migrate", "bring the older schema up to this checkout's", move |_| {
        Ok(Plan::of("migrate", vec![Action::Run(migrate.clone())], "migrated"))
    }))
}

/// The phases that restore a dump into a database of its own, which is gone at the end.
pub fn drill(target: &Target<'_>, dump: &Path, manifest: &Manifest, known: &[u64]) -> Result<Vec<Phase>> {
    let new = format!("{DATABASE}_drill");
    let mut phases = into_new(target, dump, manifest, &new)?;
    let program = (target.program)(&new)?;
    // Of an older dump some are pending, and have to be applicable.
    let is_older = is_older(manifest, known);
    let step = if is_older { program.migrate(MIGRATION_TIMEOUT, &[]) } else { program.migration_status(false) };
    let status = move |_: &_| Ok(Plan::of("status", vec![Action::Run(step.clone())], "every migration is applied"));
    let remove = target.remove(&[new])?;
    phases.push(
        Phase::new("status", "ask the restored database for its migrations", status)
            .finally(move || Ok(Plan::of("remove", vec![Action::Run(remove.clone())], "removed"))),
    );
    Ok(phases)
}

/// The phases that fill a new database and compare it with the manifest. It goes if anything fails.
fn into_new(target: &Target<'_>, dump: &Path, manifest: &Manifest, new: &str) -> Result<Vec<Phase>> {
    let (ask, create) = (target.version()?, target.create(new, None)?);
    let fill = target.restore(new, dump)?;
    let count = if manifest.counts_by_text() { target.survey_by_text(new)? } else { target.survey(new)? };
    let remove = target.remove(&[new.to_owned()])?;
    let major = version::major(&manifest.server).unwrap_or(0);
    let expected = manifest.clone();
    let result = match manifest.tables {
        Some(_) => "every table is as it was dumped".to_owned(),
        None => format!("restored; {NOT_COMPARED}"),
    };
    let server = Phase::new("server", "see whether this server understands the dump", move |_| {
        let found = Value::new("version of the server");
        let keep = Action::keep(ask.clone(), &found, |said| version::major(said.trim()));
        let check = Action::check("compare it with the dump's", move |_| expect_server(*found.get()?, major));
        Ok(Plan::of("server", vec![keep, check], "can read the dump"))
    });
    let restore = Phase::new("restore", "fill a new database, and compare it with the manifest", move |_| {
        let (restored, expected) = (Value::new("survey of the restored database"), expected.clone());
        let keep = keep_survey(count.clone(), &restored);
        let compare = move |_: &Access<'_>| expect_same(restored.get()?, &expected);
        let actions = vec![
            Action::Run(create.clone()),
            Action::Run(fill.clone()),
            keep,
            Action::check("compare it with the manifest", compare),
        ];
        Ok(Plan::of("restore", actions, &result))
    })
    .undo(move || Ok(Plan::of("remove", vec![Action::Run(remove.clone())], "removed")));
    Ok(vec![server, restore])
}

fn is_older(manifest: &Manifest, known: &[u64]) -> bool {
    known.iter().any(|version| !manifest.migrations.contains(version))
}

fn expect_server(server: u32, dump: u32) -> Result<()> {
    if dump > server {
        let what = format!("the dump is of PostgreSQL {dump}, and the server is {server}: it may not understand it");
        return Err(Failure::new(Exit::Failed, what).into());
    }
    Ok(())
}

fn expect_same(restored: &Survey, dumped: &Manifest) -> Result<()> {
    let differences = dumped.differences(restored);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "the restored database is not what was dumped").details(differences).into())
}
