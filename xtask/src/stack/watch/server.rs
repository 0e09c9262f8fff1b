//! One server: started on the socket that the watcher holds, ready when it says so, asked to stop when the next one is.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Message;
use super::files::Files;
use crate::file;
use crate::process::Record;
use crate::runner::{Launch, Runner};

use crate::tool::backend::{self, Variable};
use crate::wait;

/// How often a process is looked at that is not our child.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A server that was started and has not ended.
pub struct Server {
    /// Which one.
    pub number: u32,
    /// Until when it has to do what it was asked to do last: be ready, or end.
    pub deadline: Option<Instant>,
    /// When it was started.
    pub since: Instant,
    record: PathBuf,
    notices: Option<PathBuf>,
}

impl Server {
    /// Starts one. It tells the channel when it is ready and when it has ended.
    pub fn start(
        number: u32,
        files: &Files,
        environment: &[Variable],
        folder: &Path,
        socket: &Arc<TcpListener>,
        runner: &dyn Runner,
        sender: &Sender<Message>,
    ) -> Result<Self> {
        let notices = files.notices(number);
        file::remove(&notices)?;
        listen_for_notices(&notices, number, sender)?;
        let step = backend::serve(&files.binary(), environment, folder).env("NOTIFY_SOCKET", &notices);
        let record = files.server(number);
        let launch = Launch { step, record: record.clone(), log: None, socket: Some(Arc::clone(socket)) };
        let child = runner.start(&launch)?;
        let sender = sender.clone();
        std::thread::spawn(move || {
            let how = child.wait().unwrap_or_else(|error| format!("{error:#}"));
            drop(sender.send(Message::Ended(number, how)));
        });
        Ok(Self { number, deadline: None, since: Instant::now(), record, notices: Some(notices) })
    }

    /// One that an earlier watcher has started, which is no more.
    pub fn adopt(number: u32, files: &Files, sender: &Sender<Message>) -> Option<Self> {
        let record = Record::load(&files.current()).filter(Record::is_running)?;
        let path = files.server(number);
        file::write(&path, serde_json::to_string(&record).ok()?.as_bytes(), 0o644).ok()?;
        let sender = sender.clone();
        std::thread::spawn(move || {
            while record.is_running() {
                wait::pause(POLL_INTERVAL);
            }
            drop(sender.send(Message::Ended(number, "an unknown exit code".to_owned())));
        });
        Some(Self { number, deadline: None, since: Instant::now(), record: path, notices: None })
    }

    /// Which process it is.
    pub fn record(&self) -> Option<Record> {
        Record::load(&self.record)
    }

    /// Sends it a signal, and remembers until when it has to end.
    pub fn signal(&mut self, signal: &str, timeout: Duration) {
        self.deadline = Some(Instant::now() + timeout);
        if let Some(record) = self.record() {
            // One that is gone is what was wanted.
            drop(record.signal(signal));
        }
    }

    /// Removes what tells of it, once it has ended.
    pub fn forget(&self) -> Result<()> {
        if let Some(notices) = &self.notices {
            file::remove(notices)?;
        }
        file::remove(&self.record)
    }
}

/// Tells the channel when the server says `READY=1`, by the protocol of `sd_notify(3)`.
#[cfg(unix)]
fn listen_for_notices(path: &Path, number: u32, sender: &Sender<Message>) -> Result<()> {
    use anyhow::Context as _;
    use std::os::unix::net::UnixDatagram;

    let socket = UnixDatagram::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    // A server that ends without a word takes its file along, and with it the reason to go on listening.
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (sender, path) = (sender.clone(), path.to_owned());
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while path.exists() {
            let Ok(length) = socket.recv(&mut bytes) else { continue };
            if bytes[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                drop(sender.send(Message::Ready(number)));
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn listen_for_notices(_: &Path, _: u32, _: &Sender<Message>) -> Result<()> {
    anyhow::bail!("servers are not started on this system")
}
