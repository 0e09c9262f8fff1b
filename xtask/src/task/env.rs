//! The local settings, and the variables of an environment.

mod remote;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::EnvCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::product::DATABASE;
use crate::runner::Output;
use crate::settings::{Settings, is_secret};
use crate::stack::folder::StackFolder;
use crate::stack::host::{self, Host};
use crate::stack::ports::Ports;
use crate::stack::service::Service;
use crate::stack::{Stack, environment, foundation};
use crate::tool::backend::Program;

/// Makes, checks or shows them.
pub fn run(context: &Context, command: EnvCommand) -> Result<u8> {
    match command {
        EnvCommand::Init { force: _, add_missing: true } => add_missing(context),
        EnvCommand::Init { force, add_missing: false } => init(context, force),
        EnvCommand::Check(arguments) => check(context, arguments.json),
        EnvCommand::Show { reveal, output } => show(context, reveal, output.json),
        EnvCommand::Diff(arguments) => remote::diff(context, &arguments),
        EnvCommand::Push(arguments) => remote::push(context, &arguments),
    }
}

fn init(context: &Context, force: bool) -> Result<u8> {
    let path = context.project.settings();
    let name = context.project.relative(&path).to_string();
    if path.exists() && !force {
        return Err(Failure::new(Exit::Refused, format!("{name} is there already, and stays as it is"))
            .hint("cargo xtask env check")
            .hint("cargo xtask env init --add-missing, which adds what it lacks")
            .hint("cargo xtask env init --force, which makes it again with other secrets")
            .into());
    }
    let remembered = StackFolder::of(&context.project, None).settings_copy();
    let text = match std::fs::read_to_string(remembered).ok().filter(|_| !force) {
        // The stack's servers have these passwords.
        Some(text) => {
            context.terminal.note("the stack was started with settings that are still known: these are written");
            Settings::parse(&text)?.in_template(&context.project)?
        }
        None => Settings::generate(&context.project)?,
    };
    if context.dry_run {
        context.terminal.data(format!("# write {name} ({} lines, mode 600)", text.lines().count()))?;
        return Ok(0);
    }
    file::remove_drafts(context.project.home())?;
    let _lock = if context.project.state().is_dir() { context.lock_stack(std::time::Duration::ZERO)? } else { None };
    if path.exists() {
        let old = path.with_extension("docker.old");
        std::fs::rename(&path, &old).with_context(|| format!("cannot keep the old {name}"))?;
        context.terminal.note(format!("the old settings are in {}", context.project.relative(&old)));
    }
    file::write(&path, text.as_bytes(), 0o600)?;
    context.terminal.note(format!("made {name} with secrets of its own; only you can read it"));
    Ok(0)
}

/// Adds the settings that only the template has, as it has them.
fn add_missing(context: &Context) -> Result<u8> {
    let path = context.project.settings();
    let name = context.project.relative(&path);
    let (names, text) = Settings::completed(&context.project)?;
    if names.is_empty() {
        context.terminal.note(format!("{name} has every setting"));
        return Ok(0);
    }
    if context.dry_run {
        context.terminal.data(format!("# add {} to {name}", names.join(", ")))?;
        return Ok(0);
    }
    file::write(&path, text.as_bytes(), 0o600)?;
    context.terminal.note(format!("added {} to {name}", names.join(", ")));
    Ok(0)
}

/// What is wrong with one setting, as the backend tells it.
#[derive(Deserialize)]
struct Problem {
    name: String,
    problem: String,
}

#[derive(Deserialize)]
struct Problems {
    problems: Vec<Problem>,
}

