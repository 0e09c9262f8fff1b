//! Rehearsed deployments: how long they take, and what of it is ours.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{Figure, Run};
use crate::plan::Plan;
use crate::runner::read_well;
use crate::stack::detect;
use crate::task::rehearsed::{REMOVE, Versions};
use crate::tool::edge::Known;
use crate::tool::git;

/// What [`figures`] measures.
pub const WHAT: &str = "rehearsed deployments of two versions in turn; their images are built from one that is there";

/// Every figure of a deployment.
pub fn figures(run: &Run<'_>) -> Result<Vec<Figure>> {
    detect::look_for_docker(&*run.context.runner)?;
    let versions = Versions::below(run.context, &run.folder)?;
    let measured = measure(run, &versions);
    // Whatever was being measured when it ended: nothing may be left running.
    let removed = read_well(&*run.context.runner.without_cancel(), &versions.clone.xtask(&REMOVE));
    let figures = measured?;
    removed?;
    Ok(figures)
}

fn measure(run: &Run<'_>, versions: &Versions) -> Result<Vec<Figure>> {
    let runner = &*run.context.runner;
    Plan::of("clone", versions.make().into(), "made").run(run.context).result?;
    versions.prepare()?;
    let both = [versions.commit(runner, "one")?, versions.commit(runner, "two")?];
    // The first builds the programs and starts the servers.
    versions.goes_well(runner)?;
    let (mut all, mut builds, mut switches, mut own) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 0..usize::from(run.runs) {
        run.context.interrupt.check()?;
        let commit = &both[turn % 2];
        read_well(runner, &git::switch_to(&versions.clone.root, commit))?;
        let begun = Instant::now();
        versions.goes_well(runner)?;
        let seconds = begun.elapsed().as_secs_f64();
        let live = live(versions)?;
        let switch = milliseconds(live.switch_milliseconds.context("the edge has not measured the switch")?);
        let build = run.seconds(&versions.build(commit))?;
        all.push(seconds);
        builds.push(build);
        switches.push(switch);
        own.push(seconds - build - switch);
    }
    let ended: Vec<f64> = versions
        .deployments()?
        .iter()
        .flat_map(|one| one.ended.iter().map(|ended| milliseconds(ended.milliseconds)))
        .collect();
    Ok(vec![
        Figure::of("from the command until it is verified", "s", &all, None),
        Figure::of("of it the build of the image, all layers cached", "s", &builds, None),
        Figure::of("of it the start of the version until it is switched to", "s", &switches, None),
        Figure::of("what is left of it, which is ours", "s", &own, None),
        Figure::of("the end of the version before, after SIGTERM", "s", &ended, None),
    ])
}

fn live(versions: &Versions) -> Result<Known> {
    versions.deployments()?.into_iter().find(|one| one.status == "SUCCESS").context("nothing serves")
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of one run")]
fn milliseconds(value: u64) -> f64 {
    value as f64 / 1_000.0
}
