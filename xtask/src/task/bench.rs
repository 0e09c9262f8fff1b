//! What is promised, measured: medians and spread of several runs, each beside the same thing done by hand.

mod backend;
mod by_hand;
mod containers;
mod database;
mod deploy;
mod image;
pub mod load;
mod reload;
mod sample;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::by_hand::Script;
use self::sample::{Ratio, Sample};
use crate::cli::{Bench, BenchWhat};
use crate::context::Context;
use crate::file;
use crate::product::SLUG;
use crate::runner::read_well;
use crate::settings::Settings;
use crate::stack::detect::EngineChoice;
use crate::stack::folder::StackFolder;
use crate::stack::host::Host;
use crate::stack::servers::Origin;
use crate::step::Step;
use crate::terminal::{FAINT, STRONG, Table};
use crate::tool::cargo;

/// One promised figure.
#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    sample: Sample,
    /// The most that is promised.
    limit: Option<f64>,
    /// The same by hand, taken in turn with it.
    by_hand: Option<Sample>,
    /// How the two compare, pair by pair.
    ratio: Option<Ratio>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    runs: u16,
    figures: &'a [Figure],
}

/// Measures and prints.
pub fn run(context: &Context, arguments: &Bench) -> Result<u8> {
    if arguments.what == BenchWhat::Backend {
        return backend::run(context, arguments);
    }
    let measurements = measurements(arguments);
    let runs = runs(arguments);
    if context.dry_run {
        for measurement in measurements {
            context.terminal.data(format!("# measure {}, {runs} times", measurement.what))?;
        }
        return Ok(0);
    }
    let bench = Run::new(context, arguments.servers, runs)?;
    let mut figures = Vec::new();
    for measurement in measurements {
        bench.say(measurement.what);
        figures.extend((measurement.take)(&bench)?);
    }
    if arguments.output.json {
        context.terminal.json(&Document { schema_version: 1, runs, figures: &figures })?;
    } else {
        context.terminal.data(table(&figures, runs))?;
    }
    Ok(0)
}

/// One thing that is measured.
struct Measurement {
    what: &'static str,
    take: fn(&Run<'_>) -> Result<Vec<Figure>>,
}

/// What is measured, in its order.
fn measurements(arguments: &Bench) -> Vec<Measurement> {
    let in_docker = arguments.engine == EngineChoice::Docker;
    match (arguments.what, in_docker) {
        // It has a document of its own.
        (BenchWhat::Backend, _) => Vec::new(),
        (BenchWhat::Database, _) => vec![Measurement { what: database::WHAT, take: database::figures }],
        (BenchWhat::Deploy, _) => vec![Measurement { what: deploy::WHAT, take: deploy::figures }],
        (BenchWhat::Image, _) => vec![Measurement { what: image::WHAT, take: image::figures }],
        (BenchWhat::Reload, true) => vec![Measurement { what: reload::WHAT, take: reload::in_containers }],
        (BenchWhat::Reload, false) => vec![Measurement { what: reload::WHAT, take: reload::on_the_host }],
        (BenchWhat::Stack, true) => vec![Measurement { what: containers::WHAT, take: containers::figures }],
        (BenchWhat::Stack, false) => vec![
            Measurement { what: "xtask's build from nothing", take: |run| Ok(vec![run.cold_build()?]) },
            Measurement { what: "what cargo adds to each task", take: |run| Ok(vec![run.overhead()?]) },
            Measurement {
                what: "`up` from nothing, with data, and after `clean`",
                take: |run| Ok(run.stack()?.into()),
            },
        ],
    }
}

fn runs(arguments: &Bench) -> u16 {
    arguments.runs.unwrap_or(match arguments.what {
        // A build of the image from nothing takes minutes.
        BenchWhat::Image => 1,
        BenchWhat::Database => 3,
        BenchWhat::Stack | BenchWhat::Backend | BenchWhat::Deploy => 5,
        BenchWhat::Reload => 30,
    })
}

fn table(figures: &[Figure], runs: u16) -> String {
    let mut table = Table::default();
    let heading = ["", "median", "spread", "promised", "by hand", "ratio"];
    table.row(heading.map(|word| format!("{FAINT}{word}{FAINT:#}")));
    for figure in figures {
        let unit = figure.unit;
        let spread = |sample: &Sample| format!("{:.2}–{:.2}", sample.least, sample.most);
        table.row([
            figure.name.to_owned(),
            format!("{STRONG}{:.2} {unit}{STRONG:#}", figure.sample.median),
            spread(&figure.sample),
            figure.limit.map(|limit| format!("≤ {} {unit}", rounded(limit))).unwrap_or_default(),
            figure
                .by_hand
                .as_ref()
                .map(|hand| format!("{:.2} {unit} ({})", hand.median, spread(hand)))
                .unwrap_or_default(),
            figure
                .ratio
                .as_ref()
                .map(|ratio| format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most))
                .unwrap_or_default(),
        ]);
    }
    format!("{table}\n{FAINT}medians of {runs} runs; ratios are of each run to the one by hand beside it{FAINT:#}")
}

struct Run<'a> {
    context: &'a Context,
    runs: u16,
    origin: Origin,
    xtask: PathBuf,
    folder: tempfile::TempDir,
}

impl Figure {
    /// A figure that stands alone.
    fn of(name: &'static str, unit: &'static str, values: &[f64], limit: Option<f64>) -> Self {
        Self { name, unit, sample: Sample::of(values), limit, by_hand: None, ratio: None }
    }
}

/// A limit as it was promised, without digits that say nothing.
fn rounded(limit: f64) -> String {
    let text = format!("{limit:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // Whatever was being measured when it ended: nothing may be left running.
        drop(self.context.runner.without_cancel().read(&self.task(&["clean", "--yes"])));
    }
}

