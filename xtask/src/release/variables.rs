//! The variables of a service in an environment: what differs from a file of settings, and setting them.
//!
//! Names are read, and no value but the database's URL. Values go to the CLI through stdin.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::platform::{Destination, Platform};
use super::railway::Api;
use super::{Release, declaration, railway, rollback};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::plan::{Action, Plan};
use crate::product::setting::DATABASE_URL;
use crate::settings::{Settings, declared};
use crate::tool::railway::{PRIVATE_HOSTS, PUBLIC_URL, Railway, document};

/// What differs, by name.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Needed by the backend, and not there.
    pub missing: Vec<String>,
    /// In the file, and not there.
    pub only_in_file: Vec<String>,
    /// There, and not in the file.
    pub only_there: Vec<String>,
    /// There, and read by nobody.
    pub unknown: Vec<String>,
}

impl Difference {
    /// Compares what is there with a file's names and with what the backend declares. Names of the platform's own are
    /// left out.
    pub fn between(there: &[String], file: Option<&[String]>) -> Self {
        let is_in = |all: &[String], name: &str| all.iter().any(|one| one == name);
        let is_declared = |name: &str| declared().iter().any(|setting| setting.name == name);
        let needed = declared().iter().filter(|one| one.is_needed_in_production());
        let own: Vec<&String> = there.iter().filter(|name| !name.starts_with("RAILWAY_")).collect();
        Self {
            missing: needed.map(|one| one.name.clone()).filter(|name| !is_in(there, name)).collect(),
            only_in_file: file
                .iter()
                .flat_map(|file| file.iter())
                .filter(|name| !is_in(there, name))
                .cloned()
                .collect(),
            only_there: own
                .iter()
                .filter(|name| file.is_some_and(|file| !is_in(file, name)))
                .map(|name| (*name).clone())
                .collect(),
            unknown: own.into_iter().filter(|name| !is_declared(name)).cloned().collect(),
        }
    }
}

/// A file of settings for an environment: names and values.
pub fn read(context: &Context, path: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let settings = Settings::parse(&text).with_context(|| format!("{} is wrong", path.display()))?;
    let is_harmless = |name: &str| declared().iter().any(|setting| setting.name == name && !setting.secret);
    for (_, value) in settings.iter().filter(|(name, _)| !is_harmless(name)) {
        context.terminal.hide(value);
    }
    Ok(settings)
}

/// The file of an environment's settings that is used unless another is named.
pub fn usual_file(context: &Context, environment: &str) -> PathBuf {
    context.project.root().join(format!(".env.{environment}"))
}

/// The service whose variables these are, and their names.
pub fn names(context: &Context, release: &Arc<Release>, service: Option<&str>) -> Result<(Destination, Vec<String>)> {
    let cancel = CancelToken::on(&context.interrupt);
    let platform = &*release.by(context, &cancel);
    let target = rollback::target_of(release, platform)?;
    let to = target.services[rollback::service(&target, service)?].clone();
    let names = names_of(platform, &to)?;
    Ok((to, names))
}

/// The URL of an environment's database, as this machine reaches it.
pub fn database_url(context: &Context, release: &Arc<Release>) -> Result<String> {
    let cancel = CancelToken::on(&context.interrupt);
    let railway = railway(context)?;
    let platform = Api::by(&railway, context, &cancel);
    let target = rollback::target_of(release, &platform)?;
    let by_hand = "--url-from VARIABLE, with the URL of the database in that variable";
    let Some(database) = &target.database else {
        let what = format!("{} has no database that {} names", target.environment, declaration::FILE);
        return Err(Failure::new(Exit::Missing, what).hint(by_hand).into());
    };
    let found = platform.database_variable(database, &[PUBLIC_URL, DATABASE_URL])?;
    let Some(url) = found else {
        let what = format!("{} has no {DATABASE_URL} in {}", database.service_name, target.environment);
        return Err(Failure::new(Exit::Missing, what).hint(by_hand).into());
    };
    context.terminal.hide(&url);
    let host = url.rsplit('@').next().unwrap_or_default();
    if host.split(['/', ':', '?']).next().is_some_and(|host| host.ends_with(PRIVATE_HOSTS)) {
        let what = format!(
            "the {} of {} has only a private address, which this machine does not reach",
            database.service_name, target.environment
        );
        let name = &target.environment;
        return Err(Failure::new(Exit::Missing, what)
            .hint(format!(
                "railway connect --tunnel-only --environment {name} {}, then {by_hand}",
                database.service_name
            ))
            .hint("or add a TCP proxy in the settings of its service, for as long as it is needed")
            .into());
    }
    Ok(url)
}

