//! The backend's watcher, among the processes of the stack.

use anyhow::{Context as _, Result};

use super::{Host, stop};
use crate::process::Record;
use crate::runner::launch;
use crate::stack::foundation;
use crate::stack::report::Watch;
use crate::stack::service::Service;
use crate::stack::state::State;
use crate::stack::watch::report::WatchReport;
use crate::step::Step;
use crate::supervise;
use crate::tool::cargo;

impl Host<'_> {
    /// Whether the watcher runs.
    pub fn is_watched(&self) -> bool {
        Record::load(&self.folder.watch().watcher()).is_some_and(|record| record.is_running())
    }

    /// Whether anything of a service runs, be it only the watcher.
    pub fn is_there(&self, service: Service) -> bool {
        self.is_running(service) || (service.is_built() && self.is_watched())
    }

    /// What is to be seen of the watcher; none where there should be none.
    pub(super) fn see_watch(&self, state: Option<&State>) -> Option<Watch> {
        let running = self.is_watched();
        let should = state.is_some_and(|state| state.watch && state.wanted.contains(&Service::Backend));
        let says = running.then(|| WatchReport::load(&self.folder.watch().report())).flatten();
        (running || should).then_some(Watch { running, says })
    }

    /// Brings in order what a watcher left that was killed: of its servers only the one that serves goes on.
    pub(super) fn settle_watch(&self) -> Result<()> {
        let files = self.folder.watch();
        launch::cancel(&files.watcher())?;
        if self.is_watched() {
            return Ok(());
        }
        let current = Record::load(&files.current()).filter(Record::is_running);
        let stop = stop::of(&self.folder, Service::Backend, foundation::shutdown_timeout_of(self.context));
        let is_spared = |record: Option<&Record>| record == current.as_ref();
        supervise::stop_each(&supervise::Stop { record: files.servers(), ..stop }, &is_spared, &self.warn())
    }

    /// What watches and serves the backend.
    pub(super) fn watcher(&self, polls: bool) -> Result<Step> {
        let ourselves = std::env::current_exe().context("cannot tell where xtask itself is")?;
        let root = self.context.project.root();
        let step = Step::new("start the backend with its watcher", ourselves)
            .args(["--color", "always", "watch-backend", "--prepared", "--folder"])
            .arg(self.folder.watch().folder())
            .env("CARGO", cargo::program())
            .env("CARGO_MANIFEST_DIR", root.join("xtask"))
            .folder(root);
        Ok(if polls { step.arg("--poll") } else { step })
    }
}
