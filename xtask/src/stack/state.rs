//! What a stack is: its engine, its ports, its servers and which of its services should run.
//!
//! It is kept in two files, so that one that is removed or spoilt loses nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::folder::StackFolder;
use super::ports::Ports;
use super::service::Service;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::plan::{Action, Write};

/// The form of the file; another number means another version of xtask wrote it.
const SCHEMA: u32 = 1;
/// It holds no secrets.
const MODE: u32 = 0o644;

/// What runs the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Processes of this machine.
    Host,
    /// Containers.
    Docker,
}

impl EngineKind {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Host => Self::Docker,
            Self::Docker => Self::Host,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Docker => f.write_str("docker"),
        }
    }
}

/// Where a server came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The machine's own.
    System,
    /// Fetched into the user's cache.
    Portable,
    /// In a container's image.
    Image,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Portable => "portable",
            Self::Image => "image",
        })
    }
}

/// A server that the stack uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its product, such as `PostgreSQL` or `Valkey`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Where it came from.
    pub source: Source,
    /// The folder with its programs, or the program itself.
    pub path: PathBuf,
}

/// What a stack is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    schema_version: u32,
    /// What runs it.
    pub engine: EngineKind,
    /// Which services should run.
    pub wanted: Vec<Service>,
    /// Where they listen; remembered when the stack is down.
    pub ports: Ports,
    /// What the settings asked for when the ports were chosen: an edit since then counts.
    #[serde(default)]
    pub asked: Option<Ports>,
    /// The servers that are processes of this machine.
    #[serde(default)]
    pub servers: BTreeMap<Service, Server>,
    /// Whether the backend is built and reloaded at each change.
    #[serde(default)]
    pub watch: bool,
    /// Whether its watcher looks at intervals.
    #[serde(default)]
    pub polls: bool,
    /// Why the last start failed, where it did; then what it had started was stopped.
    #[serde(default)]
    pub failure: Option<String>,
    /// What there is of it in containers.
    #[serde(default)]
    pub containers: Containers,
}

/// What there is of a stack in containers; it stays when the stack is down, until `clean`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containers {
    /// Whether there are any, or volumes of theirs.
    pub exist: bool,
    /// The production image that the backend runs from; none where it runs from source.
    pub production: Option<String>,
    /// How many backends.
    #[serde(default = "one")]
    pub replicas: u16,
    /// What the development image was built from, as a fingerprint.
    pub development: Option<String>,
    /// The production images that were built here.
    pub images: Vec<String>,
    /// Whom the backend's development container runs as, by number; none as long as it was never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

fn one() -> u16 {
    1
}

impl Default for Containers {
    fn default() -> Self {
        let (production, development, user) = (None, None, None);
        Self { exist: false, production, replicas: one(), development, images: Vec::new(), user }
    }
}

impl State {
    /// A stack that is down.
    pub fn new(engine: EngineKind, ports: Ports) -> Self {
        Self {
            schema_version: SCHEMA,
            engine,
            wanted: Vec::new(),
            ports,
            asked: None,
            servers: BTreeMap::new(),
            watch: false,
            polls: false,
            failure: None,
            containers: Containers::default(),
        }
    }

    /// From now on these should run, besides those that should already.
    pub fn want(&mut self, services: &[Service]) {
        self.wanted.extend_from_slice(services);
        self.wanted.sort();
        self.wanted.dedup();
    }

    /// What either of the files says; none when there is none.
    pub fn load(folder: &StackFolder) -> Result<Option<Self>> {
        match read(&folder.state()) {
            Ok(Some(state)) => Ok(Some(state)),
            first => match read(&folder.state_copy()) {
                Ok(Some(state)) => Ok(Some(state)),
                _ => first,
            },
        }
    }

