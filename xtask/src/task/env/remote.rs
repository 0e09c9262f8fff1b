//! The variables of an environment at Railway.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use crate::cli::{EnvDiff, EnvPush, Environment};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::product::PRODUCTION;
use crate::release::variables::{self, Difference};
use crate::release::{self, Release, Request};
use crate::stack::host;
use crate::terminal::{BAD, NOTICE};

fn release(context: &Context, to: &Environment) -> Result<Arc<Release>> {
    let request = Request::of(&to.environment, to.project.clone(), host::binary()?);
    Release::of(context, request).map(Arc::new)
}

/// Tells what differs, by name.
pub fn diff(context: &Context, arguments: &EnvDiff) -> Result<u8> {
    let environment = &arguments.to.environment;
    let usual = variables::usual_file(context, environment);
    let path = arguments.file.clone().or_else(|| usual.is_file().then_some(usual));
    let file = path.as_deref().map(|path| variables::read(context, path)).transpose()?;
    let file: Option<Vec<String>> = file.map(|file| file.iter().map(|(name, _)| name.to_owned()).collect());
    let release = release(context, &arguments.to)?;
    let (to, there) = variables::names(context, &release, arguments.service.as_deref())?;
    let difference = Difference::between(&there, file.as_deref());
    let is_complete = difference.missing.is_empty();
    if arguments.output.json {
        context.terminal.json(&json!({
            "schema_version": 1,
            "environment": environment,
            "service": to.service_name,
            "difference": difference,
        }))?;
        return Ok(if is_complete { 0 } else { Exit::Missing as u8 });
    }
    let lists = [
        (BAD, "needed, and not set", &difference.missing),
        (NOTICE, "only in the file", &difference.only_in_file),
        (NOTICE, "not in the file", &difference.only_there),
        (NOTICE, "read by nobody", &difference.unknown),
    ];
    for (style, what, names) in lists {
        for name in names {
            context.terminal.data(format!("{style}{name}{style:#}  {what}"))?;
        }
    }
    if is_complete {
        context.terminal.note(format!("{environment} has everything that the backend needs"));
        return Ok(0);
    }
    let what = format!("{environment} lacks {}", difference.missing.join(", "));
    Err(Failure::new(Exit::Missing, what).hint(format!("cargo xtask env push --environment {environment}")).into())
}

/// Sets the variables of a file.
pub fn push(context: &Context, arguments: &EnvPush) -> Result<u8> {
    let environment = &arguments.to.environment;
    let path = arguments.file.clone().unwrap_or_else(|| variables::usual_file(context, environment));
    if !path.is_file() {
        let what = format!("there is no file {}", context.project.relative(&path));
        return Err(Failure::new(Exit::Missing, what).hint("--file FILE, with a line NAME=value for each").into());
    }
    let settings = variables::read(context, &path)?;
    let problems = variables::problems(&settings);
    if !problems.is_empty() {
        let what = format!("{} cannot be pushed", context.project.relative(&path));
        return Err(Failure::new(Exit::Missing, what)
            .details(problems)
            .hint("docs/settings.md lists every setting")
            .into());
    }
    let release = release(context, &arguments.to)?;
    let (to, there) = variables::names(context, &release, arguments.service.as_deref())?;
    let names: Vec<&str> = settings.iter().map(|(name, _)| name).collect();
    let (changed, new): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| there.iter().any(|one| one == name));
    for (what, names) in [("new", &new), ("set again", &changed)] {
        if !names.is_empty() {
            context.terminal.note(format!("{what}: {}", names.join(", ")));
        }
    }
    let plan = variables::push(&release::railway(context)?, &to, &settings);
    if context.dry_run {
        plan.print(&context.terminal)?;
        return Ok(0);
    }
    if environment == PRODUCTION && arguments.confirm.confirm.as_deref() != Some(PRODUCTION) {
        let question = format!("This sets {} variables of {environment}.", new.len() + changed.len());
        context.confirm_word(&question, PRODUCTION, &format!("--confirm {PRODUCTION}"))?;
    }
    plan.run(context).result?;
    context.terminal.note(format!(
        "{} of {environment} has them with its next deployment: cargo xtask deploy --environment {environment}",
        to.service_name
    ));
    Ok(0)
}

#[cfg(test)]
mod tests;
