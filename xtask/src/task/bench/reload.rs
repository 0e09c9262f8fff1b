//! How long an edit takes to be live, beside a bare build and start of the same edit; and whether clients notice.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::load::Load;
use super::sample::{Ratio, Sample};
use super::{Figure, Run};

use crate::file;
use crate::interrupt::CancelToken;
use crate::process::Record;
use crate::product::setting::{HARMLESS, PORT};
use crate::product::{BINARY, DATABASE, HANDLER, HEALTH_PATH, PACKAGE, SLUG};
use crate::runner::{Launch, read_well};
use crate::settings::Settings;
use crate::stack::environment;
use crate::stack::folder::StackFolder;
use crate::stack::service::Service;
use crate::stack::state::State;
use crate::stack::watch::report::WatchReport;
use crate::step::Step;
use crate::tool::{backend, cargo, git};
use crate::wait;

/// How long one edit may take at all.
const RELOAD_TIMEOUT: Duration = Duration::from_mins(2);
/// How often the server is asked whether it is the new one: what is asked for takes its time from the compiler.
const POLL_INTERVAL: Duration = Duration::from_millis(15);
/// How many servers replace each other under load.
const RELOADS: u32 = 200;

/// What is measured.
pub const WHAT: &str = "an edit; what comes before it compiles everything and does not count";

/// Each edit is paired with a bare build and start.
pub fn on_the_host(run: &Run<'_>) -> Result<Vec<Figure>> {
    let host = Copy::make(run, "host")?;
    host.up("host")?;
    let bare = Copy::make(run, "bare")?;
    let server = host.server()?;
    let (mut live, mut by_hand) = (Vec::new(), Vec::new());
    for number in 0..=u32::from(run.runs) {
        run.context.interrupt.check()?;
        let pair = (host.edit(number)?, bare.build_and_start(number, &server)?);
        // The first pair warms the caches.
        if number > 0 {
            live.push(pair.0);
            by_hand.push(pair.1);
        }
    }
    let mut figures = vec![Figure {
        name: "an edit of a handler, until it answers",
        unit: "s",
        sample: Sample::of(&live),
        limit: Some(2.0),
        by_hand: Some(Sample::of(&by_hand)),
        ratio: Some(Ratio::of(&live, &by_hand)),
    }];
    figures.extend(host.under_load()?);
    Ok(figures)
}

/// Each edit in a container is paired with the same edit on the host.
pub fn in_containers(run: &Run<'_>) -> Result<Vec<Figure>> {
    let host = Copy::make(run, "host")?;
    host.up("host")?;
    let contained = Copy::make(run, "container")?;
    contained.up("docker")?;
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for number in 0..=u32::from(run.runs) {
        run.context.interrupt.check()?;
        let pair = (contained.edit(number)?, host.edit(number)?);
        if number > 0 {
            inside.push(pair.0);
            outside.push(pair.1);
        }
    }
    Ok(vec![Figure {
        name: "an edit in the container, beside one on the host",
        unit: "s",
        sample: Sample::of(&inside),
        limit: None,
        by_hand: Some(Sample::of(&outside)),
        ratio: Some(Ratio::of(&inside, &outside)),
    }])
}

/// A copy of the checkout, whose files may be edited, with a stack of its own.
struct Copy<'a> {
    run: &'a Run<'a>,
    root: PathBuf,
    /// Its own, because cargo takes two copies of a workspace for the same one; kept between runs.
    target: PathBuf,
    handler: String,
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        drop(self.run.context.runner.without_cancel().read(&self.xtask(&["clean", "--yes"])));
    }
}

impl<'a> Copy<'a> {
    fn make(run: &'a Run<'a>, name: &str) -> Result<Self> {
        let project = run.context.project.root();
        let bench = project.join("target").join("bench");
        let (root, target) = (bench.join(name), bench.join(format!("{name}-target")));
        copy_checkout(run, project, &root)?;
        file::create(&target.join("debug"))?;
        // It looks for the backend beside itself.
        let xtask = target.join("debug/xtask");
        file::remove(&xtask)?;
        std::fs::copy(&run.xtask, &xtask).with_context(|| format!("cannot copy xtask to {}", xtask.display()))?;
        let handler = std::fs::read_to_string(root.join(HANDLER.0))?;
        ensure!(handler.contains(HANDLER.1), "{} has no {}", HANDLER.0, HANDLER.1);
        Ok(Self { run, root, target, handler })
    }

    fn xtask(&self, words: &[&str]) -> Step {
        Step::new(format!("run {}", words.join(" ")), self.target.join("debug/xtask"))
            .args(words.iter().copied())
            .env("CARGO_MANIFEST_DIR", self.root.join("xtask"))
            .env("CARGO_TARGET_DIR", &self.target)
            .folder(&self.root)
    }

    fn up(&self, engine: &str) -> Result<()> {
        read_well(&*self.run.context.runner, &self.xtask(&["up", "--engine", engine, "--timeout", "600"])).map(drop)
    }

    fn state(&self) -> Result<State> {
        State::load(&StackFolder::at(self.root.join(".stack"), None, SLUG))?.context("the stack has no state")
    }

