//! What the edge knows, in a file that only its owner can read: it holds the variables of every deployment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::deployment::{Deployment, Status};

/// How many deployments of a service are kept: as far back as one can go.
const KEPT: usize = 10;

/// What the edge knows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The port of each service on this machine.
    pub ports: BTreeMap<String, u16>,
    /// How many deployments there were.
    pub count: u64,
    /// The oldest first.
    pub deployments: Vec<Deployment>,
}

impl State {
    /// What the folder holds; nothing where it is new.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = file(folder);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} cannot be read", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes it down, whole or not at all.
    pub fn save(&self, folder: &Path) -> Result<()> {
        write_private(&file(folder), &serde_json::to_string_pretty(self)?)
    }

    /// A deployment.
    pub fn find(&self, id: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|one| one.id == id)
    }

    /// A deployment, to change it.
    pub fn find_mut(&mut self, id: &str) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|one| one.id == id)
    }

    /// The one of a service that serves.
    pub fn active(&self, service: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|one| one.spec.service == service && one.status == Status::Success)
    }

    /// Forgets the oldest that neither serve nor run.
    pub fn forget_old(&mut self, service: &str) -> Vec<Deployment> {
        let of_service = self.deployments.iter().filter(|one| one.spec.service == service).count();
        let mut left_over = of_service.saturating_sub(KEPT);
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for one in std::mem::take(&mut self.deployments) {
            let is_over = matches!(one.status, Status::Success | Status::Deploying);
            if left_over > 0 && one.spec.service == service && !is_over {
                left_over -= 1;
                gone.push(one);
            } else {
                kept.push(one);
            }
        }
        self.deployments = kept;
        gone
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("edge-state.json")
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        std::io::Write::write_all(&mut options.open(&draft)?, text.as_bytes())?;
        std::fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests::spec;
    use serde_json::json;

    #[test]
    fn the_oldest_are_forgotten_and_never_one_that_serves() {
        let mut state = State::default();
        for number in 0..KEPT + 3 {
            let mut one = Deployment::begun(format!("d{number}"), spec(&json!({})));
            one.status = if number == 0 { Status::Success } else { Status::Removed };
            state.deployments.push(one);
        }
        let gone: Vec<String> = state.forget_old("api").into_iter().map(|one| one.id).collect();
        assert_eq!(gone, ["d1", "d2", "d3"]);
        assert_eq!(state.active("api").unwrap().id, "d0");
        assert!(state.forget_old("api").is_empty() && state.forget_old("other").is_empty());
    }
}
