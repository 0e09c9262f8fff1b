//! Processes of this stack that no record tells of: somebody removed its folder while it ran.

use std::path::Path;

use anyhow::Result;

use super::{Host, stray_stop};
use crate::process::{self, Record};
use crate::product::BINARY;
use crate::stack::service::Service;
use crate::supervise;
use crate::tool::backend::SERVE;

/// The programs that a stack runs, as the system names them, and the service that each is.
const PROGRAMS: [(&str, Option<Service>); 6] = [
    ("postgres", Some(Service::Postgres)),
    ("redis-server", Some(Service::Redis)),
    ("valkey-server", Some(Service::Redis)),
    ("node", Some(Service::Mail)),
    (BINARY, Some(Service::Backend)),
    ("xtask", None),
];

impl Host<'_> {
    /// The processes of this stack that no record tells of, with their names; none where the system does not show them.
    pub fn orphans(&self) -> Vec<(String, u32)> {
        let recorded = self.recorded();
        let known = |service: Option<Service>| service.is_some_and(|service| self.is_running(service));
        let mut found = Vec::new();
        for (pid, name) in process::named(&PROGRAMS.map(|(name, _)| name)) {
            let service = PROGRAMS.iter().find(|(program, _)| *program == name).and_then(|(_, service)| *service);
            // The children of a recorded server work in its folder as well.
            let is_known = known(service) && service != Some(Service::Backend);
            if !is_known && !recorded.contains(&pid) && self.belongs_here(pid, &name) {
                found.push((name, pid));
            }
        }
        found
    }

    /// Whether a process is one of this stack: by the folder that it works in, the program that it runs, or what a
    /// watcher was told.
    fn belongs_here(&self, pid: u32, name: &str) -> bool {
        let is_inside = |path: &Path| path.starts_with(self.folder.root()) || path.starts_with(self.folder.postgres());
        if name == "xtask" {
            let words = process::words(pid);
            let folder = self.folder.watch().folder().to_owned();
            return words.windows(2).any(|pair| pair[0] == "--folder" && Path::new(&pair[1]) == folder);
        }
        // A watcher's migration is no server: it ends by itself, and an end from outside would cut it in half.
        if name == BINARY && !process::words(pid).iter().any(|word| word == SERVE) {
            return false;
        }
        [process::working_folder(pid), process::program(pid)].iter().flatten().any(|path| is_inside(path))
    }

    fn recorded(&self) -> Vec<u32> {
        let files = self.folder.watch();
        let servers = std::fs::read_dir(files.servers()).into_iter().flatten().flatten().map(|entry| entry.path());
        let records = Service::ALL.into_iter().map(|service| self.folder.record(service));
        let records = records.chain([files.watcher(), files.current()]).chain(servers);
        records.filter_map(|path| Record::load(&path)).filter(Record::is_running).map(|record| record.pid).collect()
    }

    /// Ends them, so that what is started now finds its ports and its data free.
    pub(super) fn settle_orphans(&self) -> Result<()> {
        let orphans = self.orphans();
        // The watcher first: it would start its server again.
        for (name, pid) in orphans.iter().rev() {
            let Some(record) = Record::of(*pid) else { continue };
            (self.warn())(format!("ending {name} (process {pid}), which no record of this stack tells of any more"));
            let place = self.folder.run().join("stray.json");
            crate::file::write(&place, serde_json::to_string(&record)?.as_bytes(), 0o644)?;
            supervise::stop(&stray_stop(name, place), &self.warn())?;
        }
        Ok(())
    }
}
