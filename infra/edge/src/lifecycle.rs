//! What becomes of a deployment: it starts beside the version before, is asked for its health, is switched to, and ends
//! the version before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

use crate::deployment::{Deployment, Ended, Spec, Status};
use crate::edge::Edge;
use crate::front::{Front, Upstream};

/// How often a version that starts is asked for its health.
const LOOK: Duration = Duration::from_millis(50);
/// How long it may take to answer one question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A failure: the step, and the reason.
type Failure = (String, String);

/// Every container of a deployment.
pub fn all_of(one: &Deployment) -> Vec<String> {
    one.containers.iter().chain(&one.before).cloned().collect()
}

/// Takes a deployment from its beginning to its end.
pub async fn run(edge: Arc<Edge>, id: String, migrates: bool, gone: Vec<Deployment>) {
    if let Err(error) = drive(&edge, &id, migrates, gone).await {
        tracing::error!(deployment = id, "{error:#}");
    }
}

async fn drive(edge: &Arc<Edge>, id: &str, migrates: bool, gone: Vec<Deployment>) -> Result<()> {
    let begun = Instant::now();
    let deployment = edge.find(id)?;
    let service = deployment.spec.service.clone();
    // The containers of a failed one were kept for their logs.
    let failed: Vec<Deployment> =
        edge.state().deployments.iter().filter(|one| is_over(one, &service)).cloned().collect();
    for one in gone.iter().chain(&failed) {
        edge.containers.remove(&all_of(one)).await?;
        edge.change_one(&one.id, |one| (one.containers, one.before) = (Vec::new(), None))?;
    }
    let started = start(edge, id, &deployment.spec, migrates).await;
    let ports = match started {
        Ok(ports) => ports,
        Err((step, reason)) => return fail(edge, id, &step, &reason).await,
    };
    let front = edge.front(&service).await?;
    // Read and switched under one lock: nobody stops a deployment in between.
    let switched = edge.change(|state| {
        let one = state.find(id).filter(|one| one.status == Status::Deploying)?;
        let (id, running) = (one.id.clone(), ports.len());
        let before = state.active(&service).map(|one| one.id.clone());
        for (other, status) in before.iter().map(|before| (before, Status::Removed)) {
            if let Some(one) = state.find_mut(other) {
                (one.status, one.running) = (status, 0);
            }
        }
        if let Some(one) = state.find_mut(&id) {
            (one.status, one.running) = (Status::Success, running);
            one.switch_milliseconds = u64::try_from(begun.elapsed().as_millis()).ok();
        }
        Some((before, front.switch(&ports)))
    })?;
    let Some((before, left)) = switched else {
        return fail(edge, id, "deploy", "it was stopped").await;
    };
    tracing::info!(deployment = id, milliseconds = begun.elapsed().as_millis(), "it serves");
    match before {
        Some(before) => end(edge, &before, &deployment.spec, left).await,
        None => Ok(()),
    }
}

fn is_over(one: &Deployment, service: &str) -> bool {
    one.spec.service == service && matches!(one.status, Status::Failed | Status::Crashed | Status::Cancelled)
}

/// Starts the containers of a version, and waits until each answers; gives back their ports.
async fn start(edge: &Arc<Edge>, id: &str, spec: &Spec, migrates: bool) -> Result<Vec<u16>, Failure> {
    let at = |step: &str| {
        let step = step.to_owned();
        move |error: anyhow::Error| (step, format!("{error:#}"))
    };
    let words = if migrates { spec.before() } else { Vec::new() };
    if !words.is_empty() {
        let name = format!("{}-{id}-before", spec.network);
        edge.change_one(id, |one| one.before = Some(name.clone())).map_err(at("pre deploy command"))?;
        edge.containers.before(&name, spec, &words).await.map_err(at("pre deploy command"))?;
    }
    let names: Vec<String> = (1..=spec.replicas()).map(|number| format!("{}-{id}-{number}", spec.network)).collect();
    edge.change_one(id, |one| one.containers.clone_from(&names)).map_err(at("deploy"))?;
    for name in &names {
        goes_on(edge, id).map_err(at("deploy"))?;
        edge.containers.serve(name, spec).await.map_err(at("deploy"))?;
    }
    let healthy = healthy(edge, id, spec, &names).await;
    healthy.map_err(at("healthcheck"))
}

fn goes_on(edge: &Edge, id: &str) -> Result<()> {
    match edge.find(id)?.status {
        Status::Deploying => Ok(()),
        _ => bail!("it was stopped"),
    }
}

