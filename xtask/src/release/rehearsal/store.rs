//! What a platform remembers of an environment besides its deployments: shared variables, and settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::file;
use crate::interrupt::CancelToken;
use crate::lock::Lock;
use crate::wait::{self, Poll, Waited};

/// How long others may hold the file: they write it once.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The file that it stands in.
pub struct Store {
    path: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    shared: BTreeMap<String, String>,
    /// By service.
    settings: BTreeMap<String, Value>,
    #[serde(default)]
    staged: Value,
}

impl Store {
    /// In that folder.
    pub fn of(folder: &Path) -> Self {
        Self { path: folder.join("environment.json") }
    }

    fn load(&self) -> Result<Content> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} cannot be read", self.path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Content::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.path.display())),
        }
    }

    /// Changes it while nobody else does.
    fn change(&self, change: impl FnOnce(&mut Content)) -> Result<()> {
        let lock = self.path.with_extension("lock");
        let waited = wait::until(TIMEOUT, &CancelToken::never(), || {
            Ok(Lock::attempt(&lock)?.map_or_else(|| Poll::Pending(String::new()), Poll::Ready))
        })?;
        let Waited::Done(_lock) = waited else { bail!("somebody holds {}", lock.display()) };
        let mut content = self.load()?;
        change(&mut content);
        file::write(&self.path, serde_json::to_string_pretty(&content)?.as_bytes(), 0o600)
    }

    /// A shared variable.
    pub fn shared(&self, name: &str) -> Result<Option<String>> {
        Ok(self.load()?.shared.remove(name))
    }

    /// Sets a shared variable.
    pub fn set_shared(&self, name: &str, value: &str) -> Result<()> {
        self.change(|content| drop(content.shared.insert(name.to_owned(), value.to_owned())))
    }

    /// The settings of a service.
    pub fn settings(&self, service: &str) -> Result<Value> {
        Ok(self.load()?.settings.remove(service).unwrap_or_else(|| json!({})))
    }

    /// What is staged.
    pub fn staged(&self) -> Result<Value> {
        let staged = self.load()?.staged;
        Ok(if staged.is_null() { json!({}) } else { staged })
    }

    /// Stages a patch in the place of what was staged.
    pub fn stage(&self, patch: &Value) -> Result<()> {
        self.change(|content| content.staged = patch.clone())
    }

    /// Applies what is staged.
    pub fn commit(&self) -> Result<()> {
        self.change(|content| {
            let staged = content.staged.take();
            for (service, sections) in staged["services"].as_object().into_iter().flatten() {
                merge(content.settings.entry(service.clone()).or_insert_with(|| json!({})), sections);
            }
        })
    }
}

/// Puts every value of a patch in its place.
fn merge(into: &mut Value, patch: &Value) {
    let Some(entries) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in entries {
        merge(&mut into[key.as_str()], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_staged_is_applied_to_what_was_there() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let store = Store::of(folder.path());
        assert_eq!((store.settings("api").unwrap(), store.staged().unwrap()), (json!({}), json!({})));
        store.stage(&json!({ "services": { "api": { "deploy": { "a": 1, "b": ["x"] } } } })).unwrap();
        assert_eq!(store.settings("api").unwrap(), json!({}), "staged is not applied");
        store.commit().unwrap();
        store.stage(&json!({ "services": { "api": { "deploy": { "a": 2 } } } })).unwrap();
        store.commit().unwrap();
        assert_eq!(store.settings("api").unwrap(), json!({ "deploy": { "a": 2, "b": ["x"] } }));
        assert_eq!(store.staged().unwrap(), json!({}));
        store.set_shared("NAME", "value").unwrap();
        assert_eq!(store.shared("NAME").unwrap().as_deref(), Some("value"));
        assert_eq!(store.shared("OTHER").unwrap(), None);
    }
}
