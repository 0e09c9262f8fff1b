//! The shape of xtask's own sources: imports point one way, the product stands in one file, and files stay short.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `xtask/src`, from the bottom up: each may use what stands before it, and nothing else.
const ORDER: [&str; 26] = [
    "product",
    "failure",
    "process",
    "project",
    "terminal",
    "settings",
    "interrupt",
    "wait",
    "step",
    "file",
    "lock",
    "log_file",
    "runner",
    "tool",
    "supervise",
    "context",
    "plan",
    "checkout",
    "pinned",
    "database",
    "image",
    "release",
    "stack",
    "cli",
    "task",
    "main",
];
/// The longest that a file may be, in lines.
const LONGEST_FILE: usize = 400;

/// A source file of xtask.
struct Source {
    /// Its path below `xtask/src`.
    name: String,
    text: String,
}

impl Source {
    /// The module below the crate's root that it belongs to.
    fn room(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or_default()
    }

    /// The text without its tests.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs") || self.name.starts_with("fixture") || self.name == "runner/recorded.rs"
    }
}

fn read(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, root, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push(Source { name, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

fn sources() -> Vec<Source> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    read(&root, &root, &mut found);
    assert!(found.len() > 100, "only {} sources were found", found.len());
    found
}

/// The rooms that a text names, as `crate::room`.
fn rooms_in(text: &str) -> Vec<&str> {
    let ends = |rest: &str| rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
    text.split("crate::").skip(1).map(|rest| &rest[..ends(rest).unwrap_or(rest.len())]).collect()
}

#[test]
fn imports_point_one_way() {
    let layer = |room: &str| ORDER.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let own = layer(source.room()).unwrap_or_else(|| panic!("{} has no place in the order", source.name));
        for room in rooms_in(source.code()).into_iter().filter(|room| *room != source.room()) {
            if layer(room).is_some_and(|used| used >= own) {
                wrong.push(format!("{} uses {room}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_order_is_one_that_can_be_broken() {
    assert_eq!(rooms_in("use crate::task::up;\nuse crate::{plan, step};"), ["task", ""]);
    assert!(sources().iter().all(|source| !source.text.contains("use crate::{")), "one room a line, to be found here");
}

#[test]
fn the_products_name_and_the_names_of_its_settings_stand_in_one_file() {
    let declaration =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../backend/settings.json")).unwrap();
    let declaration: serde_json::Value = serde_json::from_str(&declaration).unwrap();
    let settings: Vec<&str> =
        declaration["settings"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(settings.contains(&"DATABASE_URL"));
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.name != "product.rs") {
        if source.text.to_lowercase().contains("thunder") {
            wrong.push(format!("{} names the product", source.name));
        }
        let code = if source.is_test() { "" } else { source.code() };
        for name in settings.iter().filter(|name| code.contains(&format!("\"{name}\""))) {
            wrong.push(format!("{} names the setting {name}", source.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_long() {
    let long = |source: &&Source| source.text.lines().count() > LONGEST_FILE;
    let mut all = sources();
    let backend = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../backend/src");
    read(&backend, &backend, &mut all);
    let names: Vec<String> = all.iter().filter(long).map(|source| source.name.clone()).collect();
    assert!(names.is_empty(), "split these along a seam: {}", names.join(", "));
}