/// Waits until each container answers with 200.
async fn healthy(edge: &Arc<Edge>, id: &str, spec: &Spec, names: &[String]) -> Result<Vec<u16>> {
    let client: Client<HttpConnector, Body> = Client::builder(TokioExecutor::new()).build_http();
    let deadline = Instant::now() + spec.health_timeout();
    let mut ports = Vec::new();
    for name in names {
        loop {
            goes_on(edge, id)?;
            let seen = edge.containers.look(std::slice::from_ref(name), spec.port).await?;
            let (_, seen) = seen.into_iter().next().with_context(|| format!("the container {name} is gone"))?;
            let said = match (seen.status.as_str(), seen.port) {
                ("running", Some(port)) => match ask(&client, port, spec.health_path()).await {
                    Ok(StatusCode::OK) => {
                        ports.push(port);
                        break;
                    }
                    Ok(status) => format!("it answers {status}"),
                    Err(error) => format!("{error:#}"),
                },
                ("exited" | "dead", _) => bail!("the container {name} has ended with exit code {}", seen.code),
                (status, _) => format!("the container is {status}"),
            };
            if Instant::now() >= deadline {
                let path = spec.health_path().unwrap_or_default();
                bail!("{path} did not answer 200 within {} s: {said}", spec.health_timeout().as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(ports)
}

async fn ask(client: &Client<HttpConnector, Body>, port: u16, path: Option<&str>) -> Result<StatusCode> {
    let Some(path) = path else { return Ok(StatusCode::OK) };
    let request = Request::get(format!("http://127.0.0.1:{port}{path}")).body(Body::empty())?;
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.request(request)).await.context("it does not answer")?;
    Ok(answer.map_err(|error| anyhow!("it does not answer: {error}"))?.status())
}

/// Notes why a deployment failed, and ends its containers. They are kept for their logs until the next begins.
async fn fail(edge: &Arc<Edge>, id: &str, step: &str, reason: &str) -> Result<()> {
    let one = edge.find(id)?;
    if one.status != Status::Deploying {
        return edge.containers.remove(&all_of(&one)).await;
    }
    tracing::warn!(deployment = id, step, reason, "it failed");
    for name in &one.containers {
        if let Err(error) = edge.containers.end(name, Duration::ZERO).await {
            tracing::warn!(deployment = id, "{error:#}");
        }
    }
    edge.change_one(id, |one| {
        if one.status == Status::Deploying {
            (one.status, one.reason) = (Status::Failed, Some((step.to_owned(), reason.to_owned())));
        }
    })
}

/// Leaves the version before running for a while, and ends it then.
async fn end(edge: &Arc<Edge>, before: &str, by: &Spec, left: Arc<Vec<Upstream>>) -> Result<()> {
    tokio::time::sleep(by.overlap()).await;
    Front::under_way(left).await;
    let one = edge.find(before)?;
    let mut ends = JoinSet::new();
    for name in one.containers.clone() {
        let (edge, draining) = (Arc::clone(edge), one.spec.draining());
        ends.spawn(async move { edge.containers.end(&name, draining).await });
    }
    let ended: Vec<Ended> = ends.join_all().await.into_iter().collect::<Result<_>>()?;
    edge.containers.remove(&all_of(&one)).await?;
    tracing::info!(deployment = before, ?ended, "it has ended");
    edge.change_one(before, |one| {
        (one.containers, one.before) = (Vec::new(), None);
        one.ended = ended;
    })
}

/// Looks at the containers of what serves: how many run, and on which ports.
pub async fn refresh(edge: &Arc<Edge>) -> Result<()> {
    let active: Vec<Deployment> =
        edge.state().deployments.iter().filter(|one| one.status == Status::Success).cloned().collect();
    for one in active {
        let seen = edge.containers.look(&one.containers, one.spec.port).await?;
        let ports: Vec<u16> =
            seen.iter().filter(|(_, seen)| seen.status == "running").filter_map(|(_, seen)| seen.port).collect();
        let front = edge.front(&one.spec.service).await?;
        let is_over = seen.iter().all(|(_, seen)| matches!(seen.status.as_str(), "exited" | "dead"));
        edge.change(|state| {
            // It may have been switched meanwhile.
            let Some(now) = state.find_mut(&one.id).filter(|now| now.status == Status::Success) else { return };
            now.running = ports.len();
            if is_over {
                now.status = Status::Crashed;
                now.reason = Some(("deploy".to_owned(), "all of its containers have ended".to_owned()));
            }
            front.switch(&ports);
        })?;
    }
    Ok(())
}
