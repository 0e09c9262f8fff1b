//! Orders to the edge, and its answers: a line of JSON each, by a port of this machine that only the owner of the state
//! can use.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::deployment::{Deployment, Spec, seconds_of};
use crate::edge::Edge;
use crate::state::write_private;

/// How long an order may take to be given and answered.
const TIMEOUT: Duration = Duration::from_secs(90);
/// The longest order, in bytes.
const LONGEST: u64 = 1_000_000;
/// How many bytes nobody can guess.
const KEY_BYTES: usize = 24;

/// What the edge is asked or told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Where the services are, and all deployments.
    Status {
        /// The services that have to have an address.
        services: Vec<String>,
    },
    /// Begin a deployment.
    Begin(Box<Spec>),
    /// Have an older deployment serve again, as it was: a new one with its image and its variables.
    RollBack(String),
    /// Stop a deployment that does not serve yet.
    Stop(String),
    /// How a service has answered between two times.
    Answers {
        /// The service.
        service: String,
        /// From when on.
        from: String,
        /// Until when.
        until: String,
    },
}

/// Where orders go, and the word that lets them in.
#[derive(Debug, Serialize, Deserialize)]
struct Entrance {
    port: u16,
    key: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    key: String,
    order: Order,
}

fn file(folder: &Path) -> PathBuf {
    folder.join("edge-entrance.json")
}

/// A word that nobody else knows.
async fn key() -> Result<String> {
    let mut bytes = [0; KEY_BYTES];
    let mut source = tokio::fs::File::open("/dev/urandom").await.context("this system has no /dev/urandom")?;
    source.read_exact(&mut bytes).await?;
    Ok(bytes.iter().fold(String::new(), |key, byte| format!("{key}{byte:02x}")))
}

/// Takes orders for ever.
pub async fn serve(edge: Arc<Edge>) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen for orders")?;
    let entrance = Entrance { port: listener.local_addr()?.port(), key: key().await? };
    write_private(&file(&edge.folder), &serde_json::to_string(&entrance)?)?;
    tracing::info!(port = entrance.port, "takes orders");
    let key: Arc<str> = entrance.key.into();
    loop {
        let (stream, _) = listener.accept().await?;
        let (edge, key) = (Arc::clone(&edge), Arc::clone(&key));
        tokio::spawn(async move {
            match tokio::time::timeout(TIMEOUT, take(&edge, &key, stream)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("an order was not answered: {error:#}"),
                Err(_) => tracing::warn!("an order took too long"),
            }
        });
    }
}

async fn take(edge: &Arc<Edge>, key: &str, stream: TcpStream) -> Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reading.take(LONGEST)).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<Envelope>(&line) {
        Ok(envelope) if envelope.key == key => match carry_out(edge, envelope.order).await {
            Ok(answer) => json!({ "ok": answer }),
            Err(error) => json!({ "error": format!("{error:#}") }),
        },
        Ok(_) => json!({ "error": "that is not the key of this edge" }),
        Err(error) => json!({ "error": format!("the order cannot be read: {error}") }),
    };
    writing.write_all(format!("{answer}\n").as_bytes()).await?;
    Ok(())
}

async fn carry_out(edge: &Arc<Edge>, order: Order) -> Result<Value> {
    match order {
        Order::Status { services } => {
            for service in services {
                edge.front(&service).await?;
            }
            let state = edge.state();
            let deployments: Vec<Value> = state.deployments.iter().map(Deployment::told).collect();
            Ok(json!({ "ports": state.ports, "deployments": deployments }))
        }
        Order::Begin(spec) => Ok(json!({ "id": edge.begin(*spec, true).await? })),
        Order::RollBack(id) => Ok(json!({ "id": edge.begin(edge.find(&id)?.spec, false).await? })),
        Order::Stop(id) => edge.cancel(&id).await.map(|()| json!({})),
        Order::Answers { service, from, until } => {
            let (all, bad) = edge.front(&service).await?.answers(seconds_of(&from)?, seconds_of(&until)?);
            Ok(json!({ "all": all, "bad": bad }))
        }
    }
}

/// Gives the edge of that folder an order; its answer.
pub async fn ask(folder: &Path, order: &Order) -> Result<Value> {
    let path = file(folder);
    let text = std::fs::read_to_string(&path).with_context(|| format!("no edge serves in {}", folder.display()))?;
    let entrance: Entrance = serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let order = serde_json::to_value(order)?;
    let envelope = json!({ "key": entrance.key, "order": order });
    let asked = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, entrance.port)).await.context("the edge is not there")?;
        let (reading, mut writing) = stream.into_split();
        writing.write_all(format!("{envelope}\n").as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(reading).read_line(&mut line).await?;
        let mut answer: Value = serde_json::from_str(&line).context("the edge gives no answer")?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer["ok"].take()),
        }
    };
    tokio::time::timeout(TIMEOUT, asked).await.context("the edge does not answer")?
}
