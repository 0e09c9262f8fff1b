//! All that the edge has: its state, its fronts, and what runs the containers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use crate::containers::Containers;
use crate::control;
use crate::deployment::{Deployment, Spec, Status};
use crate::front::Front;
use crate::lifecycle;
use crate::state::State;

/// How long is waited before docker is asked for its events again.
const EVENTS_PAUSE: Duration = Duration::from_secs(1);

/// All that the edge has.
pub struct Edge {
    /// Where its state lies.
    pub folder: PathBuf,
    /// What runs the containers.
    pub containers: Containers,
    state: Mutex<State>,
    fronts: Mutex<BTreeMap<String, Arc<Front>>>,
}

impl Edge {
    /// Stands in front of the services until SIGTERM. The containers stay: whoever starts the edge again goes on.
    pub async fn serve(folder: PathBuf, containers: Containers) -> Result<()> {
        tokio::fs::create_dir_all(&folder).await.with_context(|| format!("cannot make {}", folder.display()))?;
        let state = State::load(&folder)?;
        let edge = Arc::new(Self { folder, containers, state: Mutex::new(state), fronts: Mutex::default() });
        edge.resume().await?;
        tokio::spawn(Arc::clone(&edge).watch());
        let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            ended = control::serve(Arc::clone(&edge)) => ended,
            _ = terminated.recv() => Ok(()),
            _ = interrupted.recv() => Ok(()),
        }
    }

    /// What is known.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and writes it down.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T> {
        let mut state = self.state();
        let changed = change(&mut state);
        state.save(&self.folder)?;
        Ok(changed)
    }

    /// Changes a deployment, and writes it down; nothing where it is gone.
    pub fn change_one(&self, id: &str, change: impl FnOnce(&mut Deployment)) -> Result<()> {
        self.change(|state| state.find_mut(id).map(change)).map(drop)
    }

    /// A deployment, as it is now.
    pub fn find(&self, id: &str) -> Result<Deployment> {
        self.state().find(id).cloned().with_context(|| format!("there is no deployment {id}"))
    }

    /// The front of a service, which is opened where it is not there.
    pub async fn front(&self, service: &str) -> Result<Arc<Front>> {
        let known = self.fronts.lock().unwrap_or_else(PoisonError::into_inner).get(service).cloned();
        if let Some(front) = known {
            return Ok(front);
        }
        let before = self.state().ports.get(service).copied();
        let front = Front::open(before).await?;
        self.change(|state| state.ports.insert(service.to_owned(), front.port))?;
        let mut fronts = self.fronts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(fronts.entry(service.to_owned()).or_insert(front)))
    }

    /// Begins a deployment, and gives back its id.
    pub async fn begin(self: &Arc<Self>, spec: Spec, migrates: bool) -> Result<String> {
        self.front(&spec.service).await?;
        let service = spec.service.clone();
        let id = self.change(|state| {
            if let Some(other) = state.deployments.iter().find(|one| is_under_way(one, &service)) {
                bail!("the deployment {} is under way", other.id);
            }
            state.count += 1;
            let id = format!("rehearsal-{}", state.count);
            state.deployments.push(Deployment::begun(id.clone(), spec));
            Ok(id)
        })??;
        let gone = self.change(|state| state.forget_old(&service))?;
        tokio::spawn(lifecycle::run(Arc::clone(self), id.clone(), migrates, gone));
        Ok(id)
    }

    /// Stops a deployment that does not serve yet.
    pub async fn cancel(&self, id: &str) -> Result<()> {
        let stopped = self.change(|state| {
            let one = state.find_mut(id)?;
            if one.status != Status::Deploying {
                return None;
            }
            one.status = Status::Cancelled;
            one.reason = Some(("deploy".to_owned(), "it was stopped".to_owned()));
            Some(one.clone())
        })?;
        match stopped {
            Some(one) => self.containers.remove(&lifecycle::all_of(&one)).await,
            None => bail!("the deployment {id} is not under way"),
        }
    }

    /// Goes on from what the state says: after an end, a crash, or a restart of the machine.
    async fn resume(self: &Arc<Self>) -> Result<()> {
        let (services, active) = self.change(|state| {
            for one in &mut state.deployments {
                if one.status == Status::Deploying {
                    one.status = Status::Failed;
                    one.reason = Some(("deploy".to_owned(), "the edge was stopped meanwhile".to_owned()));
                }
            }
            let active: Vec<Deployment> =
                state.deployments.iter().filter(|one| one.status == Status::Success).cloned().collect();
            (state.ports.keys().cloned().collect::<Vec<_>>(), active)
        })?;
        for service in services {
            self.front(&service).await?;
        }
        // What was draining, or had just been started, belongs to nobody any more.
        let wanted: Vec<String> = active.iter().flat_map(|one| one.containers.clone()).collect();
        let mut left = self.containers.all().await?;
        left.retain(|name| !wanted.contains(name));
        self.containers.remove(&left).await?;
        for one in active {
            let seen = self.containers.look(&one.containers, one.spec.port).await?;
            let ended = seen.iter().filter(|(_, seen)| seen.status != "running").map(|(name, _)| name.clone());
            let ended: Vec<String> = ended.collect();
            if !ended.is_empty()
                && let Err(error) = self.containers.start_again(&ended).await
            {
                tracing::warn!(deployment = one.id, "its containers cannot be started again: {error:#}");
            }
        }
        lifecycle::refresh(self).await
    }

    /// Takes note of containers that end, or start again on another port.
    async fn watch(self: Arc<Self>) {
        loop {
            if let Err(error) = self.follow_events().await {
                tracing::warn!("docker does not tell what happens: {error:#}");
            }
            // What happens meanwhile is seen by the look with which it begins.
            tokio::time::sleep(EVENTS_PAUSE).await;
        }
    }

    async fn follow_events(self: &Arc<Self>) -> Result<()> {
        let mut child = self.containers.events()?;
        let mut lines = BufReader::new(child.stdout.take().context("docker has no output")?).lines();
        // Something may have happened before it listened.
        lifecycle::refresh(self).await?;
        while lines.next_line().await?.is_some() {
            lifecycle::refresh(self).await?;
        }
        Ok(())
    }
}

fn is_under_way(one: &Deployment, service: &str) -> bool {
    one.spec.service == service && one.status == Status::Deploying
}
