//! `infra/railway.json`: what the services of production are declared to be.
//!
//! The platform takes any key and ignores those that it does not know. So every key is checked here, and what is
//! declared is compared with what came back.

mod keys;

use serde_json::{Map, Value, json};

use crate::project::Project;

pub use self::keys::schema;
use self::keys::{KEYS, Key, Kind, SECTIONS};

/// Where it lies in the checkout.
pub const FILE: &str = "infra/railway.json";
/// Where its schema lies, for editors.
pub const SCHEMA: &str = "infra/railway.schema.json";

/// What is declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// The project's id, for tokens that are good for several.
    pub project: Option<String>,
    /// The name of the database's service, for backups.
    pub database: Option<String>,
    /// The services, in the order in which they are deployed.
    pub services: Vec<Service>,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name at the platform.
    pub name: String,
    /// Its settings in each section, for every environment.
    sections: Map<String, Value>,
    /// What differs in an environment.
    environments: Map<String, Value>,
}

/// A setting that is not what is declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The section.
    pub section: String,
    /// The key.
    pub key: String,
    /// What the platform has; null where it has nothing.
    pub live: Value,
    /// What is declared.
    pub declared: Value,
}

impl Declaration {
    /// What the checkout declares, or everything that is wrong with it.
    pub fn load(project: &Project) -> Result<Self, Vec<String>> {
        let text = std::fs::read_to_string(project.root().join(FILE));
        Self::parse(&text.map_err(|error| vec![format!("it cannot be read: {error}")])?)
    }

    /// What a text declares, or everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let value: Value = serde_json::from_str(text).map_err(|error| vec![format!("it is no JSON: {error}")])?;
        let mut problems = Vec::new();
        let Some(root) = value.as_object() else { return Err(vec!["it is not an object".to_owned()]) };
        known(root, &["$schema", "project", "database", "services"], "", &mut problems);
        let text_of = |name: &str, problems: &mut Vec<String>| match root.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
            Some(_) => {
                problems.push(format!("{name} is not a name"));
                None
            }
        };
        let (project, database) = (text_of("project", &mut problems), text_of("database", &mut problems));
        let mut services: Vec<Service> = Vec::new();
        match root.get("services").and_then(Value::as_array) {
            Some(list) if !list.is_empty() => {
                for (index, value) in list.iter().enumerate() {
                    let service = Service::parse(value, index, &mut problems);
                    if let Some(service) = service {
                        if services.iter().any(|other| other.name == service.name) {
                            problems.push(format!("two services are named {}", service.name));
                        }
                        services.push(service);
                    }
                }
            }
            _ => problems.push("services lists no service".to_owned()),
        }
        if problems.is_empty() { Ok(Self { project, database, services }) } else { Err(problems) }
    }
}

impl Service {
    fn parse(value: &Value, index: usize, problems: &mut Vec<String>) -> Option<Self> {
        let place = format!("services[{index}]");
        let Some(object) = value.as_object() else {
            problems.push(format!("{place} is not an object"));
            return None;
        };
        known(object, &["name", SECTIONS[0], SECTIONS[1], "environments"], &format!("{place}."), problems);
        let name = object.get("name").and_then(Value::as_str).filter(|name| !name.trim().is_empty());
        if name.is_none() {
            problems.push(format!("{place} has no name"));
        }
        let sections = checked_sections(object, &place, problems);
        let environments = match object.get("environments") {
            None => Map::new(),
            Some(Value::Object(environments)) => {
                for (environment, own) in environments {
                    let place = format!("{place}.environments.{environment}");
                    match own.as_object() {
                        Some(own) => {
                            known(own, &SECTIONS, &format!("{place}."), problems);
                            checked_sections(own, &place, problems);
                        }
                        None => problems.push(format!("{place} is not an object")),
                    }
                }
                environments.clone()
            }
            Some(_) => {
                problems.push(format!("{place}.environments is not an object"));
                Map::new()
            }
        };
        Some(Self { name: name?.to_owned(), sections, environments })
    }

    /// What is declared for an environment: a section's keys with their values.
    pub fn in_environment(&self, environment: &str) -> Map<String, Value> {
        let mut all = self.sections.clone();
        if let Some(own) = self.environments.get(environment).and_then(Value::as_object) {
            for (section, keys) in own {
                let base = all.entry(section.clone()).or_insert_with(|| json!({}));
                if let (Some(base), Some(keys)) = (base.as_object_mut(), keys.as_object()) {
                    base.extend(keys.clone());
                }
            }
        }
        all
    }

    /// A declared value.
    pub fn setting(&self, environment: &str, section: &str, key: &str) -> Option<Value> {
        self.in_environment(environment).get(section)?.get(key).cloned()
    }

    /// What builds its image.
    pub fn dockerfile(&self, environment: &str) -> String {
        let path = self.setting(environment, "build", "dockerfilePath");
        path.as_ref().and_then(Value::as_str).unwrap_or("Dockerfile").to_owned()
    }

