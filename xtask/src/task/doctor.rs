//! Everything that is needed: found or not, its version, the minimum, and the command that fixes it.

use anyhow::Result;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file::human_size;
use crate::product::{POSTGRES_MINIMUM, REDIS_MINIMUM};
use crate::release::INSTALL;
use crate::runner::Output;
use crate::settings::Settings;
use crate::stack::detect;
use crate::stack::folder::StackFolder;
use crate::stack::host;
use crate::stack::servers::{Found, Origin, Search};
use crate::stack::service::Service;
use crate::stack::state::Source;
use crate::stack::{Stack, foundation, owner, ports};
use crate::step::Step;
use crate::terminal::{BAD, FAINT, GOOD, NOTICE, Table};
use crate::tool::railway::{self, Railway};
use crate::tool::system::{self, Package, install_command};
use crate::tool::{cargo, git, postgres, version};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    /// Whether the stack could not start without it.
    required: bool,
    /// The version, or what was seen.
    found: Option<String>,
    /// The least version that will do.
    minimum: Option<String>,
    /// What fixes it, ready to be typed where it is a command.
    fix: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Works, but something is better done about it.
    Warning,
    Missing,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    ok: bool,
    checks: &'a [Check],
}

/// Prints what was found; exits with 3 if the stack could not start.
pub fn run(context: &Context, json: bool) -> Result<u8> {
    let checks = checks(context);
    let ok = checks.iter().all(|check| !check.is_in_the_way());
    if json {
        context.terminal.json(&Document { schema_version: 1, ok, checks: &checks })?;
    } else {
        print(context, &checks)?;
    }
    let missing: Vec<&str> = checks.iter().filter(|check| check.is_in_the_way()).map(|check| check.name).collect();
    if missing.is_empty() {
        return Ok(0);
    }
    let failure = Failure::new(Exit::Missing, format!("the stack cannot start: {}", missing.join(", ")));
    let fixes = checks.iter().filter(|check| check.is_in_the_way()).flat_map(|check| &check.fix);
    Err(fixes.fold(failure, |failure, fix| failure.hint(fix.clone())).into())
}

impl Check {
    fn new(name: &'static str, required: bool) -> Self {
        Self { name, status: Status::Missing, required, found: None, minimum: None, fix: Vec::new() }
    }

    fn is_in_the_way(&self) -> bool {
        self.required && self.status == Status::Missing
    }

    fn found(self, status: Status, found: impl Into<String>) -> Self {
        Self { status, found: Some(found.into()), ..self }
    }

    fn minimum(self, minimum: impl Into<String>) -> Self {
        Self { minimum: Some(minimum.into()), ..self }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        if self.status != Status::Ok {
            self.fix.push(fix.into());
        }
        self
    }
}

fn print(context: &Context, checks: &[Check]) -> Result<()> {
    let mut table = Table::default();
    for check in checks {
        let mark = match (check.status, check.required) {
            (Status::Ok, _) => format!("{GOOD}✓{GOOD:#}"),
            (Status::Missing, true) => format!("{BAD}✗{BAD:#}"),
            (Status::Warning | Status::Missing, _) => format!("{NOTICE}!{NOTICE:#}"),
        };
        let found = check.found.clone().unwrap_or_else(|| "not found".to_owned());
        let minimum = check
            .minimum
            .as_ref()
            .filter(|_| check.status != Status::Ok)
            .map(|minimum| format!("{FAINT}needs {minimum}{FAINT:#}"));
        table.row([mark, check.name.to_owned(), found, minimum.unwrap_or_default()]);
    }
    context.terminal.table(&table)?;
    for check in checks.iter().filter(|check| check.status != Status::Ok && !check.is_in_the_way()) {
        for fix in &check.fix {
            context.terminal.data(format!("{FAINT}{}: {fix}{FAINT:#}", check.name))?;
        }
    }
    Ok(())
}

