//! The watcher behind a stack's backend; `up` starts it, on this machine and in the container.

use anyhow::Result;

use crate::cli::WatchBackend;
use crate::context::Context;
use crate::interrupt::Reaction;
use crate::product::setting::WATCH_POLL;
use crate::settings::Settings;
use crate::stack::folder::StackFolder;
use crate::stack::host;
use crate::stack::service::{Service, not_up};
use crate::stack::state::State;
use crate::stack::watch::files::Files;
use crate::stack::watch::{self, Location, Start};

/// Watches until it is told to stop.
pub fn run(context: &Context, arguments: &WatchBackend) -> Result<u8> {
    // Whoever stops it says so, and nobody reads the exit code.
    let _reaction = context.interrupt.react(Reaction::EndQuietly);
    let root = context.project.root();
    let location = if arguments.in_container {
        Location::container(root, host::binary()?)
    } else {
        let state = State::load(&StackFolder::of(&context.project, None))?;
        let state = state.ok_or_else(|| not_up(Service::Backend))?;
        Location::host(root, state.ports, host::binary()?)
    };
    watch::run(Start {
        context,
        location: &location,
        files: Files::at(arguments.folder.clone()),
        polls: arguments.poll || is_asked_to_poll(context),
        is_prepared: arguments.prepared,
    })
}

/// Whether this environment or the settings say so.
fn is_asked_to_poll(context: &Context) -> bool {
    let here = std::env::var(WATCH_POLL).ok();
    let settings = Settings::load(&context.project).ok();
    let said = settings.as_ref().and_then(|settings| settings.get(WATCH_POLL));
    here.as_deref().into_iter().chain(said).any(|value| value == "true")
}
