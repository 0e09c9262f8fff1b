//! Resets, migrations, checks, and a million rows: added, saved and restored, each beside what PostgreSQL's own programs
//! take for it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::sample::{Ratio, Sample};
use super::{Figure, Run, word};
use crate::product::{COPY_BY_HAND, DATABASE};
use crate::runner::read_well;
use crate::settings::is_secret;
use crate::stack::host::{self, Host};
use crate::step::Step;
use crate::tool::backend::Variable;

/// What is measured, for people.
pub const WHAT: &str = "resets, migrations and checks, and a million rows added, saved and restored";
/// How many rows.
const ROWS: u32 = 1_000_000;
/// How often what takes minutes is measured.
const FEW: u16 = 3;
/// The database that is made by hand.
const BY_HAND: &str = "by_hand";

/// Takes all of them.
pub fn figures(run: &Run<'_>) -> Result<Vec<Figure>> {
    Host::open(run.context).build()?.run(run.context).result?;
    run.seconds(&run.task(&["up", "postgres", "--engine", "host", "--servers", run.origin_word()]))?;
    let bench = Bench { run, environment: environment(run)? };
    run.seconds(&bench.program("migrate run", DATABASE)?)?;
    let mut figures = vec![bench.reset()?];
    figures.extend(bench.nothing_to_do()?);
    figures.push(bench.check()?);
    figures.extend(bench.seed()?);
    figures.push(bench.dump()?);
    figures.push(bench.restore()?);
    Ok(figures)
}

/// The variables with which clients reach the stack.
fn environment(run: &Run<'_>) -> Result<Vec<Variable>> {
    let said = read_well(&*run.context.runner, &run.task(&["exec", "postgres", "--", "env"]))?;
    let pairs = said.lines().filter_map(|line| line.split_once('='));
    let is_secret = |name: &str| is_secret(name) || ["PASSWORD", "AUTH"].iter().any(|end| name.ends_with(end));
    let variable = |(name, value): (&str, &str)| Variable {
        name: name.to_owned(),
        value: value.to_owned(),
        is_secret: is_secret(name),
    };
    Ok(pairs.map(variable).collect())
}

struct Bench<'r, 'a> {
    run: &'r Run<'a>,
    environment: Vec<Variable>,
}

impl Bench<'_, '_> {
    fn path(&self, name: &str) -> PathBuf {
        self.run.folder.path().join(name)
    }

    /// A script with the variables of the stack, any of which may be secret.
    fn script(&self, purpose: &str, text: &str) -> Step {
        let step = Step::new(purpose, "sh").arg("-c").arg(format!("set -e\n{text}"));
        self.environment.iter().fold(step, |step, variable| variable.give_to(step))
    }

    /// Statements, one after the other.
    fn sql(&self, database: &str, statements: &[&str]) -> Result<()> {
        let words: Vec<String> =
            statements.iter().map(|statement| format!("-c {}", word(Path::new(statement)))).collect();
        let text = format!("psql -XAtq -v ON_ERROR_STOP=1 -d {database} {}", words.join(" "));
        self.run.seconds(&self.script("run statements", &text))?;
        Ok(())
    }

    /// The backend's own program on one of the stack's databases.
    fn program(&self, words: &str, database: &str) -> Result<Step> {
        let url = self.environment.iter().find(|variable| variable.value.starts_with("postgres://"));
        let Variable { name, value, .. } = url.context("the stack does not tell its database's URL")?;
        let url = value.rsplit_once('/').map_or_else(String::new, |(server, _)| format!("{server}/{database}"));
        let program = word(&host::binary()?);
        Ok(self.script("run the backend's program", &format!("{program} {words}")).secret_env(name, url))
    }

    /// A fresh database: from the template, and by dropping, creating and migrating one.
    fn reset(&self) -> Result<Figure> {
        let reset = self.run.task(&["db", "reset", "--yes"]);
        self.run.seconds(&reset)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.run.runs.max(5) {
            ours.push(self.run.seconds(&reset)?);
            let create = format!(
                "psql -Xq -d postgres -c 'DROP DATABASE IF EXISTS {BY_HAND} WITH (FORCE)' -c 'CREATE DATABASE {BY_HAND}'"
            );
            let made = self.run.seconds(&self.script("make a database", &create))?;
            theirs.push(made + self.run.seconds(&self.program("migrate run", BY_HAND)?)?);
        }
        Ok(beside("`db reset`, with its template", &ours, &theirs, Some(0.5)))
    }

