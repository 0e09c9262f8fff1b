//! What a person is told of the containers.

use std::path::PathBuf;
use std::time::SystemTime;

use super::Docker;
use crate::product;
use crate::runner::Output;
use crate::stack::report::{RunState, Seen, Watch};
use crate::stack::service::Service;
use crate::stack::state::{Server, Source, State};
use crate::stack::watch::files::Files;
use crate::stack::watch::report::WatchReport;
use crate::tool::compose::Container;
use crate::tool::docker;

impl Docker<'_> {
    /// What there is of a service among the containers.
    pub fn see_service(&self, service: Service, containers: &[Container], state: &State) -> Seen {
        let own: Vec<&Container> = containers.iter().filter(|one| one.service == service.name()).collect();
        // Of several, the one that does not run has something to tell.
        let told = own.iter().find(|container| container.state != "running").or(own.first());
        let Some(told) = told else { return Seen::nothing(service) };
        let found = self.runner().read(&docker::state(&told.name)).ok().as_ref().and_then(docker::parse_state);
        let is_running = own.iter().all(|container| container.state == "running");
        let started = found.as_ref().and_then(|found| humantime::parse_rfc3339(&found.started_at).ok());
        let names: Vec<&str> = own.iter().map(|container| container.name.as_str()).collect();
        let ended = found.as_ref().map(|found| match (found.is_out_of_memory, told.state.as_str()) {
            (true, _) => "it used more memory than it may, and was killed".to_owned(),
            (_, "restarting") => format!("it ends with exit code {}, again and again", found.exit_code),
            _ => format!("it ended with exit code {}", found.exit_code),
        });
        let image = service.definition().image().or(state.containers.production.as_deref());
        Seen {
            state: if is_running { RunState::Running } else { RunState::Exited },
            container: Some(names.join(" ")),
            age: started.filter(|_| is_running).and_then(|started| SystemTime::now().duration_since(started).ok()),
            server: image.map(|image| server_of(service, image)),
            ended,
            watch: (service.is_built() && is_running && state.watch).then(|| self.see_watch(&told.name)).flatten(),
            ..Seen::nothing(service)
        }
    }

    /// What the watcher in the container says of itself.
    fn see_watch(&self, container: &str) -> Option<Watch> {
        let path = Files::at(PathBuf::from(product::CONTAINER_WATCH)).report();
        let said = self.runner().read(&docker::read_file(container, &path)).ok().filter(Output::is_success)?;
        Some(Watch { running: true, says: WatchReport::parse(said.stdout.as_bytes()) })
    }
}

/// The server in a service's image, whose version its name tells.
fn server_of(service: Service, image: &str) -> Server {
    let (_, tag) = image.split_once(':').unwrap_or((image, ""));
    let product = service.definition().product();
    let version = tag.split('-').next().unwrap_or_default().to_owned();
    Server { product: product.to_owned(), version, source: Source::Image, path: image.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_version_is_in_its_images_name() {
        let server = server_of(Service::Postgres, "postgres:15-bookworm");
        assert_eq!((server.product.as_str(), server.version.as_str()), ("PostgreSQL", "15"));
    }
}
