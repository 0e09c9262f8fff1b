//! Migrations as files: `<version>_<name>.up.sql`, and beside it the `.down.sql` that takes it back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What the file of a migration's way back begins with, and all that is in it where there is none.
pub const DOWN: &str = "-- Undoes what the file beside it does.\n";

/// A migration, as its files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The digits before its name: the time at which it was written.
    pub version: u64,
    /// The file that applies it.
    pub up: PathBuf,
    /// What that holds.
    pub text: String,
}

impl Migration {
    /// Whether it runs outside of a transaction: sqlx asks for this line at the beginning.
    pub fn is_without_transaction(&self) -> bool {
        self.text.starts_with("-- no-transaction")
    }
}

/// The migrations of a folder, and what is wrong with its files.
#[derive(Debug, Default)]
pub struct Migrations {
    /// In the order of their versions.
    pub all: Vec<Migration>,
    /// A sentence each, with the file's name.
    pub problems: Vec<String>,
}

/// Reads a folder of migrations. What is no migration is a problem; what cannot be read at all is an error.
pub fn read(folder: &Path) -> Result<Migrations> {
    let mut found = Migrations::default();
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    // Editors and systems leave hidden files anywhere.
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    let mut versions: BTreeMap<u64, String> = BTreeMap::new();
    for name in &names {
        let Some((version, stem, is_up)) = parts(name) else {
            found.problems.push(format!("{name} is not called <version>_<name>.up.sql or .down.sql"));
            continue;
        };
        let other = format!("{stem}.{}.sql", if is_up { "down" } else { "up" });
        if !names.contains(&other) {
            found.problems.push(format!("{name} is without {other}"));
        }
        if !is_up {
            continue;
        }
        if let Some(first) = versions.insert(version, name.clone()) {
            found.problems.push(format!("{first} and {name} have the same version"));
        }
        let up = folder.join(name);
        match String::from_utf8(std::fs::read(&up).with_context(|| format!("cannot read {}", up.display()))?) {
            Ok(text) => found.all.push(Migration { version, up, text }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                found.problems.push(format!("{name} is not UTF-8, from byte {valid} on"));
            }
        }
    }
    found.all.sort_by_key(|migration| migration.version);
    Ok(found)
}

/// The files of the migration of that version.
pub fn files_of(folder: &Path, version: u64) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| parts(name).is_some_and(|(known, ..)| known == version)).collect();
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// The version, what stands before `.up.sql` or `.down.sql`, and whether it is the former.
fn parts(name: &str) -> Option<(u64, &str, bool)> {
    let (stem, is_up) = match (name.strip_suffix(".up.sql"), name.strip_suffix(".down.sql")) {
        (Some(stem), _) => (stem, true),
        (None, Some(stem)) => (stem, false),
        (None, None) => return None,
    };
    let (version, words) = stem.split_once('_')?;
    let is_version = version.len() == 14 && version.bytes().all(|byte| byte.is_ascii_digit());
    (is_version && !words.is_empty()).then(|| Some((version.parse().ok()?, stem, is_up)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_and_what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        for name in ["20260102000000_b.up.sql", "20260102000000_b.down.sql", "20260101000000_a.up.sql"] {
            write(name, b"SELECT 1;");
        }
        write("20260102000000_c.up.sql", b"-- no-transaction\n");
        write("20260102000000_c.down.sql", b"");
        write("20260103000000_d.up.sql", b"SELECT '\xff'");
        write("20260103000000_d.down.sql", b"");
        write("2026_short.up.sql", b"");
        write("notes.txt", b"");
        write(".DS_Store", b"");
        let found = read(folder.path()).unwrap();
        assert_eq!(
            found.problems,
            [
                "20260101000000_a.up.sql is without 20260101000000_a.down.sql",
                "20260102000000_b.up.sql and 20260102000000_c.up.sql have the same version",
                "20260103000000_d.up.sql is not UTF-8, from byte 8 on",
                "2026_short.up.sql is not called <version>_<name>.up.sql or .down.sql",
                "notes.txt is not called <version>_<name>.up.sql or .down.sql",
            ]
        );
        let versions: Vec<u64> = found.all.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, [20_260_101_000_000, 20_260_102_000_000, 20_260_102_000_000]);
        assert!(found.all[2].is_without_transaction() && !found.all[0].is_without_transaction());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(read(Path::new("/no/such/folder")).is_err());
    }
}
