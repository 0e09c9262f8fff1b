//! The local settings: `.env.docker`, made from `.env.docker.example` with generated secrets.
//!
//! The file is read by us, by docker compose and by people's shells, which do not agree on quoting and substitution.
//! So only what all three read alike is allowed, and everything else is an error with its line.

use std::fmt::Write as _;
use std::num::NonZero;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::failure::{Exit, Failure};
use crate::product;
use crate::product::setting::PORTS;
use crate::project::Project;

/// In the template, stands where each checkout gets a secret of its own.
const GENERATE: &str = "<generated>";
/// The bytes of randomness in a generated secret, written as twice as many hexadecimal digits.
const SECRET_BYTES: usize = 32;

/// Names and values in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: String,
    value: String,
}

impl Settings {
    /// What the file says, checked against the template. What only the template has, has its default.
    pub fn load(project: &Project) -> Result<Self> {
        let template = Self::template(project)?;
        let mut settings = read(&project.settings())?;
        settings.check(&template, project)?;
        settings.add_defaults(&template);
        Ok(settings)
    }

    /// The file's text with what it lacks: settings that only the template has, each with its comment, and secrets in
    /// the place of empty ones. The names say which.
    pub fn completed(project: &Project) -> Result<(Vec<String>, String)> {
        let own = std::fs::read_to_string(project.settings()).context("cannot read the settings")?;
        let entries = read(&project.settings())?.entries;
        let template = Self::template(project)?;
        let new = Self::generate(project)?;
        let (mut names, mut text, mut comment) = (Vec::new(), own, String::new());
        if !text.ends_with('\n') {
            text.push('\n');
        }
        for line in new.lines() {
            let Some((name, _)) = line.split_once('=').filter(|(name, _)| !name.starts_with('#')) else {
                if line.starts_with("# ") && !line.starts_with("# ---") {
                    comment.push_str(&format!("{line}\n"));
                } else {
                    comment.clear();
                }
                continue;
            };
            let is_secret = template.entries.iter().any(|entry| entry.name == name && entry.value == GENERATE);
            match entries.iter().find(|entry| entry.name == name) {
                None => text.push_str(&format!("\n{comment}{line}\n")),
                Some(entry) if is_secret && entry.value.is_empty() => {
                    let fill =
                        |own: &str| if own.trim_end() == format!("{name}=") { line.to_owned() } else { own.to_owned() };
                    text = text.lines().map(|own| fill(own) + "\n").collect();
                }
                Some(_) => {
                    comment.clear();
                    continue;
                }
            }
            names.push(name.to_owned());
            comment.clear();
        }
        Ok((names, text))
    }

    fn add_defaults(&mut self, template: &Self) {
        for entry in &template.entries {
            if !self.entries.iter().any(|own| own.name == entry.name) {
                self.entries.push(entry.clone());
            }
        }
    }

    /// What the template says.
    pub fn template(project: &Project) -> Result<Self> {
        read(&project.settings_template())
    }

    /// The text of a new file: the template's, with a new secret wherever it asks for one.
    pub fn generate(project: &Project) -> Result<String> {
        let path = project.settings_template();
        let template = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        parse(&template).map_err(|problems| unreadable(&path, problems))?;
        let marker = format!("={GENERATE}");
        let mut text = String::with_capacity(template.len() + 512);
        for line in template.lines() {
            match line.strip_suffix(&marker) {
                Some(name) if !name.starts_with('#') => writeln!(text, "{name}={}", secret()?)?,
                _ => writeln!(text, "{line}")?,
            }
        }
        Ok(text)
    }

