//! The edge with containers that are processes: switches under load, what is left running, and what is put away.

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;

/// How long anything may take.
const TIMEOUT: Duration = Duration::from_mins(1);

/// An edge with a folder of its own.
struct Stage {
    folder: PathBuf,
    edge: Child,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("edge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("docker")).unwrap();
        let edge = Self::serve(&folder);
        let stage = Self { folder, edge };
        stage.until(|stage| async { stage.try_ask(&json!({ "status": { "services": ["api"] } })).await }).await;
        stage
    }

    fn command(folder: &PathBuf) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
        command.arg("--folder").arg(folder).env("FAKE_DOCKER", folder.join("docker")).kill_on_drop(true);
        command
    }

    fn serve(folder: &PathBuf) -> Child {
        let docker = PathBuf::from(env!("CARGO_BIN_EXE_edge")).with_file_name("examples").join("docker");
        assert!(docker.exists(), "cargo builds the examples for the tests: {}", docker.display());
        let mut command = Self::command(folder);
        command.args(["serve", "--label", "a=b", "--docker"]).arg(docker);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    async fn try_ask(&self, order: &Value) -> Option<Value> {
        let output = Self::command(&self.folder).args(["ask", &order.to_string()]).output().await.unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    async fn ask(&self, order: &Value) -> Value {
        let output = Self::command(&self.folder).args(["ask", &order.to_string()]).output().await.unwrap();
        assert!(output.status.success(), "{order}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until a look finds something.
    async fn until<'a, T, F: Future<Output = Option<T>>>(&'a self, look: impl Fn(&'a Self) -> F) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self).await {
                return found;
            }
            assert!(begun.elapsed() < TIMEOUT, "it did not happen in time");
            tokio::task::yield_now().await;
        }
    }

    async fn standing(&self) -> Value {
        self.ask(&json!({ "status": { "services": ["api"] } })).await
    }

    async fn port(&self) -> u16 {
        u16::try_from(self.standing().await["ports"]["api"].as_u64().unwrap()).unwrap()
    }

    async fn begin(&self, image: &str, deploy: Value) -> String {
        let spec = json!({
            "service": "api", "image": image, "commit": image, "message": "", "creator": "Ada", "variables": {},
            "network": "net", "port": 3000, "flags": [], "manifest": { "deploy": deploy },
        });
        self.ask(&json!({ "begin": spec })).await["id"].as_str().unwrap().to_owned()
    }

    async fn find(&self, id: &str) -> Value {
        let standing = self.standing().await;
        standing["deployments"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone()
    }

    /// Begins a deployment, and waits until it is over, one way or the other.
    async fn deploy(&self, image: &str, deploy: Value) -> Value {
        let id = self.begin(image, deploy).await;
        let id = id.as_str();
        self.until(|stage| async move { Some(stage.find(id).await).filter(|one| one["status"] != "DEPLOYING") }).await
    }

    async fn end(mut self) {
        self.edge.kill().await.unwrap();
        let docker = PathBuf::from(env!("CARGO_BIN_EXE_edge")).with_file_name("examples").join("docker");
        for entry in std::fs::read_dir(self.folder.join("docker")).unwrap().flatten() {
            if let Some(name) =
                entry.path().file_stem().filter(|_| entry.path().extension().is_some_and(|e| e == "pid"))
            {
                let mut command = Command::new(&docker);
                command.args(["rm", "--force"]).arg(name).env("FAKE_DOCKER", self.folder.join("docker"));
                command.status().await.unwrap();
            }
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn healthy() -> Value {
    json!({ "healthcheckPath": "/health", "healthcheckTimeout": 30, "drainingSeconds": 20 })
}

async fn name(port: u16) -> (u16, String) {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(format!("http://127.0.0.1:{port}/health")).body(Body::empty()).unwrap();
    let answer = client.request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(Body::new(answer.into_body()), 1_000).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_deployments_lose_no_request_and_cut_no_socket_before_its_version_ends() {
    let stage = Stage::new("twenty").await;
    assert_eq!(stage.deploy("a", healthy()).await["status"], "SUCCESS");
    let port = stage.port().await;
    let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let requests = tokio::spawn({
        let (is_over, asked) = (Arc::clone(&is_over), Arc::clone(&asked));
        async move {
            while !is_over.load(Ordering::Relaxed) {
                let (status, name) = name(port).await;
                assert_eq!(status, 200, "{name}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    // Opens one socket after the other, and each echoes.
    let sockets = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                let (mut socket, _) =
                    tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{port}/socket")).await.unwrap();
                for word in ["one", "two"] {
                    socket.send(Message::text(word)).await.unwrap();
                    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), word);
                }
                count += 1;
            }
            count
        }
    });
    for turn in 1..=20 {
        let image = ["a", "b"][turn % 2];
        // A socket of the version before, which stays while both run.
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{port}/socket")).await.unwrap();
        let mut deploy = healthy();
        deploy["overlapSeconds"] = 1.into();
        assert_eq!(stage.deploy(image, deploy).await["status"], "SUCCESS");
        assert_eq!(name(port).await.1, image);
        socket.send(Message::text("still here")).await.unwrap();
        let said = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert_eq!(said.as_str(), "still here", "the version before overlaps");
    }
    is_over.store(true, Ordering::Relaxed);
    requests.await.unwrap();
    assert!(sockets.await.unwrap() > 20);
    assert!(asked.load(Ordering::Relaxed) > 20);
    stage.end().await;
}

#[tokio::test]
async fn what_is_not_fit_never_serves_and_its_reason_is_told() {
    let stage = Stage::new("unfit").await;
    stage.deploy("a", healthy()).await;
    for (image, seconds, step, words) in [
        ("unhealthy", 1, "healthcheck", "/health did not answer 200 within 1 s: it answers 503"),
        ("exits", 30, "healthcheck", "has ended with exit code 3"),
        ("fails-before", 30, "pre deploy command", "/bin/x migrate run failed: "),
    ] {
        let deploy = json!({
            "healthcheckPath": "/health", "healthcheckTimeout": seconds, "preDeployCommand": "/bin/x migrate run",
        });
        let failed = stage.deploy(image, deploy).await;
        assert_eq!(failed["status"], "FAILED", "{failed}");
        assert_eq!(failed["reason"][0], step);
        assert!(failed["reason"][1].as_str().unwrap().contains(words), "{failed}");
        assert_eq!(name(stage.port().await).await, (200, "a".to_owned()));
    }
    stage.end().await;
}

#[tokio::test]
async fn one_that_is_stopped_while_it_starts_is_gone_and_one_at_a_time_starts() {
    let stage = Stage::new("stopped").await;
    stage.deploy("a", healthy()).await;
    let id = stage.begin("unhealthy", healthy()).await;
    let second = json!({ "roll_back": "rehearsal-1" });
    assert!(stage.try_ask(&second).await.is_none(), "another is under way");
    stage.ask(&json!({ "stop": id })).await;
    assert_eq!(stage.find(&id).await["status"], "CANCELLED");
    assert!(stage.try_ask(&json!({ "stop": id })).await.is_none(), "it is not under way");
    assert_eq!(name(stage.port().await).await.1, "a");
    let back = stage.ask(&second).await["id"].as_str().unwrap().to_owned();
    let back = back.as_str();
    stage.until(|stage| async move { Some(stage.find(back).await).filter(|one| one["status"] == "SUCCESS") }).await;
    stage.end().await;
}

#[tokio::test]
async fn one_that_does_not_end_by_itself_is_killed_when_its_time_is_over() {
    let stage = Stage::new("stays").await;
    let mut deploy = healthy();
    deploy["drainingSeconds"] = 1.into();
    let first = stage.deploy("stays", deploy).await;
    stage.deploy("a", healthy()).await;
    let id = first["id"].as_str().unwrap();
    let ended = stage
        .until(|stage| async move {
            Some(stage.find(id).await["ended"].clone()).filter(|ended| !ended.as_array().unwrap().is_empty())
        })
        .await;
    assert_eq!(ended[0]["code"], 137, "{ended}");
    assert!(ended[0]["milliseconds"].as_u64().unwrap() >= 1_000, "{ended}");
    stage.end().await;
}

#[tokio::test]
async fn an_edge_that_was_killed_goes_on_where_it_was() {
    let mut stage = Stage::new("killed").await;
    stage.deploy("a", healthy()).await;
    let port = stage.port().await;
    let under_way = stage.begin("unhealthy", healthy()).await;
    stage.edge.kill().await.unwrap();
    std::fs::remove_file(stage.folder.join("edge-entrance.json")).unwrap();
    stage.edge = Stage::serve(&stage.folder);
    stage.until(|stage| async { stage.try_ask(&json!({ "status": { "services": [] } })).await }).await;
    assert_eq!(name(port).await, (200, "a".to_owned()), "at the same address");
    let failed = stage.find(&under_way).await;
    assert_eq!((&failed["status"], &failed["reason"][1]), (&"FAILED".into(), &"the edge was stopped meanwhile".into()));
    stage.end().await;
}