fn checks(context: &Context) -> Vec<Check> {
    let mut checks = vec![rust(context), compiler(context), git(context), nextest(context)];
    if cfg!(unix) {
        let user = host::service_user();
        let folder = StackFolder::of(&context.project, user.as_ref().ok().and_then(Option::as_ref));
        checks.push(service_user(&user));
        let search = Search {
            project: &context.project,
            runner: &*context.runner,
            origin: Origin::Auto,
            user: user.as_ref().ok().and_then(Option::as_ref),
        };
        let data_major = postgres::data_major(&folder.postgres_data());
        let minimum = data_major.map_or_else(|| POSTGRES_MINIMUM.to_string(), |data| data.to_string());
        checks.push(server("PostgreSQL", &minimum, search.postgres(data_major)));
        checks.push(server("Redis", &REDIS_MINIMUM.to_string(), search.redis()));
        checks.push(disk(&folder));
    } else {
        let check = Check::new("host engine", true).found(Status::Missing, "runs on Linux and macOS only");
        checks.push(check.fix("run it inside of WSL 2").fix("or with Docker, once that engine is there"));
    }
    checks.push(docker(context));
    checks.push(railway(context));
    checks.push(settings(context));
    checks.extend(ports(context));
    checks
}

fn ask(context: &Context, step: &Step) -> Option<String> {
    context.runner.find(&step.program().to_string_lossy())?;
    let output = context.runner.read(step).ok().filter(Output::is_success)?;
    Some(output.stdout.lines().next().unwrap_or_default().trim().to_owned())
}

fn rust(context: &Context) -> Check {
    let minimum = env!("CARGO_PKG_RUST_VERSION");
    let check = Check::new("Rust", true).minimum(minimum);
    match ask(context, &cargo::rustc_version(context.project.root())).map(|line| version::word(&line).to_owned()) {
        Some(version) if version::numbers(&version) >= version::numbers(minimum) => check.found(Status::Ok, version),
        Some(version) => check.found(Status::Missing, version).fix("rustup update stable"),
        None => check.fix("https://rustup.rs"),
    }
}

/// Rust links with the C compiler, and the cryptography in the backend is partly C.
fn compiler(context: &Context) -> Check {
    let check = Check::new("C compiler", true);
    match ["cc", "gcc", "clang", "cl"].iter().find_map(|name| context.runner.find(name)) {
        Some(path) => check.found(Status::Ok, path.display().to_string()),
        None => check.fix(install_command(Package::Compiler)),
    }
}

fn git(context: &Context) -> Check {
    let check = Check::new("git", false);
    match ask(context, &git::version()) {
        Some(line) => check.found(Status::Ok, version::word(&line).to_owned()),
        None => check.fix(format!("{}, or the stack cannot say its commit", install_command(Package::Git))),
    }
}

fn nextest(context: &Context) -> Check {
    let check = Check::new("cargo-nextest", false);
    match ask(context, &cargo::nextest_version(context.project.root())) {
        Some(line) => check.found(Status::Ok, version::word(&line).to_owned()),
        None => check.fix("cargo install --locked cargo-nextest, or tests run with cargo test"),
    }
}

/// Only `deploy` and its kin need it.
fn railway(context: &Context) -> Check {
    let (major, minor) = railway::MINIMUM;
    let check = Check::new("Railway CLI", false).minimum(format!("{major}.{minor}"));
    let Some(program) = context.runner.find("railway") else {
        return check.fix(format!("{INSTALL}; only deploy needs it"));
    };
    let step = Railway::new(&program, |_| None).version();
    match context.runner.read(&step).and_then(|output| railway::parse_version(&output)) {
        Ok((version, numbers)) if numbers >= railway::MINIMUM => check.found(Status::Ok, version),
        Ok((version, _)) => check.found(Status::Missing, version).fix(INSTALL),
        Err(error) => check.found(Status::Missing, error.to_string()).fix(INSTALL),
    }
}