impl<'a> Run<'a> {
    fn new(context: &'a Context, origin: Origin, runs: u16) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir()?;
        file::set_mode(folder.path(), 0o755)?;
        let xtask = std::env::current_exe().context("cannot tell where xtask itself is")?;
        Ok(Self { context, runs, origin, xtask, folder })
    }

    fn say(&self, what: &str) {
        self.context.terminal.note(format!("measuring {what} …"));
    }

    /// A task on a stack of its own, far from the checkout's.
    fn task(&self, words: &[&str]) -> Step {
        let root = self.context.project.root();
        Step::new(format!("run {}", words.join(" ")), &self.xtask)
            .args(words.iter().copied())
            .env("XTASK_STATE", self.folder.path().join("xtask"))
            .env("CARGO_MANIFEST_DIR", root.join("xtask"))
            .folder(root)
    }

    fn origin_word(&self) -> &'static str {
        match self.origin {
            Origin::Auto => "auto",
            Origin::System => "system",
            Origin::Portable => "portable",
        }
    }

    fn seconds(&self, step: &Step) -> Result<f64> {
        self.context.interrupt.check()?;
        let begun = Instant::now();
        read_well(&*self.context.runner, step)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn cold_build(&self) -> Result<Figure> {
        let target = self.folder.path().join("target");
        let mut seconds = Vec::new();
        for _ in 0..self.runs {
            file::remove(&target)?;
            let before = children_cpu();
            let step = Step::new("build xtask", cargo::program())
                .args(["build", "--profile", "xtask", "--package", "xtask", "--target-dir"])
                .arg(&target)
                .folder(self.context.project.root());
            self.seconds(&step)?;
            seconds.push(children_cpu().checked_sub(before).unwrap().as_secs_f64());
        }
        file::remove(&target)?;
        Ok(Figure {
            name: "cold build of xtask",
            unit: "CPU-s",
            sample: Sample::of(&seconds),
            limit: Some(30.0),
            by_hand: None,
            ratio: None,
        })
    }

    fn overhead(&self) -> Result<Figure> {
        let root = self.context.project.root();
        let through_cargo = Step::new("run xtask", cargo::program()).args(["xtask", "--version"]).folder(root);
        let alone = Step::new("run xtask", &self.xtask).arg("--version").folder(root);
        self.seconds(&through_cargo)?;
        let mut added = Vec::new();
        for _ in 0..self.runs.max(10) {
            added.push(self.seconds(&through_cargo)? - self.seconds(&alone)?);
        }
        Ok(Figure {
            name: "what `cargo xtask` adds to the binary",
            unit: "s",
            sample: Sample::of(&added),
            limit: Some(0.1),
            by_hand: None,
            ratio: None,
        })
    }

    /// `up` from nothing, with data, and after `clean`, each in turn with a script that does the same.
    fn stack(&self) -> Result<[Figure; 3]> {
        let up = ["up", "--engine", "host", "--servers", self.origin_word()];
        // Once without measuring: builds the backend, fetches portable servers, and tells which servers there are.
        self.seconds(&self.task(&up))?;
        let script = self.script()?;
        self.seconds(&self.task(&["clean", "--yes"]))?;
        let mut ours: [Vec<f64>; 3] = Default::default();
        let mut by_hand: [Vec<f64>; 3] = Default::default();
        for _ in 0..self.runs {
            ours[0].push(self.seconds(&self.task(&up))?);
            self.seconds(&self.task(&["down"]))?;
            ours[1].push(self.seconds(&self.task(&up))?);
            let cleaned = self.seconds(&self.task(&["clean", "--yes"]))?;
            ours[2].push(cleaned + self.seconds(&self.task(&up))?);
            self.seconds(&self.task(&["clean", "--yes"]))?;

            by_hand[0].push(self.seconds(&script.up(true))?);
            self.seconds(&script.down())?;
            by_hand[1].push(self.seconds(&script.up(false))?);
            let cleaned = self.seconds(&script.clean())?;
            by_hand[2].push(cleaned + self.seconds(&script.up(true))?);
            self.seconds(&script.clean())?;
        }
        let names = [("`up` from an empty folder", 5.0), ("`up` with data", 2.0), ("`clean` and `up`", 6.0)];
        Ok([0, 1, 2].map(|index| Figure {
            name: names[index].0,
            unit: "s",
            sample: Sample::of(&ours[index]),
            limit: Some(names[index].1),
            by_hand: Some(Sample::of(&by_hand[index])),
            ratio: Some(Ratio::of(&ours[index], &by_hand[index])),
        }))
    }

    /// The same steps as somebody would type them, with the servers that the stack used and settings of its own.
    fn script(&self) -> Result<Script> {
        let state = self.folder.path().join("xtask");
        let stack = crate::stack::state::State::load(&StackFolder::at(state.join(".stack"), None, SLUG))?;
        let stack = stack.context("the stack has no state")?;
        let settings = Settings::parse(&std::fs::read_to_string(state.join(".env.docker"))?)?;
        Host::open(self.context).build()?.run(self.context).result?;
        Script::new(&self.folder.path().join("by-hand"), self.context.project.root(), &stack, &settings)
    }
}

/// The processor time that our children have used so far.
#[cfg(unix)]
fn children_cpu() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Duration::ZERO };
    let time =
        |value: nix::sys::time::TimeVal| Duration::from_micros(u64::try_from(value.num_microseconds()).unwrap_or(0));
    time(usage.user_time()) + time(usage.system_time())
}

#[cfg(not(unix))]
fn children_cpu() -> Duration {
    Duration::ZERO
}

/// A path as a word of a shell script.
fn word(path: &Path) -> String {
    crate::step::quoted(path.as_os_str())
}

#[cfg(test)]
mod tests;