    /// How many instances it has.
    pub fn replicas(&self, environment: &str) -> u64 {
        let regions = self.setting(environment, "deploy", "multiRegionConfig");
        let of_region = |region: &Value| region["numReplicas"].as_u64().unwrap_or(1);
        match regions.as_ref().and_then(Value::as_object) {
            Some(regions) => regions.values().filter(|region| !region.is_null()).map(of_region).sum(),
            None => self.setting(environment, "deploy", "numReplicas").and_then(|count| count.as_u64()).unwrap_or(1),
        }
    }

    /// What of the platform's settings is not as declared. Keys that are not declared are not compared.
    pub fn changes(&self, environment: &str, live: &Value) -> Vec<Change> {
        let mut changes = Vec::new();
        for (section, keys) in self.in_environment(environment) {
            for (key, declared) in keys.as_object().into_iter().flatten() {
                let there = &live[section.as_str()][key.as_str()];
                if !is_same(there, declared) {
                    changes.push(Change {
                        section: section.clone(),
                        key: key.clone(),
                        live: there.clone(),
                        declared: declared.clone(),
                    });
                }
            }
        }
        changes
    }
}

/// The changes as the platform takes them.
pub fn patch(service: &str, changes: &[Change]) -> Value {
    let mut sections = Map::new();
    for change in changes {
        let section = sections.entry(change.section.clone()).or_insert_with(|| json!({}));
        section[change.key.as_str()] = change.declared.clone();
    }
    json!({ "services": { service: sections } })
}

/// Whether two values say the same to the platform: one command may stand for a list of one.
fn is_same(live: &Value, declared: &Value) -> bool {
    match (live, declared) {
        (Value::Array(list), Value::String(_)) if list.len() == 1 => &list[0] == declared,
        (Value::String(_), Value::Array(list)) if list.len() == 1 => live == &list[0],
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        // A region that is null has no instances, as one that is not there.
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys());
            keys.into_iter().all(|key| is_same(&live[key.as_str()], &declared[key.as_str()]))
        }
        _ => live == declared,
    }
}

fn checked_sections(object: &Map<String, Value>, place: &str, problems: &mut Vec<String>) -> Map<String, Value> {
    let mut sections = Map::new();
    for section in SECTIONS {
        match object.get(section) {
            None => {}
            Some(Value::Object(keys)) => {
                let place = format!("{place}.{section}");
                let names: Vec<&str> = keys::of(section).map(|key| key.name).collect();
                known(keys, &names, &format!("{place}."), problems);
                for (name, value) in keys {
                    let key = KEYS.iter().find(|key| key.section == section && key.name == name);
                    problems
                        .extend(key.and_then(|key| problem(key, value)).map(|what| format!("{place}.{name} {what}")));
                }
                sections.insert(section.to_owned(), Value::Object(keys.clone()));
            }
            Some(_) => problems.push(format!("{place}.{section} is not an object")),
        }
    }
    sections
}

/// What is wrong with a value.
fn problem(key: &Key, value: &Value) -> Option<String> {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    match key.kind {
        Kind::Text => (!is_text(value)).then(|| "is not a text".to_owned()),
        Kind::Texts => {
            let is_list = value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_text));
            (!is_text(value) && !is_list).then(|| "is neither a text nor a list of texts".to_owned())
        }
        Kind::OneOf(words) => {
            let is_one = value.as_str().is_some_and(|text| words.contains(&text));
            (!is_one).then(|| format!("is not one of {}", words.join(", ")))
        }
        Kind::Count(least, most) => {
            let is_within = value.as_u64().is_some_and(|count| (least..=most).contains(&count));
            (!is_within).then(|| format!("is not a whole number from {least} to {most}"))
        }
        Kind::Flag => (!value.is_boolean()).then(|| "is neither true nor false".to_owned()),
        Kind::Regions => {
            let is_region = |region: &Value| {
                region.is_null()
                    || region.as_object().is_some_and(|region| {
                        region.len() == 1 && region.get("numReplicas").and_then(Value::as_u64).is_some_and(|n| n > 0)
                    })
            };
            let is_right =
                value.as_object().is_some_and(|regions| !regions.is_empty() && regions.values().all(is_region));
            (!is_right).then(|| "is not a list of regions, each {\"numReplicas\": N} or null".to_owned())
        }
        Kind::Object => (!value.is_object()).then(|| "is not an object".to_owned()),
    }
}

/// Tells the keys that nobody knows, with what they may have been meant to be.
fn known(object: &Map<String, Value>, names: &[&str], place: &str, problems: &mut Vec<String>) {
    for key in object.keys().filter(|key| !names.contains(&key.as_str())) {
        let near = names
            .iter()
            .map(|name| (strsim::jaro_winkler(&key.to_lowercase(), &name.to_lowercase()), *name))
            .filter(|(nearness, _)| *nearness > 0.8)
            .max_by(|one, other| one.0.total_cmp(&other.0));
        let meant = near.map_or_else(String::new, |(_, name)| format!("; is {name} meant?"));
        problems.push(format!("{place}{key} is not known{meant}"));
    }
}

#[cfg(test)]
mod tests;
