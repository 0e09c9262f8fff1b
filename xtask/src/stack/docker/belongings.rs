//! What there is of a checkout in Docker: found, fetched, written down, removed.

use std::time::Duration;

use anyhow::Result;

use super::{has_image, project};
use crate::context::Context;
use crate::plan::{Action, Plan};
use crate::runner;
use crate::stack::engine;
use crate::stack::folder::StackFolder;
use crate::stack::ground;
use crate::stack::state::{Engine, State};
use crate::stack::thunder::{self, Service};
use crate::tool::docker::{self, Daemon, Kind};

/// Everything of this checkout that there is in Docker, as kind and name.
///
/// Where no daemon runs there is nothing, unless the state says that containers or volumes exist. A daemon that does not
/// answer is an error: what it holds cannot be told.
pub fn all(context: &Context, state: Option<&State>) -> Result<Vec<(Kind, String)>> {
    if state.is_some_and(|state| state.containers.exist) {
        engine::look_for_docker(&*context.runner)?;
    } else {
        // A stack that was never in containers says so; where there is no state, only the daemon knows.
        if state.is_some_and(|state| state.containers.images.is_empty()) || which::which("docker").is_err() {
            return Ok(Vec::new());
        }
        if let Daemon::Silent(..) = docker::parse_daemon(&context.runner.read(&docker::daemon_version())?) {
            return Ok(Vec::new());
        }
    }
    let project = project(context);
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let names = runner::lines(&*context.runner, &docker::belongings(kind, &project))?;
        found.extend(names.into_iter().map(|name| (kind, name)));
    }
    for image in state.map(|state| state.containers.images.clone()).unwrap_or_default() {
        if has_image(&*context.runner, &image)? {
            found.push((Kind::Image, image));
        }
    }
    Ok(found)
}

/// What removes them.
pub fn removal(belongings: &[(Kind, String)]) -> Vec<Action> {
    let mut actions = Vec::new();
    for kind in Kind::ALL {
        let of_kind = belongings.iter().filter(|(found, _)| *found == kind);
        let names: Vec<String> = of_kind.map(|(_, name)| name.clone()).collect();
        if !names.is_empty() {
            actions.push(Action::Run(docker::remove(kind, &names)));
        }
    }
    actions
}

/// Fetches the images that the services need and that are not there; an error says which cannot be had.
pub fn fetch_images(context: &Context, services: &[Service]) -> Result<()> {
    let runner = &*context.runner;
    let mut missing: Vec<&str> = Vec::new();
    let has_built = has_image(runner, &format!("{}-backend", project(context)))?;
    for service in services {
        let image = thunder::image(*service, None).unwrap_or(thunder::RUST_IMAGE);
        let is_needed = *service != Service::Backend || !has_built;
        if is_needed && !has_image(runner, image)? {
            missing.push(image);
        }
    }
    if missing.is_empty() || context.dry_run {
        return Ok(());
    }
    let actions = missing.iter().map(|image| Action::Run(docker::pull(image))).collect();
    Plan::of("images", actions, "fetched").run(context).result
}

/// Writes down that the image is one of this checkout's, so that `clean` removes it.
pub fn remember_image(context: &Context, tag: &str) -> Result<()> {
    let lock = context.lock_stack(Duration::from_mins(10))?;
    let path = StackFolder::of(&context.project, None).state();
    let mut state = match State::load(&path)? {
        Some(state) => state,
        None => State::new(Engine::Host, ground::usual_ports(context)),
    };
    if !state.containers.images.iter().any(|known| known == tag) {
        state.containers.images.push(tag.to_owned());
        state.store(&path)?;
    }
    drop(lock);
    Ok(())
}
