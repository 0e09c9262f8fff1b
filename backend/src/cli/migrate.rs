//! `thunder migrate`.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::connected::connected;
use super::{Refused, Stopped, output};
use crate::config::Config;
use crate::migrations::{self, Entry, Migrate, State};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Apply what is pending
    Run {
        /// A migration that is still being written: if it was altered, it is reverted and applied anew; development only
        #[arg(long, value_name = "VERSION")]
        draft: Vec<i64>,
        /// Print the SQL that would run, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Every migration and whether it is applied; exits with 5 unless all are
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revert the newest applied migration and apply it as it is now; development only
    Redo,
    /// Revert the newest applied migration, or all that are newer than a version; development only
    Revert {
        /// The newest that stays applied; 0 keeps none
        #[arg(long, value_name = "VERSION")]
        to: Option<i64>,
    },
    /// Applied migrations whose files were changed since, with both texts; as JSON
    Altered,
    /// Record that a file was changed on purpose since it was applied; `altered` shows how
    Bless {
        /// The migration
        version: i64,
        /// Only if the file still has this checksum, which `altered` tells
        #[arg(long, value_name = "HEXADECIMAL")]
        checksum: Option<String>,
    },
}

pub fn run(arguments: Arguments) -> Result<()> {
    let config = Config::from_environment()?;
    let is_production = config.is_production();
    match arguments.command.unwrap_or(Command::Run { draft: Vec::new(), dry_run: false }) {
        Command::Run { draft, .. } if is_production && !draft.is_empty() => {
            Err(Refused("a migration that production has applied is no draft; write another one").into())
        }
        Command::Redo | Command::Revert { .. } if is_production => {
            Err(Refused("reverting a migration in production loses data; write another one").into())
        }
        Command::Run { draft, dry_run: true } => show(&config, draft),
        Command::Run { draft, dry_run: false } => apply(&config, draft),
        Command::Redo => redo(&config),
        Command::Revert { to } => revert(&config, to),
        Command::Altered => altered(&config),
        Command::Bless { version, checksum } => bless(&config, version, checksum.as_deref()),
        Command::Status { json } => status(&config, json),
    }
}

fn apply(config: &Config, mut drafts: Vec<i64>) -> Result<()> {
    drafts.extend(&config.migrations.drafts);
    let migrate = Migrate { drafts: &drafts, ..Migrate::embedded(config) };
    let changes = connected(config, async |connection| migrate.run(connection).await)?;
    if changes.is_empty() {
        return output::text("nothing to apply\n");
    }
    output::text(&changes.iter().fold(String::new(), |text, change| format!("{text}{change}\n")))
}

fn show(config: &Config, mut drafts: Vec<i64>) -> Result<()> {
    drafts.extend(&config.migrations.drafts);
    let migrate = Migrate { drafts: &drafts, ..Migrate::embedded(config) };
    let scripts = connected(config, async |connection| migrate.scripts(connection).await)?;
    if scripts.is_empty() {
        return output::text("-- nothing to apply\n");
    }
    let script = |text: String, (name, sql): &(String, String)| format!("{text}-- {name}\n{}\n\n", sql.trim_end());
    output::text(&scripts.iter().fold(String::new(), script))
}

fn redo(config: &Config) -> Result<()> {
    let change = connected(config, async |connection| Migrate::embedded(config).redo(connection).await)?;
    output::text(&format!("{change}\n"))
}

fn revert(config: &Config, to: Option<i64>) -> Result<()> {
    let changes = connected(config, async |connection| Migrate::embedded(config).revert(connection, to).await)?;
    if changes.is_empty() {
        return output::text("nothing to revert\n");
    }
    output::text(&changes.iter().fold(String::new(), |text, change| format!("{text}{change}\n")))
}

fn altered(config: &Config) -> Result<()> {
    let altered = connected(config, async |connection| migrations::altered(connection, &migrations::EMBEDDED).await)?;
    output::json(&json!({ "schema_version": 1, "altered": altered }))
}

fn bless(config: &Config, version: i64, checksum: Option<&str>) -> Result<()> {
    let migrate = Migrate::embedded(config);
    let blessed = connected(config, async |connection| migrate.bless(connection, version, checksum).await)?;
    let short = |checksum: &str| checksum.get(..12).unwrap_or(checksum).to_owned();
    let (now, before) = (short(&blessed.checksum), short(&blessed.recorded_checksum));
    output::text(&format!("{}: recorded the checksum {now}… in the place of {before}…\n", blessed.file))
}

fn status(config: &Config, json: bool) -> Result<()> {
    let entries = connected(config, async |connection| migrations::status(connection, &migrations::EMBEDDED).await)?;
    let count = |state| entries.iter().filter(|entry| entry.state == state).count();
    if json {
        output::json(&json!({
            "schema_version": 1, "migrations": entries, "pending": count(State::Pending), "empty": count(State::Empty),
            "altered": count(State::Altered), "unknown": count(State::Unknown), "hints": hints(&entries),
        }))?;
    } else {
        output::text(&table(&entries))?;
    }
    let is_complete = [State::Pending, State::Empty, State::Altered].into_iter().all(|state| count(state) == 0);
    if is_complete { Ok(()) } else { Err(Stopped(5).into()) }
}

/// A line for each migration, and then one for each state that asks for something.
fn table(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let late = if entry.out_of_order { " (out of order)" } else { "" };
        let half = match entry.statements_done {
            0 => String::new(),
            done => format!(" (statements done: {done})"),
        };
        text.push_str(&format!("{:8} {} {}{late}{half}\n", entry.state, entry.version, entry.name));
    }
    let hints = hints(entries);
    if !hints.is_empty() {
        text.push('\n');
    }
    hints.iter().fold(text, |text, hint| format!("{text}{hint}\n"))
}

/// A sentence for each state that asks for something.
fn hints(entries: &[Entry]) -> Vec<String> {
    let is_there = |state: &State| entries.iter().any(|entry| entry.state == *state);
    let states = State::ALL.into_iter().filter(is_there);
    let mut hints: Vec<String> = states.filter_map(|state| Some(format!("{state}: {}", state.next()?))).collect();
    if entries.iter().any(|entry| entry.out_of_order) {
        hints.push(
            "out of order: it is older than one that is applied; `migrate add --renumber` gives both of its files a newer \
             time stamp"
                .to_owned(),
        );
    }
    hints
}