/// Compares the file with the template, and asks the backend what it makes of its settings.
fn check(context: &Context, json: bool) -> Result<u8> {
    let name = context.project.relative(&context.project.settings()).to_string();
    let outcome = Settings::load(&context.project).and_then(|settings| {
        let problems = problems(context, &settings)?;
        if problems.is_empty() { Ok(settings) } else { Err(wrong(&name, problems).into()) }
    });
    if json {
        let problems: &[String] =
            outcome.as_ref().err().and_then(|error| error.downcast_ref::<Failure>()).map_or(&[], Failure::evidence);
        let document = json!({ "schema_version": 1, "ok": outcome.is_ok(), "problems": problems });
        context.terminal.json(&document)?;
    }
    let settings = outcome?;
    if file::is_open_to_others(&context.project.settings()) {
        context.terminal.warn(format!("others can read {name}, which holds secrets: chmod 600 {name}"));
    }
    if !json {
        let count = settings.iter().count();
        context.terminal.note(format!("{name} has all {count} settings, and the backend takes them"));
    }
    Ok(0)
}

fn wrong(name: &str, problems: Vec<String>) -> Failure {
    let what = if problems.len() == 1 { "a setting is" } else { "settings are" };
    Failure::new(Exit::Missing, format!("{what} wrong in {name}"))
        .details(problems)
        .hint(format!("edit {name}; .env.docker.example explains each setting"))
}

/// What the backend's own program finds wrong; it is built first, because an older one may know less.
fn problems(context: &Context, settings: &Settings) -> Result<Vec<String>> {
    foundation::hide(context, settings);
    let ports = Ports::from_settings(settings, &Service::USUAL)?;
    let environment = environment::of_backend(settings, &ports, DATABASE)?;
    let build = Host::open(context).build()?;
    let step = Program::with(&host::binary()?, &environment).settings_problems();
    if context.dry_run {
        build.print(&context.terminal)?;
        context.terminal.data(step)?;
        return Ok(Vec::new());
    }
    build.run(context).result?;
    let said: Output = context.runner.read(&step)?;
    let found: Problems = serde_json::from_str(&said.stdout).map_err(|_| {
        crate::runner::failure(&step, said.code, &said.lines()).details(["it does not say what is wrong".to_owned()])
    })?;
    Ok(found.problems.into_iter().map(|one| format!("{} {}", one.name, one.problem)).collect())
}

/// The settings as they are in use, and under them what the stack makes of them for the backend.
fn show(context: &Context, reveal: bool, json: bool) -> Result<u8> {
    let settings = Settings::load(&context.project)?;
    let stack = Stack::open(context)?;
    let asked = Ports::from_settings(&settings, &Service::ALL)?;
    let ports = stack.state().map_or_else(|| foundation::usual_ports(context), |state| state.ports.clone());
    let in_use = |name: &str, value: &str| -> (String, &'static str) {
        let service = Service::ALL.into_iter().find(|service| service.definition().port_setting() == name);
        let moved = service.and_then(|service| ports.get(service).filter(|port| *port != asked.of(service)));
        match moved {
            Some(port) => (port.to_string(), "the stack, which moved it"),
            None => (value.to_owned(), ".env.docker"),
        }
    };
    let environment = environment::of_clients(&settings, &ports, DATABASE)?;
    let own = settings.iter().map(|(name, value)| {
        let (value, origin) = in_use(name, value);
        (name.to_owned(), value, is_secret(name), origin)
    });
    let made = environment
        .iter()
        .filter(|variable| !settings.iter().any(|(name, _)| name == variable.name))
        .map(|variable| (variable.name.clone(), variable.value.clone(), variable.is_secret, "the stack"));
    let mut document = Map::new();
    for (name, value, is_secret, origin) in own.chain(made) {
        let shown = if is_secret && !reveal && !value.is_empty() { "***".to_owned() } else { value };
        if json {
            document.insert(name, json!({ "value": shown, "from": origin }));
        } else {
            context.terminal.reveal(format!("{name}={shown}"))?;
        }
    }
    if json {
        let document = json!({ "schema_version": 1, "settings": Value::Object(document) });
        context.terminal.reveal_json(&document)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
