//! The backend's watcher, among the processes of the stack.

use anyhow::{Context as _, Result};

use super::{Host, Request};
use crate::launch;
use crate::plan;
use crate::process::Record;
use crate::stack::host::lanes;
use crate::stack::report::Watch;
use crate::stack::thunder::Service;
use crate::stack::watch::report::WatchReport;
use crate::step::Step;
use crate::tool::cargo;

impl Host<'_> {
    /// Whether the watcher runs.
    pub fn is_watched(&self) -> bool {
        Record::load(&self.folder.watch().watcher()).is_some_and(|record| record.is_running())
    }

    /// Whether anything of a service runs, be it only the watcher.
    pub(super) fn is_there(&self, service: Service) -> bool {
        self.is_running(service) || (service == Service::Backend && self.is_watched())
    }

    /// Whether the backend is to have a watcher: as was asked for, else as it is, else yes.
    pub(super) fn is_to_be_watched(&self, request: &Request) -> bool {
        let now = self.state.as_ref().filter(|_| self.is_there(Service::Backend)).map(|state| state.watch);
        request.watch.or(now).unwrap_or(true)
    }

    /// What is to be seen of the watcher; none where there should be none.
    pub(super) fn see_watch(&self) -> Option<Watch> {
        let running = self.is_watched();
        let should = self.state.as_ref().is_some_and(|state| state.watch && state.wanted.contains(&Service::Backend));
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
        let warn = |text: String| self.context.terminal.warn(text);
        let stop = lanes::stop(&self.folder, Service::Backend, self.shutdown_timeout());
        plan::stop_each(&plan::Stop { record: files.servers(), ..stop }, &|record| record == current.as_ref(), &warn)
    }

    /// What watches and serves the backend.
    pub(super) fn watcher(&self, request: &Request) -> Result<Step> {
        let ourselves = std::env::current_exe().context("cannot tell where xtask itself is")?;
        let root = self.context.project.root();
        let step = Step::new("start the backend with its watcher", ourselves)
            .args(["--color", "always", "watch-backend", "--prepared", "--folder"])
            .arg(self.folder.watch().folder())
            .env("CARGO", cargo::program())
            .env("CARGO_MANIFEST_DIR", root.join("xtask"))
            .folder(root);
        Ok(if request.polls { step.arg("--poll") } else { step })
    }
}
