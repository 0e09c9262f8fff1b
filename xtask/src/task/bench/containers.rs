//! `up` on the Docker engine, beside plain compose with the same file.

use anyhow::{Context as _, Result};

use super::sample::{Ratio, Sample};
use super::{Figure, Run};
use crate::product::SLUG;
use crate::stack::docker::DEVELOPMENT;
use crate::stack::folder::StackFolder;
use crate::stack::service::Service;
use crate::stack::state::State;
use crate::step::Step;
use crate::tool::compose::Compose;

/// What [`figures`] measures.
pub const WHAT: &str = "`up` in containers; the first, which compiles everything, does not count";

/// `up` with images, builds and data there, in turn with `docker compose up --detach --wait`.
pub fn figures(run: &Run<'_>) -> Result<Vec<Figure>> {
    let up = run.task(&["up", "--engine", "docker"]);
    run.seconds(&up)?;
    let compose = compose(run)?;
    let plain = compose.up_and_wait();
    let down = run.task(&["down"]);
    run.seconds(&down)?;
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    for _ in 0..run.runs {
        ours.push(run.seconds(&up)?);
        run.seconds(&down)?;
        by_hand.push(run.seconds(&plain)?);
        run.seconds(&compose.down())?;
    }
    Ok(vec![Figure {
        name: "`up` with data, in containers",
        unit: "s",
        sample: Sample::of(&ours),
        limit: None,
        by_hand: Some(Sample::of(&by_hand)),
        ratio: Some(Ratio::of(&ours, &by_hand)),
    }])
}

/// Compose as the measured stack has it.
fn compose(run: &Run<'_>) -> Result<Compose> {
    let state = State::load(&StackFolder::at(run.folder.path().join("xtask/.stack"), None, SLUG))?
        .context("the stack has no state")?;
    let listed = Step::new("list containers", "docker").args(["ps", "--format", "{{.Names}}", "--filter"]);
    let listed = listed.arg(format!("publish={}", state.ports.of(Service::Backend))).only_reads();
    let name = crate::runner::lines(&*run.context.runner, &listed)?.pop().context("the backend has no container")?;
    let project = name.strip_suffix("-backend-1").context("the container has another name")?;
    Ok(Compose {
        project: project.to_owned(),
        root: run.context.project.root().to_owned(),
        file: DEVELOPMENT,
        env_file: run.folder.path().join("xtask/.env.docker"),
        profiles: Vec::new(),
        variables: Service::ALL
            .into_iter()
            .map(|service| (service.definition().port_setting(), state.ports.of(service).to_string()))
            .collect(),
        secrets: Vec::new(),
    })
}
