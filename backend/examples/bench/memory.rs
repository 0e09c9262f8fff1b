//! What the service takes in memory, also under those who want it to take much.

use anyhow::Result;
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::load::Client;
use crate::servers::Thunder;

/// One figure.
#[derive(Debug, Serialize)]
pub struct Memory {
    name: &'static str,
    megabytes: f64,
    /// The most that is promised.
    promised: Option<f64>,
}

impl Memory {
    pub fn line(&self) -> String {
        let promised = self.promised.map(|most| format!(" (promised: at most {most:.0})")).unwrap_or_default();
        format!("memory, {}: {:.1} MB{promised}", self.name, self.megabytes)
    }
}

pub fn figure(name: &'static str, megabytes: f64, promised: Option<f64>) -> Memory {
    Memory { name, megabytes, promised }
}

/// Eight thousand clients that have asked once and stay.
pub async fn idle_connections(thunder: &Thunder) -> Result<Memory> {
    let mut clients = Vec::new();
    for _ in 0..8000 {
        let mut client = Client::connect(thunder.port).await?;
        client.ask("GET /health/live HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
        clients.push(client);
    }
    Ok(figure("8,000 idle connections", thunder.memory()?, Some(150.0)))
}

/// Four hundred clients that send most of a body, and then wait.
pub async fn half_sent_bodies(thunder: &Thunder, token: &str) -> Result<Memory> {
    let head = format!(
        "POST /api/v1/programs HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 1000000\r\n\r\n"
    );
    let part = [head.as_bytes(), &vec![b' '; 900_000]].concat();
    let mut streams = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(("127.0.0.1", thunder.port)).await?;
        // What is refused is not read any more.
        let written = tokio::time::timeout(std::time::Duration::from_millis(200), stream.write_all(&part)).await;
        drop(written);
        streams.push(stream);
    }
    Ok(figure("400 half-sent bodies of 1 MB, after that", thunder.memory()?, Some(200.0)))
}
