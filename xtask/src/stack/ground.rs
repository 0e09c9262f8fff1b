//! What a stack stands on, whichever engine runs it: settings, ports, a folder with room in it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::owner;
use super::ports::{self, Claims};
use super::state::State;
use super::thunder::{Ports, Service};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::plan::{Action, Write};
use crate::settings::Settings;
use crate::step::Step;
use crate::tool::{git, system};

/// How long migrations may take.
pub const MIGRATIONS: Duration = Duration::from_mins(10);

/// The settings, and the action that writes them where there are none yet.
pub fn settings(context: &Context) -> Result<(Settings, Option<Action>)> {
    let path = context.project.settings();
    if path.exists() {
        let settings = Settings::load(&context.project)?;
        hide(context, &settings);
        return Ok((settings, None));
    }
    let text = Settings::generate(&context.project)?;
    let settings = Settings::parse(&text)?;
    hide(context, &settings);
    context.terminal.note(format!("first run: {} gets secrets of its own", context.project.relative(&path)));
    Ok((settings, Some(Action::Write(Write { path, text, mode: 0o600 }))))
}

/// Where the stack listens: where it did before, else as the settings say, else on ports of its own where those are taken.
pub fn ports(
    context: &Context,
    state: Option<&State>,
    settings: &Settings,
    starting: &[Service],
    claims: &mut Claims,
) -> Result<Ports> {
    let number = context.project.number();
    let wanted = match state {
        Some(state) => state.ports,
        None if context.project.is_second() => ports::own_block(number),
        None => Ports::from_settings(settings)?,
    };
    let choice = ports::choose(wanted, number, starting, &mut |port| claims.take(port))?;
    for (service, port) in &choice.taken {
        let owner = owner::of_port(*port, &*context.runner);
        context.terminal.warn(format!("port {port}, for {service}, is taken by {owner}"));
    }
    if !choice.taken.is_empty() {
        let moved: Vec<String> =
            starting.iter().map(|service| format!("{service} {}", choice.ports.of(*service))).collect();
        context.terminal.warn(format!("this checkout uses ports of its own from now on: {}", moved.join(", ")));
    }
    Ok(choice.ports)
}

/// Where a stack that was never started would listen first.
pub fn usual_ports(context: &Context) -> Ports {
    let own = ports::own_block(context.project.number());
    if context.project.is_second() {
        return own;
    }
    Settings::load(&context.project).and_then(|settings| Ports::from_settings(&settings)).unwrap_or(own)
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
    Duration::from_secs(settings.get("SHUTDOWN_TIMEOUT").and_then(|seconds| seconds.parse().ok()).unwrap_or(10))
}

/// The commit that is checked out, with `-dirty` where files differ from it.
pub fn commit(context: &Context) -> String {
    let root = context.project.root();
    let ask = |step: &Step| context.runner.read(step).ok().filter(crate::runner::Output::is_success);
    let Some(head) = ask(&git::head(root)) else { return "unknown".to_owned() };
    let is_dirty = ask(&git::changes(root)).is_none_or(|changes| !changes.stdout.trim().is_empty());
    format!("{}{}", head.stdout.trim(), if is_dirty { "-dirty" } else { "" })
}
