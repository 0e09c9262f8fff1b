//! What there is of a checkout in Docker: found, fetched, written down, removed.

use std::time::Duration;

use anyhow::Result;

use crate::context::Context;
use crate::image;
use crate::plan::{Action, Plan};
use crate::product::RUST_IMAGE;
use crate::runner;
use crate::stack::folder::StackFolder;
use crate::stack::service::Service;
use crate::stack::state::{EngineKind, State};
use crate::stack::{detect, foundation};
use crate::tool::docker::{self, Daemon, Kind};

/// Everything of this checkout that there is in Docker, as kind and name.
///
/// Where no daemon runs there is nothing, unless the state says that containers or volumes exist. A daemon that does not
/// answer is an error: what it holds cannot be told.
pub fn all(context: &Context, state: Option<&State>) -> Result<Vec<(Kind, String)>> {
    if state.is_some_and(|state| state.containers.exist) {
        detect::look_for_docker(&*context.runner)?;
    } else {
        // A stack that was never in containers says so; where there is no state, only the daemon knows.
        if state.is_some_and(|state| state.containers.images.is_empty()) || context.runner.find("docker").is_none() {
            return Ok(Vec::new());
        }
        if let Daemon::Silent(..) = docker::parse_daemon(&context.runner.read(&docker::daemon_version())?) {
            return Ok(Vec::new());
        }
    }
    let project = context.project.name();
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let names = runner::lines(&*context.runner, &docker::resources(kind, &project))?;
        found.extend(names.into_iter().map(|name| (kind, name)));
    }
    for image in state.map(|state| state.containers.images.clone()).unwrap_or_default() {
        if image::is_present(&*context.runner, &image)? {
            found.push((Kind::Image, image));
        }
    }
    Ok(found)
}

/// What removes them.
pub fn removal(resources: &[(Kind, String)]) -> Vec<Action> {
    let mut actions = Vec::new();
    for kind in Kind::ALL {
        let of_kind = resources.iter().filter(|(found, _)| *found == kind);
        let names: Vec<String> = of_kind.map(|(_, name)| name.clone()).collect();
        if !names.is_empty() {
            actions.push(Action::Run(docker::remove(kind, &names)));
        }
    }
    actions
}

/// The images that the services need and that are not there.
pub fn missing_images(context: &Context, services: &[Service]) -> Result<Vec<&'static str>> {
    let runner = &*context.runner;
    let has_built = image::is_present(runner, &format!("{}-backend", context.project.name()))?;
    let mut missing = Vec::new();
    for service in services {
        let image = service.definition().image().unwrap_or(RUST_IMAGE);
        if (!service.is_built() || !has_built) && !image::is_present(runner, image)? {
            missing.push(image);
        }
    }
    Ok(missing)
}

/// Fetches images; an error says which cannot be had.
pub fn fetch_images(context: &Context, images: &[&str]) -> Result<()> {
    let actions = images.iter().map(|image| Action::Run(docker::pull(image))).collect();
    Plan::of("images", actions, "fetched").run(context).result
}

/// Writes down that the image is one of this checkout's, so that `clean` removes it.
pub fn remember_image(context: &Context, tag: &str) -> Result<()> {
    let lock = context.lock_stack(Duration::from_mins(10))?;
    let folder = StackFolder::of(&context.project, None);
    let state = State::load_or_set_aside(&folder, &|text| context.terminal.warn(text))?;
    let mut state = state.unwrap_or_else(|| State::new(EngineKind::Host, foundation::usual_ports(context)));
    if !state.containers.images.iter().any(|known| known == tag) {
        state.containers.images.push(tag.to_owned());
        state.store(&folder)?;
    }
    drop(lock);
    Ok(())
}

#[cfg(test)]
mod tests;