fn service_user(user: &Result<Option<crate::step::User>>) -> Check {
    let check = Check::new("PostgreSQL's user", true);
    match user {
        Ok(None) => check.found(Status::Ok, "you"),
        Ok(Some(user)) => check.found(Status::Ok, format!("{}, because you are root", user.name)),
        Err(error) => check.found(Status::Missing, error.to_string()).fix("useradd --system postgres"),
    }
}

fn server(name: &'static str, minimum: &str, found: Result<Found>) -> Check {
    let check = Check::new(name, true).minimum(minimum);
    match found {
        Ok(Found { server, fetch }) => {
            let origin = match (server.source, fetch.is_empty()) {
                (Source::Image, _) => "in an image".to_owned(),
                (Source::System, _) => format!("in {}", server.path.display()),
                (Source::Portable, true) => "portable, in the cache".to_owned(),
                (Source::Portable, false) => "portable, fetched at the first `up`".to_owned(),
            };
            check.found(Status::Ok, format!("{} {} ({origin})", server.product, server.version))
        }
        Err(error) => {
            let check = check.found(Status::Missing, error.to_string());
            let hints = error.downcast_ref::<Failure>().map(|failure| failure.hints().to_vec()).unwrap_or_default();
            hints.into_iter().fold(check, Check::fix)
        }
    }
}

fn disk(folder: &StackFolder) -> Check {
    let check = Check::new("disk", true).minimum(human_size(host::MINIMUM_FREE_BYTES));
    match system::free_space(folder.root()) {
        Some(free) if free < host::MINIMUM_FREE_BYTES => check
            .found(Status::Missing, human_size(free))
            .fix(format!("make room where {} is", folder.root().display())),
        Some(free) => check.found(Status::Ok, format!("{} free", human_size(free))),
        None => check.found(Status::Warning, "its free space is unknown"),
    }
}

fn docker(context: &Context) -> Check {
    let check = Check::new("Docker", false);
    match detect::look_for_docker(&*context.runner) {
        Ok(found) => {
            let kind = found.kind.map(|kind| format!(", {kind}")).unwrap_or_default();
            check.found(Status::Ok, format!("Engine {}, Compose {}{kind}", found.engine, found.compose))
        }
        Err(failure) => {
            let check = check.found(Status::Warning, failure.to_string());
            match failure.hints().first() {
                Some(hints) => check.fix(hints.clone()),
                None => check,
            }
        }
    }
}

fn settings(context: &Context) -> Check {
    let check = Check::new("settings", true);
    if !context.project.settings().exists() {
        return check.found(Status::Ok, "made at the first `up`");
    }
    match Settings::load(&context.project) {
        Ok(_) => check.found(Status::Ok, ".env.docker is in order"),
        Err(error) => check.found(Status::Missing, error.to_string()).fix("cargo xtask env check"),
    }
}

/// A taken port is in nobody's way: the stack moves. But it is good to know before.
fn ports(context: &Context) -> Vec<Check> {
    if cfg!(not(unix)) {
        return Vec::new();
    }
    let Ok(stack) = Stack::open(context) else { return Vec::new() };
    let wanted = stack.state().map_or_else(|| foundation::usual_ports(context), |state| state.ports.clone());
    let running = stack.running().unwrap_or_default();
    let names =
        [(Service::Postgres, "PostgreSQL's port"), (Service::Redis, "Redis' port"), (Service::Backend, "API's port")];
    names
        .into_iter()
        .map(|(service, name)| {
            let (check, port) = (Check::new(name, false), wanted.of(service));
            if running.contains(&service) {
                return check.found(Status::Ok, format!("{port}, in use by this stack"));
            }
            if !ports::is_taken(port) {
                return check.found(Status::Ok, format!("{port} is free"));
            }
            let owner = owner::of_port(port, &*context.runner);
            check
                .found(Status::Warning, format!("{port} is taken by {owner}"))
                .fix("`up` moves this service to a port of its own, and says so")
        })
        .collect()
}

#[cfg(test)]
mod tests;
