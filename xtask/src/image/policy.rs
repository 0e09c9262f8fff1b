//! What an image that ships must be and must not hold.

use anyhow::Result;

use super::contents::{self, Content, Description, Layer};
use crate::failure::{Exit, Failure};
use crate::project::Project;
use crate::runner::Runner;
use crate::settings::{Settings, is_secret};

/// The largest that it may be, in bytes.
pub const MAXIMUM_BYTES: u64 = 15_000_000;
/// What every image says of itself; `docs.opencontainers.org` names the keys.
const LABELS: &[&str] = &[
    "org.opencontainers.image.title",
    "org.opencontainers.image.licenses",
    "org.opencontainers.image.version",
    "org.opencontainers.image.revision",
];
/// Programs that somebody who got in would want, and that the service does not need.
const TOOLS: &[&str] = &[
    "sh", "bash", "ash", "dash", "zsh", "ksh", "busybox", "toybox", "apt", "apt-get", "dpkg", "apk", "yum", "dnf",
    "microdnf", "rpm", "zypper", "pacman", "pip", "npm", "curl", "wget", "nc", "perl", "python3",
];
/// Files that hold secrets by their very name.
const SECRET_FILES: &[&str] = &[
    ".npmrc",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    ".dockercfg",
    "credentials",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
];
/// Endings of files that hold keys.
const KEY_ENDINGS: &[&str] = &[".key", ".p12", ".pfx", ".jks", ".keystore"];
/// How secrets of well-known services begin, and how many characters of a secret follow.
const TOKENS: &[(&str, usize)] = &[("ghp_", 36), ("github_pat_", 22), ("glpat-", 20), ("AKIA", 16), ("xoxb-", 20)];

/// What an image that may ship is like.
#[derive(Debug)]
pub struct Inspection {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its layers that hold something, from the last to the first.
    pub layers: Vec<Layer>,
}

/// Looks at everything in the image; an error names all that must not ship. No secret of the settings may be in it.
pub fn inspect(runner: &dyn Runner, project: &Project, image: &str) -> Result<Inspection> {
    let description = contents::describe(runner, image)?;
    let history = contents::history(runner, image)?;
    let folder = tempfile::tempdir()?;
    let settings = Settings::load(project).ok();
    let secrets: Vec<&str> = settings.iter().flat_map(Settings::secrets).collect();
    let files = contents::unpack(runner, image, folder.path())?;
    let violations = violations(&description, &history, &files, &secrets)?;
    if !violations.is_empty() {
        return Err(Failure::new(Exit::Failed, format!("{image} must not ship as it is")).details(violations).into());
    }
    let layers = history.into_iter().filter(|layer| layer.size > 0).collect();
    Ok(Inspection { size_bytes: description.size, layers })
}

/// Everything that is wrong with the image; `secrets` are values that are known to be secret.
pub fn violations(
    description: &Description,
    history: &[Layer],
    contents: &[Content],
    secrets: &[&str],
) -> Result<Vec<String>> {
    let mut found = of_description(description);
    for layer in history {
        for what in secrets_in(layer.made_by.as_bytes(), secrets) {
            found.push(format!("the history holds {what}: {}", shortened(&layer.made_by)));
        }
    }
    for variable in description.config.env.iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        if is_secret(name) && !value.is_empty() {
            found.push(format!("the environment holds {name}"));
        } else if !secrets_in(value.as_bytes(), secrets).is_empty() {
            found.push(format!("the environment holds a secret in {name}"));
        }
    }
    for content in contents {
        found.extend(of_name(&content.name));
        // Links lead elsewhere, and what they lead to is in the list itself.
        if std::fs::symlink_metadata(&content.path)?.is_file() {
            let bytes = std::fs::read(&content.path)?;
            found.extend(secrets_in(&bytes, secrets).into_iter().map(|what| format!("{} holds {what}", content.name)));
        }
    }
    Ok(found)
}

fn of_description(description: &Description) -> Vec<String> {
    let config = &description.config;
    let mut found = Vec::new();
    if description.size > MAXIMUM_BYTES {
        found.push(format!("it has {} bytes; {MAXIMUM_BYTES} is the most", description.size));
    }
    let user = config.user.split(':').next().unwrap_or_default();
    if user.is_empty() || user == "0" || user == "root" {
        found.push("it runs as root".to_owned());
    }
    if config.healthcheck.is_none() {
        found.push("it has no health check".to_owned());
    }
    if config.stop_signal != "SIGTERM" {
        found.push("it does not name SIGTERM as its stop signal".to_owned());
    }
    let labels = config.labels.clone().unwrap_or_default();
    for label in LABELS {
        if labels.get(*label).is_none_or(String::is_empty) {
            found.push(format!("it has no label {label}"));
        }
    }
    found
}

fn of_name(name: &str) -> Option<String> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let is_program = ["/bin/", "/sbin/"].iter().any(|folder| name.contains(folder));
    if is_program && TOOLS.contains(&file) {
        return Some(format!("{name} is a tool that the service does not need"));
    }
    let is_env = file == ".env" || file.starts_with(".env.");
    if is_env || SECRET_FILES.contains(&file) || KEY_ENDINGS.iter().any(|ending| file.ends_with(ending)) {
        return Some(format!("{name} is a file for secrets"));
    }
    None
}

/// What looks like a secret in some bytes, in words that do not give it away.
fn secrets_in(bytes: &[u8], known: &[&str]) -> Vec<&'static str> {
    let mut found = Vec::new();
    // Whoever parses keys has the words in the program too, but never with a key behind them.
    let is_key = |rest: &[u8]| rest.iter().take(40).filter(|byte| byte.is_ascii_alphanumeric()).count() >= 30;
    for ending in [&b"PRIVATE KEY-----\n"[..], b"PRIVATE KEY-----\r\n"] {
        if positions(bytes, ending).any(|at| is_key(&bytes[at + ending.len()..])) {
            found.push("a private key");
        }
    }
    let is_token = |start: &str, length: usize| {
        positions(bytes, start.as_bytes()).any(|at| {
            let rest = &bytes[at + start.len()..];
            rest.len() >= length && rest[..length].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        })
    };
    if TOKENS.iter().any(|(start, length)| is_token(start, *length)) {
        found.push("an access token");
    }
    if known.iter().any(|secret| secret.len() >= 8 && positions(bytes, secret.as_bytes()).next().is_some()) {
        found.push("a secret of .env.docker");
    }
    found
}

/// Where `wanted` begins in `bytes`.
fn positions<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    memchr::memmem::find_iter(bytes, wanted)
}

fn shortened(text: &str) -> String {
    text.chars().take(40).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests;