fn names_of(platform: &dyn Platform, to: &Destination) -> Result<Vec<String>> {
    let mut names = platform.variable_names(to)?;
    names.sort();
    Ok(names)
}

/// What is wrong with values that are to be pushed.
pub fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in settings.iter() {
        if value.is_empty() {
            problems.push(format!("{name} has no value"));
        }
        if !declared().iter().any(|setting| setting.name == name) {
            problems.push(format!("{name} is not a setting of the backend"));
        }
    }
    if settings.iter().next().is_none() {
        problems.push("it has no settings".to_owned());
    }
    problems
}

/// The plan that sets the variables in one request, without a deployment, and sees that they are there.
pub fn push(railway: &Railway, to: &Destination, settings: &Settings) -> Plan {
    let values: Map<String, Json> = settings.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let names: Vec<String> = values.keys().cloned().collect();
    let variables = json!({"i": {
        "projectId": to.project, "environmentId": to.environment, "serviceId": to.service,
        "skipDeploys": true, "replace": false, "variables": values,
    }});
    let step = railway.api_with_secrets(&document::SET_VARIABLES, &variables);
    let (railway, to) = (railway.clone(), to.clone());
    let check = Action::check("see that they are there", move |access| {
        let there = names_of(&Api::of(&railway, access), &to)?;
        let missing: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| !there.iter().any(|one| one == name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let what = format!("{} did not arrive in {}", missing.join(", "), to.service_name);
        Err(Failure::new(Exit::Failed, what).hint("cargo xtask env push, again").into())
    });
    Plan::of("variables", vec![Action::Run(step), check], "set, without a deployment")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_compared_in_every_direction() {
        let needed: Vec<String> = declared().iter().filter(|one| one.required).map(|one| one.name.clone()).collect();
        let mut there = needed.clone();
        there.extend(names(&["RAILWAY_STATIC_URL", "OLD"]));
        let file = [&needed[1..], &names(&["NEW"])[..]].concat();
        let difference = Difference::between(&there, Some(&file));
        assert_eq!(difference.only_in_file, ["NEW"]);
        assert_eq!(difference.only_there, [needed[0].as_str(), "OLD"]);
        assert_eq!(difference.unknown, ["OLD"]);
        let optional: Vec<&str> = difference.missing.iter().map(String::as_str).collect();
        let in_production = |name: &str| declared().iter().any(|one| one.name == name && one.required_in_production);
        assert!(optional.iter().all(|name| in_production(name)) && !optional.is_empty());
        let without = Difference::between(&[], None);
        assert!(needed.iter().all(|name| without.missing.contains(name)));
        assert!(without.only_in_file.is_empty() && without.only_there.is_empty());
    }

    #[test]
    fn what_the_backend_does_not_read_and_what_is_empty_is_not_pushed() {
        let first = &declared()[0].name;
        let settings = Settings::parse(&format!("{first}=\nNOBODY_READS_THIS=1\n")).unwrap();
        assert_eq!(
            problems(&settings),
            [format!("{first} has no value"), "NOBODY_READS_THIS is not a setting of the backend".to_owned()]
        );
        assert_eq!(problems(&Settings::parse("# nothing\n").unwrap()), ["it has no settings"]);
    }
}
