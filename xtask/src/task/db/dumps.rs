//! `db dumps`: which dumps there are, how much room they take, and the removal of old ones.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use super::lock;
use crate::cli::DbDumps;
use crate::context::Context;
use crate::database::dumps::{self, Manifest, manifest_of};
use crate::file::human_size;
use crate::plan::{Action, Plan};
use crate::terminal::Table;

/// Lists them, or removes old ones.
pub fn run(context: &Context, arguments: &DbDumps) -> Result<u8> {
    match arguments.keep {
        Some(keep) => thin_out(context, arguments, keep),
        None => list(context, arguments.output.json),
    }
}

fn list(context: &Context, as_json: bool) -> Result<u8> {
    let all = dumps::all(&context.project);
    let total: u64 = all.iter().map(|(path, _)| size(path)).sum();
    if as_json {
        let document: Vec<_> = all
            .iter()
            .map(|(path, manifest)| match manifest {
                Ok(manifest) => json!({ "file": path, "manifest": manifest }),
                Err(error) => json!({ "file": path, "error": format!("{error:#}") }),
            })
            .collect();
        context.terminal.json(&json!({ "schema_version": 1, "dumps": document, "bytes": total }))?;
        return Ok(0);
    }
    if all.is_empty() {
        context.terminal.note("there is no dump yet: cargo xtask db dump");
        return Ok(0);
    }
    let mut table = Table::default();
    table.row(["file", "size", "holds", "newest migration"]);
    for (path, manifest) in &all {
        let name = context.project.relative(path).to_string();
        table.row(match manifest {
            Ok(manifest) => {
                let rows = manifest.rows().map_or_else(|| "?".to_owned(), |rows| rows.to_string());
                let newest = manifest.migrations.last().map(u64::to_string).unwrap_or_default();
                [name, human_size(manifest.bytes), format!("{rows} rows"), newest]
            }
            Err(error) => [name, human_size(size(path)), String::new(), format!("{error:#}")],
        });
    }
    context.terminal.table(&table)?;
    context
        .terminal
        .note(format!("{} in all; cargo xtask db dumps --keep 5, which removes the older ones", human_size(total)));
    Ok(0)
}

/// Removes all but the newest. A dump that somebody has named stays, and so does what may be no dump at all.
fn thin_out(context: &Context, arguments: &DbDumps, keep: usize) -> Result<u8> {
    let lock = lock(context, &arguments.lock)?;
    let old: Vec<(PathBuf, Manifest)> = dumps::all(&context.project)
        .into_iter()
        .filter_map(|(path, manifest)| Some((path, manifest.ok()?)))
        .filter(|(path, _)| dumps::is_named_by_its_time(path))
        .skip(keep)
        .collect();
    if old.is_empty() {
        context.terminal.note("there is nothing to remove");
        return Ok(0);
    }
    for (path, manifest) in &old {
        context.terminal.note(format!("removes  {} ({})", context.project.relative(path), human_size(manifest.bytes)));
    }
    if !arguments.yes && !context.dry_run {
        let count = if old.len() == 1 { "this dump".to_owned() } else { format!("these {} dumps", old.len()) };
        context.confirm(&format!("Remove {count}?"), "--yes")?;
    }
    let actions = old.iter().flat_map(|(path, _)| [Action::Remove(path.clone()), Action::Remove(manifest_of(path))]);
    let freed = human_size(old.iter().map(|(_, manifest)| manifest.bytes).sum());
    Plan::of("dumps", actions.collect(), &format!("{freed} freed")).print_or_run(context)?;
    drop(lock);
    Ok(0)
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}
