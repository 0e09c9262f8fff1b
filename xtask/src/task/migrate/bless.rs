//! `migrate bless`: a file that was changed after it was applied is recorded as it is now.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::cli::MigrateBless;
use crate::context::Context;
use crate::database::difference::{Line, difference};
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::product::MIGRATIONS;
use crate::runner;
use crate::task::place::Place;
use crate::terminal::{BAD, FAINT, GOOD, STRONG};

/// An applied migration whose file was changed since, as the backend's program tells it.
#[derive(Debug, Deserialize)]
struct Altered {
    version: u64,
    file: String,
    recorded_checksum: String,
    checksum: String,
    recorded: Option<String>,
    now: String,
}

#[derive(Deserialize)]
struct Answer {
    altered: Vec<Altered>,
}

/// Shows how each file differs from what was applied, asks, and records it.
pub fn run(context: &Context, arguments: &MigrateBless) -> Result<u8> {
    let place = Place::of(context, &arguments.on)?;
    let (program, build) = place.program()?;
    let ask = program.altered_migrations();
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(ask)?;
        context.terminal.data(program.bless_migration(arguments.version.unwrap_or(0), "<checksum>"))?;
        return Ok(0);
    }
    build.run(context).result?;
    let said = runner::read_well(&*context.runner, &ask)?;
    let answer: Answer = serde_json::from_str(&said).context("cannot read what the backend's program says")?;
    let mut chosen = answer.altered;
    if let Some(version) = arguments.version {
        chosen.retain(|one| one.version == version);
        if chosen.is_empty() {
            let what = format!("{version} is not altered: its file is the one that was applied");
            return Err(Failure::new(Exit::Failed, what).hint("cargo xtask migrate status").into());
        }
    }
    if chosen.is_empty() {
        context.terminal.note("no applied migration was altered");
    }
    for one in chosen {
        show(context, &one)?;
        let of = place.name().map_or_else(String::new, |name| format!(" in {name}"));
        let question = format!("Record the file as it is now{of}? The database itself is not changed.");
        place.confirm(&question, arguments.yes)?;
        let step = program.bless_migration(one.version, &one.checksum);
        let code = context.runner.forward(&step, &CancelToken::on(&context.interrupt))?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

fn show(context: &Context, altered: &Altered) -> Result<()> {
    let terminal = &context.terminal;
    let path = format!("{MIGRATIONS}/{}.up.sql", altered.file);
    terminal.data(format!("{STRONG}{path}{STRONG:#}"))?;
    let short = |checksum: &str| checksum.get(..12).unwrap_or(checksum).to_owned();
    let (before, now) = (short(&altered.recorded_checksum), short(&altered.checksum));
    terminal.data(format!("  checksum {before}… when it was applied, {now}… now"))?;
    let Some(recorded) = &altered.recorded else {
        return terminal.data(format!("  what was applied is not recorded; its history: git log -p -- {path}"));
    };
    let lines = difference(recorded, &altered.now);
    if lines.is_empty() {
        return terminal.data("  its lines are the same as those that are recorded");
    }
    lines.iter().try_for_each(|line| match line {
        Line::Same(text) => terminal.data(format!("    {text}")),
        Line::Removed(text) => terminal.data(format!("  {BAD}- {text}{BAD:#}")),
        Line::Added(text) => terminal.data(format!("  {GOOD}+ {text}{GOOD:#}")),
        Line::Gap => terminal.data(format!("  {FAINT}…{FAINT:#}")),
    })
}
