//! What there is of a stack in files, and what removes it.

use std::path::PathBuf;

use anyhow::Result;

use super::Host;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::lock::Lock;
use crate::plan::{Action, Plan};
use crate::process;

impl Host<'_> {
    /// Everything of this stack that is there, which is what `clean` removes.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let root = self.folder.root();
        if std::fs::symlink_metadata(root).is_ok_and(|found| found.is_symlink()) {
            let what = format!("{} is a link, which this project did not make", root.display());
            return Err(Failure::new(Exit::Refused, what).hint(format!("rm {}", root.display())).into());
        }
        Ok(self.folder.everything().into_iter().filter(|path| std::fs::symlink_metadata(path).is_ok()).collect())
    }

    /// What removes them.
    pub fn removal(&self, files: &[PathBuf]) -> Plan {
        let mut actions = Vec::new();
        if !process::working_in(self.folder.postgres()).is_empty() {
            actions.push(Action::Vacate(self.folder.postgres().to_owned()));
        }
        for path in files {
            if path == self.folder.postgres() {
                let removed = self.folder.postgres_removed();
                actions.extend([Action::Rename(path.clone(), removed.clone()), Action::Remove(removed)]);
            } else {
                actions.push(Action::Remove(path.clone()));
            }
        }
        Plan::of("clean", actions, "removed")
    }

    /// Removes the folder itself, now that it is empty; what else lies in it stays and is given back.
    pub fn remove_folder(&self, lock: &Lock) -> Result<Vec<PathBuf>> {
        self.folder.remove_shared_parent();
        lock.remove_file()?;
        let root = self.folder.root();
        file::remove_drafts(root)?;
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        let others: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        if others.is_empty() {
            file::remove(root)?;
        }
        Ok(others)
    }
}