    /// Writes the handler's file so that it answers this.
    fn write(&self, version: &str) -> Result<()> {
        let text = self.handler.replace(HANDLER.1, &format!("{version:?}"));
        std::fs::write(self.root.join(HANDLER.0), text).context("cannot edit the copy")
    }

    /// Seconds from an edit to the first answer that shows it.
    fn edit(&self, number: u32) -> Result<f64> {
        let (version, port) = (format!("0.0.{number}"), self.state()?.ports.of(Service::Backend));
        let begun = Instant::now();
        self.write(&version)?;
        until_it_answers(port, &version)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// What a server needs that is started by hand, beside the one of the stack.
    fn server(&self) -> Result<Vec<backend::Variable>> {
        let settings = Settings::parse(&std::fs::read_to_string(self.root.join(".env.docker"))?)?;
        let mut ports = self.state()?.ports;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        ports.set(Service::Backend, free);
        environment::of_backend(&settings, &ports, DATABASE)
    }

    /// Seconds of a build of the same edit and of the start of what it made, until that answers.
    fn build_and_start(&self, number: u32, environment: &[backend::Variable]) -> Result<f64> {
        let version = format!("0.0.{number}");
        let port = environment.iter().find(|variable| variable.name == PORT).context("no port")?.value.parse()?;
        let context = self.run.context;
        let begun = Instant::now();
        self.write(&version)?;
        let build = cargo::build(&self.root, PACKAGE, false).env("CARGO_TARGET_DIR", &self.target);
        context.runner.run(&build, &CancelToken::on(&context.interrupt), &|_, _| ())?;
        let (record, log) = (self.run.folder.path().join("bare.json"), Some(self.run.folder.path().join("bare.log")));
        let step = backend::serve(&self.target.join("debug").join(BINARY), environment, &self.root);
        let child = context.runner.start(&Launch { step, record: record.clone(), log, socket: None })?;
        let answered = until_it_answers(port, &version);
        let seconds = begun.elapsed().as_secs_f64();
        if let Some(record) = Record::load(&record) {
            record.signal("TERM")?;
        }
        child.wait()?;
        answered.map(|()| seconds)
    }

    /// Servers that replace each other while clients ask without a pause.
    fn under_load(&self) -> Result<[Figure; 2]> {
        self.run.say("200 reloads under load");
        let settings = std::fs::read_to_string(self.root.join(".env.docker"))?;
        let report = self.root.join(".stack/run/watch.json");
        let reloads = || WatchReport::load(&report).map_or(0, |report| report.reloads);
        let begun = Instant::now();
        let load = Load::on(self.state()?.ports.of(Service::Backend));
        let before = reloads();
        for number in 1..=RELOADS {
            self.run.context.interrupt.check()?;
            let (name, values) = HARMLESS;
            let line = |value: &str| format!("{name}={value}");
            let value = if number % 2 == 0 { values[0] } else { values[1] };
            std::fs::write(self.root.join(".env.docker"), settings.replace(&line(values[0]), &line(value)))?;
            until("the new server serves", || reloads() >= before + number)?;
            let answers = load.answers();
            until("a client has its answer", || load.answers() > answers)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let (answers, failures) = load.end();
        for failure in failures.iter().take(5) {
            self.run.context.terminal.warn(failure);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let (answers, failures) = (answers as f64, failures.len() as f64);
        Ok([
            Figure::of("requests that failed during 200 reloads", "requests", &[failures], Some(0.0)),
            Figure::of("requests that were answered meanwhile", "/s", &[answers / seconds], None),
        ])
    }
}

/// The files of the checkout that git knows or would, as they are now. What is the same stays, so that it is not
/// compiled again.
fn copy_checkout(run: &Run<'_>, from: &Path, to: &Path) -> Result<()> {
    let listed = read_well(&*run.context.runner, &git::files(from))?;
    let files: BTreeSet<PathBuf> = listed.lines().map(PathBuf::from).filter(|path| from.join(path).is_file()).collect();
    for path in &files {
        let (text, place) = (std::fs::read(from.join(path))?, to.join(path));
        if std::fs::read(&place).is_ok_and(|there| there == text) {
            continue;
        }
        file::create(place.parent().unwrap_or(to))?;
        std::fs::write(&place, text).with_context(|| format!("cannot write {}", place.display()))?;
    }
    remove_others(to, to, &files)
}

fn remove_others(root: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        let relative = path.strip_prefix(root).unwrap_or(&path);
        if entry.file_type()?.is_dir() && relative != Path::new(".stack") {
            remove_others(root, &path, files)?;
        } else if entry.file_type()?.is_file() && !files.contains(relative) && relative != Path::new(".env.docker") {
            file::remove(&path)?;
        }
    }
    Ok(())
}

fn until_it_answers(port: u16, version: &str) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    until("the edit answers", || backend::health(address, HEALTH_PATH).is_ok_and(|health| health.version == version))
}

fn until(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !is_so() {
        ensure!(begun.elapsed() < RELOAD_TIMEOUT, "waited in vain until {what}");
        wait::pause(POLL_INTERVAL);
    }
    Ok(())
}
