//! Putting a dump in the place of the database, or trying whether that could be done.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::dump::survey;
use super::dumps::Manifest;
use super::survey::{Survey, Table};
use super::target::{Target, before};
use crate::failure::{Exit, Failure};
use crate::plan::{Action, Phase, Plan, Value};
use crate::product::DATABASE;
use crate::tool::version;

/// How long migrations of the restored database may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_hours(1);

/// The phases that restore a dump and put it in the place of the database, which is kept under another name.
pub fn restore(target: &Target<'_>, dump: &Path, manifest: &Manifest, known: &[u64]) -> Result<Vec<Phase>> {
    let new = format!("{DATABASE}_restored");
    let mut phases = into_new(target, dump, manifest, known, &new)?;
    if is_older(manifest, known) {
        let migrate = (target.program)(&new)?.migrate(MIGRATION_TIMEOUT, &[]);
        phases.push(Phase::new("migrate", "bring the older schema up to this checkout's", move |_| {
            Ok(Plan::of("migrate", vec![Action::Run(migrate.clone())], "migrated"))
        }));
    }
    let swap = target.swap(&new)?;
    let result = format!("the database before is kept as {}", before());
    phases.push(Phase::new("swap", "put the restored database in its place", move |_| {
        Ok(Plan::of("swap", vec![Action::Run(swap.clone())], &result))
    }));
    Ok(phases)
}

/// The phases that restore a dump into a database of its own, which is gone at the end.
pub fn drill(target: &Target<'_>, dump: &Path, manifest: &Manifest, known: &[u64]) -> Result<Vec<Phase>> {
    let new = format!("{DATABASE}_drill");
    let mut phases = into_new(target, dump, manifest, known, &new)?;
    let status = (target.program)(&new)?;
    let is_older = is_older(manifest, known);
    phases.push(Phase::new("status", "ask the restored database for its migrations", move |_| {
        // Of an older dump some are pending, and have to be applicable.
        let step = if is_older { status.migrate(MIGRATION_TIMEOUT, &[]) } else { status.migration_status(false) };
        Ok(Plan::of("status", vec![Action::Run(step)], "every migration is applied"))
    }));
    let remove = target.remove(&[new])?;
    phases.insert(
        0,
        Phase::new("begin", "restore into a database of its own", |_| Ok(Plan::default()))
            .finally(move || Ok(Plan::of("remove", vec![Action::Run(remove.clone())], "removed"))),
    );
    Ok(phases)
}

/// The phases that fill a new database and compare it with the manifest. It goes if anything fails.
fn into_new(target: &Target<'_>, dump: &Path, manifest: &Manifest, known: &[u64], new: &str) -> Result<Vec<Phase>> {
    expect_known(dump, manifest, known)?;
    let (now, restored) = (Value::new("survey"), Value::new("survey of the restored database"));
    let (ask, create) = (target.ask("ask for the server's version", "postgres", VERSION)?, target.create(new, None)?);
    let (fill, remove) = (target.restore(new, dump)?, target.remove(&[new.to_owned()])?);
    let major = version::major(&manifest.server).unwrap_or(0);
    let (there, expected) = (restored.clone(), manifest.tables.clone());
    let count = std::cell::RefCell::new(Some(survey(target, new, &restored)?));
    let version_of = now.clone();
    let versions = Phase::new("server", "see whether this server understands the dump", move |_| {
        let (asked, of_server) = (version_of.clone(), version_of.clone());
        let keep = Action::keep(ask.clone(), &asked, |said| version::major(said.trim()));
        let check = Action::check("compare it with the dump's", move |_| expect_server(*of_server.get()?, major));
        Ok(Plan::of("server", vec![keep, check], "can read the dump"))
    });
    let fill = Phase::new("restore", "fill a new database, and compare it with the manifest", move |_| {
        let (there, expected) = (there.clone(), expected.clone());
        let mut actions = vec![Action::Run(create.clone()), Action::Run(fill.clone())];
        actions.extend(count.borrow_mut().take());
        actions
            .push(Action::check("compare it with the manifest", move |_| expect_same(there.get()?, expected.as_ref())));
        Ok(Plan::of("restore", actions, "every table is as it was dumped"))
    })
    .undo(move || Ok(Plan::of("remove", vec![Action::Run(remove.clone())], "removed")));
    Ok(vec![versions, fill])
}

/// Asks for the number of the version: 150018.
const VERSION: &str = "SHOW server_version;";

fn is_older(manifest: &Manifest, known: &[u64]) -> bool {
    known.iter().any(|version| !manifest.migrations.contains(version))
}

/// A dump with migrations that this checkout does not have is of a newer schema, or of another branch.
fn expect_known(dump: &Path, manifest: &Manifest, known: &[u64]) -> Result<()> {
    let unknown: Vec<String> = manifest
        .migrations
        .iter()
        .filter(|version| !known.contains(version))
        .map(|version| format!("{version} is not among this checkout's migrations"))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let what = format!("{} cannot be restored: its schema is not this checkout's", dump.display());
    let failure = Failure::new(Exit::Migrations, what).details(unknown);
    Err(failure.hint(format!("git checkout {}, from which it was dumped", manifest.commit)).into())
}

fn expect_server(server: u32, dump: u32) -> Result<()> {
    if dump > server {
        let what = format!("the dump is of PostgreSQL {dump}, and the server is {server}: it may not understand it");
        return Err(Failure::new(Exit::Failed, what).into());
    }
    Ok(())
}

fn expect_same(restored: &Survey, dumped: Option<&BTreeMap<String, Table>>) -> Result<()> {
    let differences = dumped.map(|tables| restored.differences(tables)).unwrap_or_default();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "the restored database is not what was dumped").details(differences).into())
}
