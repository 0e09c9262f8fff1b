//! The backend: built from source, its settings checked, its database migrated, started, by its watcher where it is to
//! have one.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{Client, Definition, Service, local};
use crate::plan::{Action, Lane, Probe, Unready};
use crate::product::{HEALTH_PATH, NAME};
use crate::runner::{Launch, Runner};
use crate::settings::Settings;
use crate::stack::foundation;
use crate::stack::host::recipe::{self, HostLane, PREPARE, Recipe};
use crate::stack::host::stop;
use crate::stack::report::{About, Health};
use crate::tool::backend;
use crate::tool::backend::Variable;

/// The API.
pub struct Backend;

impl Definition for Backend {
    fn name(&self) -> &'static str {
        "backend"
    }

    fn product(&self) -> &'static str {
        NAME
    }

    fn needs(&self) -> &'static [Service] {
        &[Service::Postgres, Service::Redis]
    }

    fn uses(&self) -> &'static [Service] {
        &[Service::Mail]
    }

    fn port_setting(&self) -> &'static str {
        crate::product::setting::PORTS[0]
    }

    fn port_offset(&self) -> u16 {
        0
    }

    fn container_port(&self) -> u16 {
        crate::product::CONTAINER_PORT
    }

    fn image(&self) -> Option<&'static str> {
        None
    }

    fn address(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    fn probe(&self, port: u16, _: &Settings) -> Result<Box<dyn Probe>> {
        Ok(Box::new(IsHealthy { port }))
    }

    fn health(&self, address: SocketAddr, _: Option<&Settings>) -> Result<Health, String> {
        let health = backend::health(address, HEALTH_PATH)?;
        let about = About { product: NAME.to_owned(), version: health.version, commit: health.commit };
        Ok(Health { about: Some(about) })
    }

    /// `{"timestamp":"2026-11-21T14:03:37.954321Z",…` or `2026-11-21T14:03:37.954321Z  INFO …`
    fn log_time(&self, line: &str) -> Option<SystemTime> {
        let line = line.strip_prefix("{\"timestamp\":\"").unwrap_or(line);
        humantime::parse_rfc3339(line.split([' ', '"']).next()?).ok()
    }

    fn stop_signals(&self, shutdown_timeout: Duration) -> Vec<(&'static str, Duration)> {
        vec![("TERM", shutdown_timeout + Duration::from_secs(5)), ("KILL", Duration::from_secs(5))]
    }

    /// Its clients speak HTTP; what is told here is what the backend itself is told.
    fn client_variables(&self, _: u16, _: &Settings) -> Result<Vec<Variable>> {
        Ok(Vec::new())
    }

    fn client(&self) -> Option<Client> {
        None
    }

    fn host_lane(&self, recipe: &Recipe<'_>) -> Result<HostLane> {
        let source = recipe.source()?;
        let program = recipe.program()?;
        let mut actions = vec![Action::After(PREPARE.to_owned()), recipe::build(source)];
        // Before anything is changed: settings that are wrong stop nothing that serves.
        actions.push(Action::Run(program.check_settings()));
        let after = |service: Service| recipe.beside.contains(&service).then(|| Action::After(service.to_string()));
        actions.extend(after(Service::Postgres));
        actions.push(Action::Run(program.migrate(source.migration_timeout, &source.drafts)));
        actions.extend(after(Service::Redis));
        if source.replaces {
            actions.extend(stop::actions(
                recipe.folder,
                Service::Backend,
                foundation::shutdown_timeout(recipe.settings),
            ));
        }
        if let Some(watcher) = &source.watcher {
            let (record, log) = (recipe.folder.watch().watcher(), recipe.folder.log(Service::Backend));
            actions.push(Action::Rotate(log.clone()));
            let launch = Launch { step: watcher.clone(), record, log: Some(log), socket: None };
            // What an earlier one said is not to be taken for what this one says.
            actions.push(Action::Remove(recipe.folder.watch().report()));
            actions.push(Action::Start(launch));
            actions.push(recipe.wait_for_watched());
        } else {
            let serve = backend::serve(&source.binary, &recipe.environment()?, source.root);
            actions.extend(recipe.start(Service::Backend, serve));
            actions.push(recipe.wait(Service::Backend)?);
        }
        let result = format!("healthy on {}", Backend.address(recipe.ports.of(Service::Backend)));
        Ok(HostLane { lane: Lane { name: Backend.name().to_owned(), actions, result }, server: None })
    }
}

/// It says that it is healthy.
struct IsHealthy {
    port: u16,
}

impl Probe for IsHealthy {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        backend::health(local(self.port), HEALTH_PATH)?;
        Ok(())
    }
}

impl fmt::Display for IsHealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{HEALTH_PATH} is healthy", Backend.address(self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::host::recipe::tests::{lines, with_recipe};

    #[test]
    fn the_backend_is_built_while_the_servers_start_and_migrated_before_it_serves() {
        let found = with_recipe(|recipe| lines(&Backend.host_lane(recipe).unwrap()));
        let place = |word: &str| found.iter().position(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}"));
        let order = [
            "build --package backend",
            "config --check",
            "until postgres is done",
            "migrate run --draft 20990101000000",
            "until redis is done",
            "serve",
        ];
        assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{found:?}");
        assert!(found.iter().all(|line| !line.contains("hunter")), "{found:?}");
    }
}
