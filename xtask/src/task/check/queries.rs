//! Whether `backend/.sqlx` is what a database with all migrations says about each query.
//!
//! That metadata lets the backend be compiled without a database, and is what `--fix` writes again after a query or a
//! migration has changed. It has to work when the backend cannot be compiled, which is what a new query does at first.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Verdict, run_step};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::product::{MIGRATIONS, PACKAGE, QUERY_METADATA, TEMPLATE_DATABASE};
use crate::stack::scratch::Scratch;
use crate::stack::servers::Origin;
use crate::step::Step;
use crate::tool::cargo;

/// Asks a throw-away database about every query and compares.
pub fn check(context: &Context, fix: bool) -> Result<Verdict> {
    let migrations = read_all(&context.project.root().join(MIGRATIONS), ".up.sql")?.into_values().collect();
    let mut scratch = Scratch::new(context)?;
    let plan = scratch.plan_of_schema(Origin::Auto, migrations)?;
    if context.dry_run {
        plan.print(&context.terminal)?;
        context.terminal.data(describe(context, &scratch, TEMPLATE_DATABASE)?)?;
        return Ok(Verdict::Passed);
    }
    scratch.start(&plan)?;
    compare(context, &scratch, TEMPLATE_DATABASE, fix)
}

/// The step that asks.
pub fn describe(context: &Context, scratch: &Scratch<'_>, database: &str) -> Result<Step> {
    let store = scratch.workspace("queries");
    Ok(cargo::describe_queries(context.project.root(), PACKAGE, &scratch.database_url(database)?, &store))
}

/// Asks a database with all migrations about every query, and compares what it says with what is kept.
pub fn compare(context: &Context, scratch: &Scratch<'_>, database: &str, fix: bool) -> Result<Verdict> {
    let (store, kept) = (scratch.workspace("queries"), context.project.root().join(QUERY_METADATA));
    std::fs::create_dir_all(&store).with_context(|| format!("cannot create {}", store.display()))?;
    if let Verdict::Failed(error) = run_step(context, "queries", &describe(context, scratch, database)?)? {
        return Ok(Verdict::Failed(error));
    }
    let (now, before) = (read_all(&store, ".json")?, read_all(&kept, ".json").unwrap_or_default());
    if now == before {
        return Ok(Verdict::Passed);
    }
    let differing = now.iter().filter(|(name, text)| before.get(*name) != Some(text)).count()
        + before.keys().filter(|name| !now.contains_key(*name)).count();
    if !fix {
        let what = format!("{differing} files in {QUERY_METADATA} do not fit the queries and migrations");
        return Ok(Verdict::Failed(Failure::new(Exit::Failed, what).hint("cargo xtask check --fix").into()));
    }
    crate::file::remove(&kept)?;
    for (name, text) in now {
        crate::file::write(&kept.join(name), text.as_bytes(), 0o644)?;
    }
    Ok(Verdict::Fixed(format!("{differing} files in {QUERY_METADATA}")))
}

/// The files of a folder that end so, by name.
fn read_all(folder: &Path, end: &str) -> Result<BTreeMap<String, String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(end) {
            let text = std::fs::read_to_string(entry.path()).with_context(|| format!("cannot read {name}"))?;
            files.insert(name, text);
        }
    }
    Ok(files)
}
