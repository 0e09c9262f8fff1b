//! The clients of the services: psql, redis-cli, and where they are.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Host, binary};
use crate::failure::{Exit, Failure};
use crate::pinned;
use crate::plan::Plan;
use crate::stack::service::{Client, Service};
use crate::stack::state::State;
use crate::tool::system;

impl Host<'_> {
    /// The folders of a service's programs: its server's, and that of clients that were fetched for it.
    pub fn programs(&self, state: &State, service: Service) -> Result<Vec<PathBuf>> {
        let server = state.servers.get(&service).map(|server| server.path.clone());
        let folder = |path: PathBuf| if path.is_dir() { Some(path) } else { path.parent().map(Path::to_owned) };
        let mut folders: Vec<PathBuf> = server.and_then(folder).into_iter().collect();
        if service.is_built() {
            folders.extend(binary()?.parent().map(Path::to_owned));
        }
        folders.extend(pinned::servers::cached_clients(&self.context.project, self.user.as_ref())?);
        Ok(folders)
    }

    /// The client of a service: on PATH or beside its server, else one that is fetched.
    pub fn find_client(&self, state: &State, service: Service, client: &Client) -> Result<(Vec<String>, Plan)> {
        let folders = self.programs(state, service)?;
        let on_path = |name: &&&str| {
            self.context.runner.find(name).is_some() || folders.iter().any(|folder| folder.join(name).is_file())
        };
        let flags = client.port_flag.map(|flag| vec![flag.to_owned(), state.ports.of(service).to_string()]);
        let words = |name: &str| std::iter::once(name.to_owned()).chain(flags.clone().unwrap_or_default()).collect();
        if let Some(name) = client.programs.iter().find(on_path) {
            return Ok((words(name), Plan::default()));
        }
        let fetch = pinned::servers::clients(&self.context.project, self.user.as_ref(), &*self.context.runner)?;
        if let Some(actions) = fetch {
            return Ok((words(client.programs[0]), Plan::of("clients", actions, "fetched")));
        }
        let what = format!("{} is not on PATH, and cannot be fetched here", client.programs[0]);
        Err(Failure::new(Exit::Missing, what)
            .hint(system::install_command(client.package))
            .hint(format!("cargo xtask exec {service} -- CMD, with another client"))
            .into())
    }
}
