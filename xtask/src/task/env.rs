//! The local settings.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::cli::EnvCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::settings::{Settings, is_secret};
use crate::stack::ground;
use crate::stack::host::Host;
use crate::stack::thunder::{self, Ports};

/// Makes, checks or shows them.
pub fn run(context: &Context, command: EnvCommand) -> Result<u8> {
    match command {
        EnvCommand::Init { force } => init(context, force),
        EnvCommand::Check(arguments) => check(context, arguments.json),
        EnvCommand::Show { reveal, json } => show(context, reveal, json),
    }
}

fn init(context: &Context, force: bool) -> Result<u8> {
    let path = context.project.settings();
    let name = context.project.relative(&path).to_string();
    if path.exists() && !force {
        return Err(Failure::new(Exit::Refused, format!("{name} is there already, and stays as it is"))
            .hint("cargo xtask env check")
            .hint("cargo xtask env init --force, which makes it anew with other secrets")
            .into());
    }
    let text = Settings::generate(&context.project)?;
    if context.dry_run {
        context.terminal.data(format!("# write {name} ({} lines, mode 600)", text.lines().count()))?;
        return Ok(0);
    }
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

fn check(context: &Context, json: bool) -> Result<u8> {
    let outcome = Settings::load(&context.project);
    if json {
        let problems: &[String] =
            outcome.as_ref().err().and_then(|error| error.downcast_ref::<Failure>()).map_or(&[], Failure::evidence);
        let document = json!({ "schema_version": 1, "ok": outcome.is_ok(), "problems": problems });
        context.terminal.json(&document)?;
    }
    let settings = outcome?;
    if !json {
        let count = settings.iter().count();
        context.terminal.note(format!(".env.docker has all {count} settings, and they are in order"));
    }
    Ok(0)
}

/// The settings, and under them what the stack makes of them for the backend.
fn show(context: &Context, reveal: bool, json: bool) -> Result<u8> {
    let settings = Settings::load(&context.project)?;
    let stack = Host::open(context)?;
    let ports = match stack.state() {
        Some(state) => state.ports,
        None => Ports::from_settings(&settings)?,
    };
    let environment = thunder::backend_environment(&settings, ports, &ground::commit(context))?;
    let own = settings.iter().map(|(name, value)| (name.to_owned(), value.to_owned(), ".env.docker"));
    let made = environment
        .iter()
        .filter(|variable| !settings.iter().any(|(name, _)| name == variable.name))
        .map(|variable| (variable.name.clone(), variable.value.clone(), "the stack"));
    let mut document = Map::new();
    for (name, value, origin) in own.chain(made) {
        let shown = if is_secret(&name) && !reveal && !value.is_empty() { "***".to_owned() } else { value };
        if json {
            document.insert(name, json!({ "value": shown, "from": origin }));
        } else {
            context.terminal.reveal(format!("{name}={shown}"))?;
        }
    }
    if json {
        let document = json!({ "schema_version": 1, "settings": Value::Object(document) });
        context.terminal.reveal(serde_json::to_string_pretty(&document)?)?;
    }
    Ok(0)
}
