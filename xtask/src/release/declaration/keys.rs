//! Every key that may be declared: those of the platform's `EnvironmentConfig` that are about building and running a
//! service. Variables are not among them: they hold secrets, and belong to the environment.

use serde_json::{Map, Value, json};

/// The sections of a service.
pub const SECTIONS: [&str; 2] = ["build", "deploy"];

/// A key that may be declared.
pub struct Key {
    /// The section.
    pub section: &'static str,
    /// The name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What it does.
    pub about: &'static str,
}

/// What a value is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A text.
    Text,
    /// A text, or several.
    Texts,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// True or false.
    Flag,
    /// Regions by name, each with its instances.
    Regions,
    /// An object that the platform checks.
    Object,
}

const fn key(section: &'static str, name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { section, name, kind, about }
}

const BUILD: &str = SECTIONS[0];
const DEPLOY: &str = SECTIONS[1];

/// Every key.
pub const KEYS: &[Key] = &[
    key(BUILD, "builder", Kind::OneOf(&["DOCKERFILE", "RAILPACK", "NIXPACKS"]), "What makes the image."),
    key(BUILD, "dockerfilePath", Kind::Text, "The Dockerfile, from the root of what is uploaded."),
    key(BUILD, "buildCommand", Kind::Text, "What builds, where no Dockerfile says it."),
    key(BUILD, "watchPatterns", Kind::Texts, "Which files make a push worth a build."),
    key(BUILD, "railpackVersion", Kind::Text, "The version of Railpack."),
    key(DEPLOY, "startCommand", Kind::Text, "What runs instead of the image's own command."),
    key(
        DEPLOY,
        "preDeployCommand",
        Kind::Texts,
        "What runs before the new version starts; its failure ends the deployment.",
    ),
    key(DEPLOY, "preDeployTimeoutSeconds", Kind::Count(1, 3_600), "How long that may take."),
    key(DEPLOY, "healthcheckPath", Kind::Text, "What has to answer with 200 before the new version serves."),
    key(DEPLOY, "healthcheckTimeout", Kind::Count(1, 3_600), "How long that may take, in seconds."),
    key(
        DEPLOY,
        "restartPolicyType",
        Kind::OneOf(&["ON_FAILURE", "ALWAYS", "NEVER"]),
        "When a process that ended starts again.",
    ),
    key(DEPLOY, "restartPolicyMaxRetries", Kind::Count(0, 100), "How often."),
    key(DEPLOY, "numReplicas", Kind::Count(1, 50), "How many instances run."),
    key(
        DEPLOY,
        "multiRegionConfig",
        Kind::Regions,
        "How many instances run in each region, as {\"region\": {\"numReplicas\": 1}}.",
    ),
    key(DEPLOY, "overlapSeconds", Kind::Count(0, 600), "How long the old version goes on beside the new one."),
    key(DEPLOY, "drainingSeconds", Kind::Count(0, 600), "How long the old version has between SIGTERM and SIGKILL."),
    key(DEPLOY, "sleepApplication", Kind::Flag, "Whether it sleeps while nobody asks."),
    key(DEPLOY, "ipv6EgressEnabled", Kind::Flag, "Whether it reaches others by IPv6."),
    key(DEPLOY, "cronSchedule", Kind::Text, "When it runs, for a service that ends by itself."),
    key(DEPLOY, "limitOverride", Kind::Object, "Limits of CPU and memory."),
];

/// The keys of a section.
pub fn of(section: &'static str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// The JSON schema of the declaration, for editors.
pub fn schema() -> String {
    let mut sections = Map::new();
    for section in SECTIONS {
        let keys: Map<String, Value> = of(section).map(|key| (key.name.to_owned(), key.schema())).collect();
        sections
            .insert(section.to_owned(), json!({ "type": "object", "additionalProperties": false, "properties": keys }));
    }
    let mut service = sections.clone();
    service.insert("name".to_owned(), json!({ "type": "string", "description": "The service's name at Railway." }));
    service.insert(
        "environments".to_owned(),
        json!({
            "type": "object",
            "description": "What differs in an environment, by its name.",
            "additionalProperties": { "type": "object", "additionalProperties": false, "properties": sections },
        }),
    );
    let document = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The services of production, as `cargo xtask deploy` applies them",
        "type": "object",
        "additionalProperties": false,
        "required": ["services"],
        "properties": {
            "$schema": { "type": "string" },
            "project": { "type": "string", "description": "The project's id, for tokens that are good for several." },
            "database": { "type": "string", "description": "The database's service, which is backed up before an incompatible migration." },
            "services": {
                "type": "array",
                "minItems": 1,
                "description": "In the order in which they are deployed; each waits for the one before it.",
                "items": {
                    "type": "object", "additionalProperties": false, "required": ["name"], "properties": service,
                },
            },
        },
    });
    format!("{document:#}\n")
}

impl Key {
    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Texts => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
            Kind::OneOf(words) => json!({ "enum": words }),
            Kind::Count(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Regions => json!({ "type": "object", "additionalProperties": { "type": ["object", "null"] } }),
            Kind::Object => json!({ "type": "object" }),
        };
        schema["description"] = json!(self.about);
        schema
    }
}
