//! What a stack is: its engine, its ports, its servers and which of its services should run.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::thunder::{Ports, Service};
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
pub enum Engine {
    /// Processes of this machine.
    Host,
    /// Containers.
    Docker,
}

impl fmt::Display for Engine {
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
    pub engine: Engine,
    /// Which services should run.
    pub wanted: Vec<Service>,
    /// Where they listen; remembered when the stack is down.
    pub ports: Ports,
    /// The database server.
    pub postgres: Option<Server>,
    /// The cache server.
    pub redis: Option<Server>,
    /// Whether the backend is built and reloaded at each change.
    #[serde(default)]
    pub watch: bool,
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
}

fn one() -> u16 {
    1
}

impl Default for Containers {
    fn default() -> Self {
        Self { exist: false, production: None, replicas: one(), development: None, images: Vec::new() }
    }
}

impl State {
    /// A stack that is down.
    pub fn new(engine: Engine, ports: Ports) -> Self {
        Self {
            schema_version: SCHEMA,
            engine,
            wanted: Vec::new(),
            ports,
            postgres: None,
            redis: None,
            watch: false,
            containers: Containers::default(),
        }
    }

    /// From now on these should run, besides those that should already.
    pub fn want(&mut self, services: &[Service]) {
        self.wanted.extend_from_slice(services);
        self.wanted.sort();
        self.wanted.dedup();
    }

    /// What the file says; none when there is no file.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| unreadable(path, &error.to_string()))?;
        if state.schema_version != SCHEMA {
            return Err(unreadable(path, "it was written by another version of xtask"));
        }
        Ok(Some(state))
    }

    /// The action that writes the file.
    pub fn write(&self, path: &Path) -> Result<Action> {
        Ok(Action::Write(Write { path: path.to_owned(), text: self.text()?, mode: MODE }))
    }

    /// Writes the file at once.
    pub fn store(&self, path: &Path) -> Result<()> {
        file::write(path, self.text()?.as_bytes(), MODE)
    }

    fn text(&self) -> Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }
}

fn unreadable(path: &Path, why: &str) -> anyhow::Error {
    Failure::new(Exit::Failed, format!("{} cannot be understood: {why}", path.display()))
        .hint("cargo xtask clean, which removes the stack and its data")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was_written() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let path = folder.path().join("stack.json");
        assert_eq!(State::load(&path).unwrap(), None);
        let mut state = State::new(Engine::Host, Ports::block(20_000));
        state.wanted = vec![Service::Redis];
        let Action::Write(file) = state.write(&path).unwrap() else { panic!("a write") };
        std::fs::write(&path, file.text).unwrap();
        assert_eq!(State::load(&path).unwrap(), Some(state));
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_with_a_way_out() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let path = folder.path().join("stack.json");
        std::fs::write(&path, "{").unwrap();
        let error = State::load(&path).unwrap_err();
        assert!(error.downcast_ref::<Failure>().unwrap().hints()[0].starts_with("cargo xtask clean"));
    }
}
