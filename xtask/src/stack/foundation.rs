//! What a stack needs before anything starts, whichever engine runs it: settings, ports, a folder with room in it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::folder::StackFolder;
use super::owner;
use super::ports::{self, Claims, Ports};
use super::service::Service;
use super::state::State;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::plan::{Action, Write};
use crate::product::setting::SHUTDOWN_TIMEOUT;
use crate::settings::Settings;
use crate::tool::system;

/// How long migrations may take.
pub const MIGRATION_TIMEOUT: Duration = Duration::from_mins(10);
/// How long the backend may finish what it has begun, where the settings do not say.
const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings, and the action that writes them where there are none.
///
/// Those that the stack was started with last are taken before new ones are made: its servers have their passwords.
pub fn settings(context: &Context, folder: &StackFolder) -> Result<(Settings, Option<Action>)> {
    let path = context.project.settings();
    let name = context.project.relative(&path);
    if path.exists() {
        let settings = Settings::load(&context.project)?;
        hide(context, &settings);
        if file::is_open_to_others(&path) {
            context.terminal.warn(format!("others can read {name}, which holds secrets: chmod 600 {name}"));
        }
        return Ok((settings, None));
    }
    let text = if let Ok(text) = std::fs::read_to_string(folder.settings_copy()) {
        context.terminal.warn(format!("{name} is gone: it is made again as the stack was started with it"));
        Settings::parse(&text)?.in_template(&context.project)?
    } else {
        context.terminal.note(format!("first run: {name} gets secrets of its own"));
        Settings::generate(&context.project)?
    };
    let settings = Settings::parse(&text)?;
    hide(context, &settings);
    Ok((settings, Some(Action::Write(Write { path, text, mode: 0o600 }))))
}

/// The action that remembers the settings for [`settings`].
pub fn remember_settings(folder: &StackFolder, settings: &Settings) -> Action {
    Action::Write(Write { path: folder.settings_copy(), text: settings.text(), mode: 0o600 })
}

/// Where the stack listens, and what was asked for.
pub struct PortAssignment {
    /// Where it listens.
    pub ports: Ports,
    /// What the settings asked for, of each service as it was started last.
    pub asked: Ports,
}

/// Where the stack listens: where it did before, unless the settings ask for another port since; elsewhere where that
/// is taken.
pub fn assign_ports(
    context: &Context,
    state: Option<&State>,
    settings: &Settings,
    starting: &[Service],
    claims: &mut Claims,
) -> Result<PortAssignment> {
    let number = context.project.number();
    let now = asked_for(context, settings)?;
    let before = state.map_or_else(|| now.clone(), |state| state.asked.clone().unwrap_or_else(|| now.clone()));
    let is_edited = |service: Service| before.of(service) != now.of(service);
    let is_there = |service: &Service| state.is_some_and(|state| state.wanted.contains(service));
    let is_part = |service: &Service| !service.is_optional() || starting.contains(service) || is_there(service);
    let part = Service::ALL.into_iter().filter(is_part);
    let wanted = Ports::of_these(part.clone(), |service| match state {
        Some(state) if !(is_edited(service) && starting.contains(&service)) => {
            state.ports.get(service).unwrap_or_else(|| now.of(service))
        }
        _ => now.of(service),
    });
    let choice = ports::choose(&wanted, number, starting, &mut |port| claims.take(port))?;
    for (service, port) in &choice.taken {
        let owner = owner::of_port(*port, &*context.runner);
        context.terminal.warn(format!("port {port}, for {service}, is taken by {owner}"));
        context.terminal.warn(format!("{service} uses port {} from now on", choice.ports.of(*service)));
    }
    for service in Service::ALL.into_iter().filter(|service| is_edited(*service) && !starting.contains(service)) {
        let setting = service.definition().port_setting();
        if state.is_some_and(|state| state.wanted.contains(&service)) {
            context
                .terminal
                .warn(format!("{setting} has changed, which counts from `cargo xtask restart {service}` on"));
        }
    }
    let asked =
        Ports::of_these(part, |service| if starting.contains(&service) { now.of(service) } else { before.of(service) });
    Ok(PortAssignment { ports: choice.ports, asked })
}

/// The ports that the settings ask for. A second checkout has the first right to none of the usual ones, and asks for
/// those of its own block, unless its settings say otherwise.
pub fn asked_for(context: &Context, settings: &Settings) -> Result<Ports> {
    let asked = Ports::from_settings(settings, &Service::ALL)?;
    if !context.project.is_second() {
        return Ok(asked);
    }
    let usual = Ports::from_settings(&Settings::template(&context.project)?, &Service::ALL)?;
    Ok(Ports::of_these(Service::ALL, |service| {
        let port = asked.of(service);
        if port == usual.of(service) { ports::own_place(context.project.number(), service) } else { port }
    }))
}

/// Where a stack that was never started would listen first.
pub fn usual_ports(context: &Context) -> Ports {
    let settings = Settings::load(&context.project).or_else(|_| Settings::template(&context.project));
    let asked = settings.and_then(|settings| asked_for(context, &settings));
    let ports = asked.unwrap_or_else(|_| ports::own_block(context.project.number()));
    Ports::of_each(|service| ports.of(service))
}

/// What would otherwise fail later and less clearly: another user's folder, a full disk. The first of the folders is the
/// stack's own; each has to have that many bytes free.
pub fn check(folders: &[&Path], least: u64) -> Result<()> {
    let root = folders[0];
    if std::fs::symlink_metadata(root).is_ok_and(|found| found.is_symlink()) {
        let what = format!("{} is a link; it has to be a folder of its own", root.display());
        return Err(Failure::new(Exit::Failed, what).hint(format!("rm {}", root.display())).into());
    }
    if let Some(owner) = system::owner(root).filter(|owner| *owner != system::own_uid() && !system::is_root()) {
        let owner = system::user_name(owner);
        return Err(Failure::new(Exit::Failed, format!("{} belongs to {owner}", root.display()))
            .hint(format!("run this as {owner}, or let them run `cargo xtask clean`"))
            .into());
    }
    for folder in folders {
        if let Some(free) = system::free_space(folder).filter(|free| *free < least) {
            let what = format!("the disk is full: {} are left for {}", file::human_size(free), folder.display());
            return Err(Failure::new(Exit::Failed, what)
                .hint(format!("make room for {} at least", file::human_size(least)))
                .into());
        }
    }
    Ok(())
}

/// From now on none of these settings' secrets is printed.
pub fn hide(context: &Context, settings: &Settings) {
    for secret in settings.secrets() {
        context.terminal.hide(secret);
    }
}

/// The time that the backend is given to finish what it has begun.
pub fn shutdown_timeout(settings: &Settings) -> Duration {
    let seconds = settings.get(SHUTDOWN_TIMEOUT).and_then(|seconds| seconds.parse().ok());
    seconds.map_or(DEFAULT_SHUTDOWN_TIMEOUT, Duration::from_secs)
}

/// The same, where the settings may be the very thing that is broken.
pub fn shutdown_timeout_of(context: &Context) -> Duration {
    Settings::load(&context.project).map_or(DEFAULT_SHUTDOWN_TIMEOUT, |settings| shutdown_timeout(&settings))
}

#[cfg(test)]
mod tests;
