//! The clients of the services: psql, redis-cli, and where they are.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Host, binary};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::pinned;
use crate::plan::Plan;
use crate::stack::service::{Client, Service};
use crate::stack::state::{Server, State};
use crate::step::User;
use crate::tool::system;

/// The folders with a server's programs, and with clients that were fetched.
pub fn folders(context: &Context, user: Option<&User>, server: Option<&Server>) -> Result<Vec<PathBuf>> {
    let folder = |path: PathBuf| if path.is_dir() { Some(path) } else { path.parent().map(Path::to_owned) };
    let mut folders: Vec<PathBuf> = server.map(|server| server.path.clone()).and_then(folder).into_iter().collect();
    folders.extend(pinned::servers::cached_clients(&context.project, user)?);
    Ok(folders)
}

/// A program in one of the folders, else on PATH.
pub fn program(context: &Context, folders: &[PathBuf], name: &str) -> PathBuf {
    let own = folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file());
    own.or_else(|| context.runner.find(name)).unwrap_or_else(|| name.into())
}

/// The name of the client that is there, or of one that is fetched, and what fetches it.
pub fn find(
    context: &Context,
    user: Option<&User>,
    folders: &[PathBuf],
    service: Service,
    client: &Client,
) -> Result<(&'static str, Plan)> {
    let is_there =
        |name: &&&str| context.runner.find(name).is_some() || folders.iter().any(|folder| folder.join(name).is_file());
    if let Some(name) = client.programs.iter().find(is_there) {
        return Ok((name, Plan::default()));
    }
    if let Some(actions) = pinned::servers::clients(&context.project, user, &*context.runner)? {
        return Ok((client.programs[0], Plan::of("clients", actions, "fetched")));
    }
    let what = format!("{} is not on PATH, and cannot be fetched here", client.programs[0]);
    Err(Failure::new(Exit::Missing, what)
        .hint(system::install_command(client.package))
        .hint(format!("cargo xtask exec {service} -- CMD, with another client"))
        .into())
}

impl Host<'_> {
    /// The folders of a service's programs: its server's, and that of clients that were fetched for it.
    pub fn programs(&self, state: &State, service: Service) -> Result<Vec<PathBuf>> {
        let mut found = folders(self.context, self.user.as_ref(), state.servers.get(&service))?;
        if service.is_built() {
            found.extend(binary()?.parent().map(Path::to_owned));
        }
        Ok(found)
    }

    /// The client of a service: on PATH or beside its server, else one that is fetched.
    pub fn find_client(&self, state: &State, service: Service, client: &Client) -> Result<(Vec<String>, Plan)> {
        let folders = self.programs(state, service)?;
        let (name, fetch) = find(self.context, self.user.as_ref(), &folders, service, client)?;
        let flags = client.port_flag.map(|flag| [flag.to_owned(), state.ports.of(service).to_string()]);
        Ok((std::iter::once(name.to_owned()).chain(flags.into_iter().flatten()).collect(), fetch))
    }
}
