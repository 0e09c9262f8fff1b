//! What the backend is made of, and whether it is still the same.
//!
//! Contents are compared, not events or times: an editor's swap file, a save that changes nothing and a branch that is
//! left and come back to are then no change at all.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::product::{MIGRATIONS, NOT_BUILT, SOURCES};

/// The files that the backend is made of.
#[derive(Debug, Clone)]
pub struct Sources {
    root: PathBuf,
    settings: PathBuf,
}

/// What the files held at one moment, as fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, u64>,
    settings: Option<u64>,
}

impl Sources {
    /// Those of that checkout, whose settings are in that file.
    pub fn of(root: &Path, settings: &Path) -> Self {
        Self { root: root.to_owned(), settings: settings.to_owned() }
    }

    /// The folders in which something happens when a source changes, and whether those below count.
    pub fn folders(&self) -> Vec<(PathBuf, bool)> {
        let mut folders: Vec<(PathBuf, bool)> = Vec::new();
        let above = |path: &Path| path.parent().map(|folder| (folder.to_owned(), false));
        for source in SOURCES {
            let path = self.root.join(source);
            folders.extend(if path.is_dir() { Some((path, true)) } else { above(&path) });
        }
        folders.extend(above(&self.settings));
        folders.sort();
        folders.dedup();
        folders.retain(|(folder, _)| folder.is_dir());
        folders
    }

    /// What the files hold now.
    pub fn look(&self) -> Snapshot {
        let mut snapshot = Snapshot { files: BTreeMap::new(), settings: fingerprint(&self.settings) };
        for source in SOURCES {
            self.add(Path::new(source), &mut snapshot);
        }
        snapshot
    }

    fn add(&self, relative: &Path, snapshot: &mut Snapshot) {
        let path = self.root.join(relative);
        let Ok(found) = std::fs::metadata(&path) else { return };
        if !found.is_dir() {
            if let Some(fingerprint) = fingerprint(&path) {
                snapshot.files.insert(relative.to_owned(), fingerprint);
            }
            return;
        }
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            let inside = relative.join(entry.file_name());
            let is_built = !NOT_BUILT.iter().any(|folder| inside == Path::new(folder));
            if is_built && !is_scribble(&entry.file_name().to_string_lossy()) {
                self.add(&inside, snapshot);
            }
        }
    }
}

fn fingerprint(path: &Path) -> Option<u64> {
    Some(fingerprint_of(&std::fs::read(path).ok()?))
}

fn fingerprint_of(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What editors leave lying while a file is open or being saved: Vim's `.x.swp`, `x~` and `4913`, Emacs' `#x#` and
/// `.#x`, `JetBrains`' `x___jb_tmp___`. Hidden files are no source, except sqlx's folder.
fn is_scribble(name: &str) -> bool {
    (name.starts_with('.') && name != ".sqlx")
        || name.starts_with('#')
        || name.ends_with('~')
        || name == "4913"
        || name.contains("___jb_")
        || [".swp", ".swx", ".tmp", ".bak", ".orig", ".rej"].iter().any(|end| name.ends_with(end))
}

impl Snapshot {
    /// Adds a file that has just been written.
    pub fn add(&mut self, path: &Path, text: &[u8]) {
        self.files.insert(path.to_owned(), fingerprint_of(text));
    }

    /// A fingerprint of everything that the binary is built from.
    pub fn code(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.files.hash(&mut hasher);
        hasher.finish()
    }

    /// A fingerprint of the migrations.
    pub fn migrations(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in self.files.iter().filter(|(path, _)| path.starts_with(MIGRATIONS)) {
            file.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What differs from how it was before, in a line; none where nothing does.
    pub fn difference(&self, before: &Self) -> Option<String> {
        let both = self.files.keys().chain(before.files.keys());
        let mut changed: Vec<String> = both
            .filter(|path| self.files.get(*path) != before.files.get(*path))
            .map(|path| path.display().to_string())
            .collect();
        if self.settings != before.settings {
            changed.push("the settings".to_owned());
        }
        changed.sort();
        changed.dedup();
        match changed.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            [one, other] => Some(format!("{one} and {other}")),
            [first, rest @ ..] => Some(format!("{first} and {} more", rest.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for (path, text) in [
                ("Cargo.toml", "[workspace]"),
                ("backend/src/main.rs", "fn main() {}"),
                ("backend/migrations/1_a.up.sql", "SELECT 1"),
                ("backend/tests/it.rs", "#[test]"),
                (".env.docker", "LOG_LEVEL=info"),
            ] {
                tree.write(path, text);
            }
            tree
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn look(&self) -> Snapshot {
            Sources::of(self.0.path(), &self.0.path().join(".env.docker")).look()
        }
    }

    #[test]
    fn sources_migrations_manifests_and_settings_count() {
        let tree = Tree::new();
        let before = tree.look();
        for path in ["Cargo.toml", "backend/src/main.rs", "backend/src/new.rs", "backend/migrations/1_a.up.sql"] {
            let last = tree.look();
            tree.write(path, "changed");
            assert_eq!(tree.look().difference(&last).as_deref(), Some(path));
            assert_ne!(tree.look().code(), last.code(), "{path} is built");
        }
        let last = tree.look();
        assert_ne!(last.migrations(), before.migrations());
        tree.write(".env.docker", "LOG_LEVEL=debug");
        assert_eq!(tree.look().difference(&last).as_deref(), Some("the settings"));
        assert_eq!(tree.look().code(), last.code(), "settings need no build");
        assert_eq!(tree.look().difference(&before).unwrap(), "Cargo.toml and 4 more");
    }

    #[test]
    fn tests_and_what_editors_leave_lying_do_not_count() {
        let tree = Tree::new();
        let before = tree.look();
        for path in [
            "backend/tests/it.rs",
            "backend/src/.main.rs.swp",
            "backend/src/4913",
            "backend/src/main.rs~",
            "backend/src/.#main.rs",
            "backend/src/#main.rs#",
            "backend/src/main.rs.tmp",
            "README.md",
            "xtask/src/main.rs",
        ] {
            tree.write(path, "changed");
            assert_eq!(tree.look().difference(&before), None, "{path}");
        }
    }

    #[test]
    fn what_was_saved_without_a_change_or_changed_back_is_the_same() {
        let tree = Tree::new();
        let before = tree.look();
        tree.write("backend/src/main.rs", "fn main() { }");
        assert_ne!(tree.look(), before);
        tree.write("backend/src/main.rs", "fn main() {}");
        assert_eq!(tree.look(), before);
        std::fs::remove_file(tree.0.path().join("backend/src/main.rs")).unwrap();
        assert_eq!(tree.look().difference(&before).as_deref(), Some("backend/src/main.rs"));
    }
}