    /// The same for a task that holds the lock: files that cannot be understood are set aside, which is told. What runs
    /// and what data there is can be found without them.
    pub fn load_or_set_aside(folder: &StackFolder, warn: &dyn Fn(String)) -> Result<Option<Self>> {
        let Err(error) = Self::load(folder) else { return Self::load(folder) };
        for path in [folder.state(), folder.state_copy()].into_iter().filter(|path| path.exists()) {
            let aside = path.with_extension("json.unreadable");
            std::fs::rename(&path, &aside).with_context(|| format!("cannot set {} aside", path.display()))?;
            warn(format!("{error:#}; it is now {}", aside.display()));
        }
        Ok(None)
    }

    /// The actions that write the files.
    pub fn write(&self, folder: &StackFolder) -> Result<[Action; 2]> {
        let text = self.text()?;
        let write = |path: PathBuf| Action::Write(Write { path, text: text.clone(), mode: MODE });
        Ok([write(folder.state_copy()), write(folder.state())])
    }

    /// Writes the files at once.
    pub fn store(&self, folder: &StackFolder) -> Result<()> {
        let text = self.text()?;
        file::write(&folder.state_copy(), text.as_bytes(), MODE)?;
        file::write(&folder.state(), text.as_bytes(), MODE)
    }

    fn text(&self) -> Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}

fn read(path: &Path) -> Result<Option<State>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let state: State = serde_json::from_slice(&bytes).map_err(|error| unreadable(path, &error.to_string()))?;
    if state.schema_version != SCHEMA {
        return Err(unreadable(path, "it was written by another version of xtask"));
    }
    Ok(Some(state))
}

fn unreadable(path: &Path, why: &str) -> anyhow::Error {
    Failure::new(Exit::Failed, format!("{} cannot be understood: {why}", path.display()))
        .hint("cargo xtask up, which sets the file aside and finds what runs and the data without it")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, StackFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = StackFolder::at(temporary.path().to_owned(), None, "x");
        (temporary, folder)
    }

    fn state() -> State {
        let mut state = State::new(EngineKind::Host, Ports::block(20_000));
        state.wanted = vec![Service::Redis];
        state
    }

    #[test]
    fn a_state_comes_back_as_it_was_written_from_either_file() {
        let (_temporary, folder) = folder();
        assert_eq!(State::load(&folder).unwrap(), None);
        state().store(&folder).unwrap();
        assert_eq!(State::load(&folder).unwrap(), Some(state()));
        std::fs::write(folder.state(), "{").unwrap();
        assert_eq!(State::load(&folder).unwrap(), Some(state()), "the file is spoilt");
        std::fs::remove_file(folder.state()).unwrap();
        assert_eq!(State::load(&folder).unwrap(), Some(state()), "the file is gone");
    }

    #[test]
    fn what_cannot_be_understood_costs_no_data() {
        let (_temporary, folder) = folder();
        std::fs::write(folder.state(), "{").unwrap();
        let error = State::load(&folder).unwrap_err();
        let hints = error.downcast_ref::<Failure>().unwrap().hints();
        assert!(hints.iter().all(|hint| !hint.contains("clean")), "{hints:?}");
        assert_eq!(State::load_or_set_aside(&folder, &|_| ()).unwrap(), None);
        assert_eq!(std::fs::read_to_string(folder.root().join("stack.json.unreadable")).unwrap(), "{");
        assert_eq!(State::load(&folder).unwrap(), None);
    }

    #[test]
    fn a_state_from_before_a_service_was_invented_is_read() {
        let (_temporary, folder) = folder();
        let text = r#"{"schema_version":1,"engine":"host","wanted":["redis"],"ports":{"redis":6379},
                       "postgres":null,"redis":null,"containers":{"exist":false,"production":null,"development":null,"images":[]}}"#;
        std::fs::write(folder.state(), text).unwrap();
        let state = State::load(&folder).unwrap().unwrap();
        assert_eq!(state.ports.of(Service::Redis), 6379);
        assert!(state.ports.of(Service::Postgres) > 0);
    }
}
