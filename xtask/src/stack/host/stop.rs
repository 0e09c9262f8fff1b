//! How services of the host engine are stopped.

use std::time::Duration;

use crate::plan::{Action, Lane};
use crate::stack::folder::StackFolder;
use crate::stack::service::Service;
use crate::supervise::Stop;

/// How long a service is given for each signal that has just been started and is taken back.
const UNDO_TIMEOUT: Duration = Duration::from_secs(3);

/// How a service is stopped.
pub fn of(folder: &StackFolder, service: Service, shutdown_timeout: Duration) -> Stop {
    let signals = service.definition().stop_signals(shutdown_timeout);
    Stop { service: service.to_string(), record: folder.record(service), signals }
}

/// What stops a service, whatever of it there is: the backend's watcher goes first, and takes its servers along.
pub fn actions(folder: &StackFolder, service: Service, shutdown_timeout: Duration) -> Vec<Action> {
    with(folder, of(folder, service, shutdown_timeout), service)
}

/// The same for one that did not get to serve: nobody waits for what it has begun.
pub fn quick_actions(folder: &StackFolder, service: Service) -> Vec<Action> {
    let mut stop = of(folder, service, UNDO_TIMEOUT);
    for (_, timeout) in &mut stop.signals {
        *timeout = (*timeout).min(UNDO_TIMEOUT);
    }
    with(folder, stop, service)
}

fn with(folder: &StackFolder, stop: Stop, service: Service) -> Vec<Action> {
    if !service.is_built() {
        return vec![Action::Stop(stop)];
    }
    let files = folder.watch();
    let mut watcher = Stop { record: files.watcher(), ..stop.clone() };
    // It waits for its servers as long as they are waited for here.
    watcher.signals[0].1 += Duration::from_secs(10);
    vec![Action::Stop(watcher), Action::StopEach(Stop { record: files.servers(), ..stop.clone() }), Action::Stop(stop)]
}

/// Stops services, each after those that need it.
pub fn lanes(folder: &StackFolder, services: &[Service], shutdown_timeout: Duration) -> Vec<Lane> {
    services
        .iter()
        .map(|service| {
            let users = services.iter().filter(|other| other.needs().contains(service));
            let mut all: Vec<Action> = users.map(|user| Action::After(user.to_string())).collect();
            all.extend(actions(folder, *service, shutdown_timeout));
            Lane { name: service.to_string(), actions: all, result: "stopped".to_owned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder() -> StackFolder {
        StackFolder::at(PathBuf::from("/p/.stack"), None, "x")
    }

    #[test]
    fn services_stop_before_what_they_need() {
        let lanes = lanes(&folder(), &Service::ALL, Duration::from_secs(10));
        let waits = |name: &str| {
            let lane = lanes.iter().find(|lane| lane.name == name).unwrap();
            lane.actions.iter().filter(|action| matches!(action, Action::After(_))).count()
        };
        assert_eq!((waits("postgres"), waits("redis"), waits("backend")), (1, 1, 0));
    }

    #[test]
    fn what_did_not_get_to_serve_is_not_waited_for() {
        let quick = quick_actions(&folder(), Service::Postgres);
        let Action::Stop(stop) = &quick[0] else { panic!("a stop") };
        assert!(stop.signals.iter().map(|(_, timeout)| *timeout).sum::<Duration>() < Duration::from_secs(10));
    }
}
