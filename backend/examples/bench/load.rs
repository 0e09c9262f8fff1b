//! A number of clients, each with a connection of its own, that ask again as soon as they have their answer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    pub port: u16,
    /// Its process.
    pub id: u32,
}

/// What a load has shown.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Answers in a second.
    pub rate: f64,
    /// How long an answer took at most in half of the cases, in milliseconds.
    pub p50: f64,
    /// The same in 99 of 100.
    pub p99: f64,
    /// The processor time that the server took for an answer, in microseconds: what else runs on the machine changes it
    /// less than the rate.
    pub cpu: f64,
}

/// Sends this request on so many connections for so long. Any other answer than success ends it.
pub async fn measure(server: Server, request: &str, connections: usize, seconds: f64) -> Result<Measured> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut client = Client::connect(server.port).await?;
        // Whatever is done once is done before the clock runs.
        client.ask(request).await?;
        clients.push(client);
    }
    let processor_time = process::processor_time(server.id)?;
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(seconds);
    let tasks = clients.into_iter().map(|client| tokio::spawn(ask_until(client, request.to_owned(), until)));
    let tasks: Vec<_> = tasks.collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let processor_time = process::processor_time(server.id)? - processor_time;
    latencies.sort_unstable();
    let at = |share: usize| latencies.get(latencies.len() * share / 100).map_or(f64::NAN, Duration::as_secs_f64);
    #[expect(clippy::cast_precision_loss, reason = "a count of answers is far below 2⁵³")]
    let count = latencies.len() as f64;
    let (rate, cpu) = (count / elapsed, processor_time / count * 1e6);
    Ok(Measured { rate, p50: at(50) * 1e3, p99: at(99) * 1e3, cpu })
}

async fn ask_until(mut client: Client, request: String, until: Instant) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        client.ask(&request).await?;
        latencies.push(asked.elapsed());
    }
    Ok(latencies)
}

/// A connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Sends a request and reads its answer, whose length it says.
    pub async fn ask(&mut self, request: &str) -> Result<()> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection ended");
            }
            if let Some(end) = self.end_of_answer()? {
                ensure!(self.buffer.len() == end, "more was answered than was asked");
                return Ok(());
            }
        }
    }

    fn end_of_answer(&self) -> Result<Option<usize>> {
        let Some(head) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        ensure!(text.starts_with("HTTP/1.1 2"), "{}", text.lines().next().unwrap_or_default());
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
        let end = head + 4 + length.parse::<usize>()?;
        Ok((self.buffer.len() >= end).then_some(end))
    }
}