    /// The settings in a file's text.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text).map_err(|problems| unreadable(Path::new("the settings"), problems))
    }

    /// The value, unless it is missing or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str()).filter(|v| !v.is_empty())
    }

    /// The value of a setting that the template has, so that [`Settings::load`] made sure of it.
    pub fn require(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            Failure::new(Exit::Missing, format!("{name} is not set")).hint("cargo xtask env check").into()
        })
    }

    /// Names and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str()))
    }

    /// The settings as a file's text with the template's comments.
    pub fn in_template(&self, project: &Project) -> Result<String> {
        let mut text = String::new();
        for line in Self::generate(project)?.lines() {
            let name = line.split_once('=').map(|(name, _)| name).filter(|name| !name.starts_with('#'));
            match name.and_then(|name| self.entries.iter().find(|entry| entry.name == name)) {
                Some(entry) => writeln!(text, "{}={}", entry.name, entry.value)?,
                None => writeln!(text, "{line}")?,
            }
        }
        Ok(text)
    }

    /// The settings as a file's text, without comments.
    pub fn text(&self) -> String {
        self.iter().fold(String::new(), |text, (name, value)| format!("{text}{name}={value}\n"))
    }

    /// The values that must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(name, value)| is_secret(name) && !value.is_empty()).map(|(_, value)| value)
    }

    fn check(&self, template: &Self, project: &Project) -> Result<()> {
        let problems = self.problems(template);
        if problems.is_empty() {
            return Ok(());
        }
        let path = project.settings();
        let what = if problems.len() == 1 { "a setting is" } else { "settings are" };
        let lacks = |problem: &String| problem.ends_with("is missing") || problem.ends_with("is empty");
        let is_missing = problems.iter().any(lacks);
        let failure = Failure::new(Exit::Missing, format!("{what} wrong or missing in {}", project.relative(&path)))
            .details(problems)
            .hint(format!("edit {}; .env.docker.example explains each setting", project.relative(&path)));
        let failure = if is_missing { failure.hint("cargo xtask env init --add-missing") } else { failure };
        Err(failure.into())
    }

    /// Everything that is wrong, by name and never by value.
    fn problems(&self, template: &Self) -> Vec<String> {
        let mut problems = Vec::new();
        for entry in &template.entries {
            match self.entries.iter().find(|own| own.name == entry.name) {
                // One that has a default may as well not be there: a file from before it was invented goes on working.
                None if entry.value != GENERATE || !is_needed(&entry.name) => {}
                None => problems.push(format!("{} is missing", entry.name)),
                Some(own) if own.value.is_empty() && entry.value == GENERATE && !is_needed(&entry.name) => {}
                Some(own) if own.value.is_empty() && !entry.value.is_empty() => {
                    problems.push(format!("{} is empty", entry.name));
                }
                Some(own) if own.value == GENERATE => problems.push(format!("{} was not generated", entry.name)),
                Some(own) if PORTS.contains(&entry.name.as_str()) && own.value.parse::<NonZero<u16>>().is_err() => {
                    problems.push(format!("{} must be a whole number from 1 to 65535", entry.name));
                }
                Some(_) => {}
            }
        }
        for entry in &self.entries {
            if !template.entries.iter().any(|known| known.name == entry.name) {
                problems.push(format!("{} is not a setting that anything reads", entry.name));
            }
        }
        problems
    }
}

/// One setting of the backend, as it declares it.
#[derive(Debug, Clone, Deserialize)]
pub struct Declared {
    /// The environment variable.
    pub name: String,
    /// Whether the backend refuses to start without it.
    pub required: bool,
    /// Whether it does so in production alone.
    #[serde(default)]
    pub required_in_production: bool,
    /// Whether its value must not be shown.
    pub secret: bool,
    /// What is used where it is not set.
    pub default: Option<String>,
    /// One sentence for a person.
    pub description: String,
}

impl Declared {
    /// Whether an environment that is deployed to needs it.
    pub fn is_needed_in_production(&self) -> bool {
        self.required || self.required_in_production
    }
}

#[derive(Deserialize)]
struct Declaration {
    settings: Vec<Declared>,
}

/// Every setting of the backend, by its own declaration, in its order.
pub fn declared() -> &'static [Declared] {
    static DECLARED: OnceLock<Vec<Declared>> = OnceLock::new();
    DECLARED.get_or_init(|| parse_declaration(product::DECLARATION).expect("a test reads it"))
}

/// What `config --json` of the backend's own program prints.
pub fn parse_declaration(text: &str) -> Result<Vec<Declared>> {
    let declaration: Declaration = serde_json::from_str(text).context("the backend's declaration of its settings")?;
    Ok(declaration.settings)
}

/// Whether a setting's value must not be shown: as the backend declares it, or the stack.
pub fn is_secret(name: &str) -> bool {
    let is_declared = declared().iter().any(|setting| setting.name == name && setting.secret);
    is_declared || product::setting::SECRETS_OF_THE_STACK.contains(&name)
}

/// Whether nothing starts without a value: the backend's requirements, and whatever the stack itself reads.
fn is_needed(name: &str) -> bool {
    declared().iter().find(|setting| setting.name == name).is_none_or(|setting| setting.required)
}

fn read(path: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let failure = Failure::new(Exit::Missing, format!("cannot read {}: {error}", path.display()));
        if error.kind() == std::io::ErrorKind::NotFound { failure.hint("cargo xtask env init") } else { failure }
    })?;
    parse(&text).map_err(|problems| unreadable(path, problems))
}

fn unreadable(path: &Path, problems: Vec<String>) -> anyhow::Error {
    Failure::new(Exit::Missing, format!("{} cannot be read", path.display()))
        .details(problems)
        .hint("edit the line that is named, then cargo xtask env check")
        .into()
}

fn parse(text: &str) -> Result<Settings, Vec<String>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            problems.push(format!("line {number}: not of the form NAME=value"));
            continue;
        };
        if !is_name(name) {
            problems.push(format!("line {number}: the name is not made of A-Z, 0-9 and _"));
        } else if entries.iter().any(|entry| entry.name == name) {
            problems.push(format!("line {number}: {name} is set a second time"));
        } else if let Some(odd) = value.chars().find(|c| !is_plain(*c)) {
            problems.push(format!(
                "line {number}: {name} holds the character {odd}, which shells and docker compose read differently; \
                 letters, digits and -_.,:;/@%+=<>[]* are fine, without quotes"
            ));
        } else {
            entries.push(Entry { name: name.to_owned(), value: value.to_owned() });
        }
    }
    if problems.is_empty() { Ok(Settings { entries }) } else { Err(problems) }
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(is_part) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.,:;/@%+=<>[]*".contains(character)
}

/// A new secret, as hexadecimal digits.
pub fn secret() -> Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

#[cfg(test)]
mod tests;