    fn nothing_to_do(&self) -> Result<[Figure; 2]> {
        let (program, task) = (self.program("migrate run", DATABASE)?, self.run.task(&["migrate"]));
        let (mut alone, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..self.run.runs.max(5) {
            alone.push(self.run.seconds(&program)?);
            whole.push(self.run.seconds(&task)?);
        }
        Ok([
            Figure::of("`migrate run` with nothing to do", "s", &alone, Some(0.15)),
            Figure::of("the same through xtask, with cargo's look at the sources", "s", &whole, None),
        ])
    }

    fn check(&self) -> Result<Figure> {
        let check = self.run.task(&["migrate", "check"]);
        let mut seconds = Vec::new();
        for _ in 0..self.run.runs.min(FEW) {
            seconds.push(self.run.seconds(&check)?);
        }
        Ok(Figure::of("`migrate check`", "s", &seconds, Some(10.0)))
    }

    /// Rows that are made on the way, and the same rows from a file.
    fn seed(&self) -> Result<[Figure; 2]> {
        let rows = word(&self.path("rows"));
        let (table, condition) = COPY_BY_HAND;
        let empty = format!("TRUNCATE {table}");
        let copy = |direction: &str, what: &str| {
            let text = format!("psql -XAtq -v ON_ERROR_STOP=1 -c \"\\copy {what} {direction} {rows}\"");
            self.run.seconds(&self.script("copy", &text))
        };
        let seed = self.run.task(&["seed", "--reports", &ROWS.to_string()]);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        self.run.seconds(&self.run.task(&["seed"]))?;
        for _ in 0..self.run.runs.min(FEW) {
            self.sql(DATABASE, &[&empty])?;
            ours.push(self.run.seconds(&seed)?);
            copy("TO", &format!("(SELECT * FROM {table} WHERE {condition})"))?;
            self.sql(DATABASE, &[&empty])?;
            theirs.push(copy("FROM", table)?);
        }
        let rate: Vec<f64> = ours.iter().map(|seconds| f64::from(ROWS) / seconds).collect();
        Ok([
            beside("`seed` of a million rows, beside COPY (ratio at most 1.5)", &ours, &theirs, None),
            Figure::of("its rows a second", "rows/s", &rate, None),
        ])
    }

    fn dump(&self) -> Result<Figure> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for number in 0..self.run.runs.min(FEW) {
            let own = self.path(&format!("{number}.dump")).display().to_string();
            ours.push(self.run.seconds(&self.run.task(&["db", "dump", &own]))?);
            let text = format!("pg_dump --format=custom --no-owner --no-privileges >{}", word(&self.path("by-hand")));
            theirs.push(self.run.seconds(&self.script("dump", &text))?);
        }
        Ok(beside("`db dump` of a million rows (ratio at most 1.1)", &ours, &theirs, None))
    }

    fn restore(&self) -> Result<Figure> {
        let own = self.path("0.dump").display().to_string();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.run.runs.min(FEW) {
            ours.push(self.run.seconds(&self.run.task(&["db", "restore", &own, "--yes"]))?);
            let text = format!(
                "psql -Xq -d postgres -c 'DROP DATABASE IF EXISTS {BY_HAND} WITH (FORCE)' -c 'CREATE DATABASE {BY_HAND}'\n\
                 pg_restore --exit-on-error --single-transaction --no-owner --no-privileges -d {BY_HAND} {}",
                word(&self.path("by-hand"))
            );
            theirs.push(self.run.seconds(&self.script("restore", &text))?);
        }
        Ok(beside("`db restore` of a million rows (ratio at most 1.1)", &ours, &theirs, None))
    }
}

fn beside(name: &'static str, ours: &[f64], theirs: &[f64], limit: Option<f64>) -> Figure {
    Figure {
        by_hand: Some(Sample::of(theirs)),
        ratio: Some(Ratio::of(ours, theirs)),
        ..Figure::of(name, "s", ours, limit)
    }
}
