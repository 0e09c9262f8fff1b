//! Dumps as files: what they are called, what is in them, and which there are.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::survey::{Survey, Table};
use crate::failure::{Exit, Failure};
use crate::product::{DUMPS, SLUG};
use crate::project::Project;

/// The form of the manifest.
const SCHEMA: u32 = 1;

/// What lies beside a dump, and says what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    schema_version: u32,
    /// Whose database it is.
    pub product: String,
    /// When it was dumped, RFC 3339.
    pub created: String,
    /// The commit that was checked out.
    pub commit: String,
    /// The server's version.
    pub server: String,
    /// The bytes of the dump.
    pub bytes: u64,
    /// The bytes that the database took on its server's disk.
    pub database_bytes: u64,
    /// The versions of the migrations that were applied, in order.
    pub migrations: Vec<u64>,
    /// What each table held; none where somebody wrote while it was dumped.
    pub tables: Option<BTreeMap<String, Table>>,
    /// Whether that is every table, and not only those of the schema `public` without an underscore before their names.
    #[serde(default)]
    has_every_table: bool,
}

impl Manifest {
    /// Of a dump of so many bytes, with the database as it was before and after it.
    pub fn new(commit: String, bytes: u64, before: &Survey, after: &Survey) -> Self {
        Self {
            schema_version: SCHEMA,
            product: SLUG.to_owned(),
            created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            commit,
            server: before.server.clone(),
            bytes,
            database_bytes: before.bytes,
            migrations: before.migrations.clone(),
            tables: (before.tables == after.tables).then(|| before.tables.clone()),
            has_every_table: true,
        }
    }

    /// The manifest of a dump that is whole; what is wrong with it, else.
    pub fn of(dump: &Path) -> Result<Self> {
        let name = dump.display();
        let refused = |why: String| Failure::new(Exit::Failed, format!("{name} cannot be restored: {why}"));
        let size = std::fs::metadata(dump).with_context(|| format!("cannot read {name}"))?.len();
        let path = manifest_of(dump);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let why = format!("{} is missing, which says what is in it", path.display());
                return Err(refused(why)
                    .hint("pg_restore restores a dump from elsewhere into a database of your own")
                    .into());
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| refused(format!("{}: {error}", path.display())))?;
        let why = if manifest.schema_version != SCHEMA {
            format!("another version of xtask wrote {}", path.display())
        } else if manifest.product != SLUG {
            format!("it is a dump of {}", manifest.product)
        } else if manifest.bytes != size {
            format!("it has {size} bytes, and had {} when it was made", manifest.bytes)
        } else {
            return Ok(manifest);
        };
        Err(refused(why).into())
    }

    /// Whether its sums are over the text of each row, as older versions of xtask have made them.
    pub fn counts_by_text(&self) -> bool {
        let is_by_hash = |table: &Table| table.checksum.starts_with("h:");
        self.tables.as_ref().is_some_and(|tables| !tables.values().any(is_by_hash))
    }

    /// What differs in a database that was made from the dump, a sentence each; nothing where no rows were counted.
    pub fn differences(&self, restored: &Survey) -> Vec<String> {
        let Some(tables) = &self.tables else { return Vec::new() };
        let mut restored = restored.clone();
        let was_counted = |name: &String| self.has_every_table || !name.starts_with('_') && !name.contains('.');
        restored.tables.retain(|name, _| was_counted(name) || tables.contains_key(name));
        restored.differences(tables)
    }

    /// How many rows it holds; none where that is not known.
    pub fn rows(&self) -> Option<u64> {
        self.tables.as_ref().map(|tables| tables.values().map(|table| table.rows).sum())
    }
}

/// The file beside a dump.
pub fn manifest_of(dump: &Path) -> PathBuf {
    let mut name = dump.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

/// Where dumps lie unless somebody says otherwise: outside of what `clean` removes.
pub fn folder(project: &Project) -> PathBuf {
    project.root().join(DUMPS)
}

/// A name for a dump that is made now, and that none has yet: names sort as their times do.
pub fn new_path(project: &Project) -> PathBuf {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace([':', '-'], "");
    let names = (1_u32..).map(|number| if number == 1 { now.clone() } else { format!("{now}-{number}") });
    let mut paths = names.map(|name| folder(project).join(format!("{name}.dump")));
    paths.find(|path| !is_taken(path)).unwrap_or_default()
}

/// Whether a dump has the name that [`new_path`] gives: one that somebody has named is one that they want to keep.
pub fn is_named_by_its_time(dump: &Path) -> bool {
    let name = dump.file_stem().unwrap_or_default().to_string_lossy();
    let time = name.split('-').next().unwrap_or_default().as_bytes();
    let is_digit = |place: usize| time.get(place).is_some_and(u8::is_ascii_digit);
    time.len() == 16 && time[8] == b'T' && time[15] == b'Z' && (0..15).all(|place| place == 8 || is_digit(place))
}

/// Whether there is a dump of that name, or a file where its manifest would be.
pub fn is_taken(path: &Path) -> bool {
    path.exists() || manifest_of(path).exists()
}

/// The dump that somebody means: a path, or the name of one in the folder of dumps.
pub fn named(project: &Project, file: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(file)?;
    let candidates = [path, folder(project).join(file)];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("there is no dump {}", file.display())).hint("cargo xtask db dumps").into()
    })
}

/// The dumps of the checkout, the newest first, each with what is in it, or why it is of no use.
pub fn all(project: &Project) -> Vec<(PathBuf, Result<Manifest>)> {
    let entries = std::fs::read_dir(folder(project)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "dump"));
    let mut all: Vec<(PathBuf, Result<Manifest>)> =
        paths.into_iter().map(|path| (path.clone(), Manifest::of(&path))).collect();
    // Of two that were made in one second the number in the name tells; nobody knows the age of what is not whole.
    all.sort_by_cached_key(|(path, manifest)| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(1_u32);
        Reverse((manifest.as_ref().map(|manifest| manifest.created.clone()).unwrap_or_default(), number, name))
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(rows: u64) -> Survey {
        Survey::parse(&format!("server\t15.18\t8000\nmigration\t1\ntable\ta\t{rows}\t7\n")).unwrap()
    }

    /// A dump of four bytes in a folder of its own, with that manifest.
    fn dump(manifest: &Manifest) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dump");
        std::fs::write(&path, "data").unwrap();
        std::fs::write(manifest_of(&path), serde_json::to_string(manifest).unwrap()).unwrap();
        (folder, path)
    }

    #[test]
    fn a_dump_is_restored_only_if_it_is_whole_and_ours() {
        let good = Manifest::new("abc".to_owned(), 4, &survey(2), &survey(2));
        let (_folder, path) = dump(&good);
        assert_eq!(Manifest::of(&path).unwrap(), good);
        for (manifest, why) in [
            (Manifest { bytes: 5, ..good.clone() }, "it has 4 bytes, and had 5 when it was made"),
            (Manifest { product: "shop".to_owned(), ..good.clone() }, "it is a dump of shop"),
            (Manifest { schema_version: 2, ..good.clone() }, "another version of xtask"),
        ] {
            let (_folder, path) = dump(&manifest);
            let error = Manifest::of(&path).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        std::fs::write(manifest_of(&path), "{").unwrap();
        assert!(Manifest::of(&path).unwrap_err().to_string().contains("a.dump.json"));
        std::fs::remove_file(manifest_of(&path)).unwrap();
        assert!(Manifest::of(&path).unwrap_err().to_string().contains("a.dump.json is missing"));
        assert!(Manifest::of(Path::new("/no/such.dump")).is_err());
    }

    #[test]
    fn two_dumps_of_one_second_have_two_names_and_no_file_of_somebody_else_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("xtask")).unwrap();
        std::fs::write(folder.path().join("xtask/Cargo.toml"), "").unwrap();
        let project = Project::at(folder.path()).unwrap();
        let mut paths = Vec::new();
        for index in 0..3 {
            let path = new_path(&project);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            // Either of the two files is in the way.
            std::fs::write(if index == 1 { manifest_of(&path) } else { path.clone() }, "").unwrap();
            assert!(!paths.contains(&path), "{}", path.display());
            paths.push(path);
        }
        let first = paths.iter().find(|path| path.is_file()).unwrap();
        assert_eq!(named(&project, Path::new(first.file_name().unwrap())).unwrap(), *first, "a bare name is enough");
        let error = named(&project, Path::new("nosuch.dump")).unwrap_err();
        assert_eq!(error.downcast_ref::<Failure>().unwrap().hints(), ["cargo xtask db dumps"]);
    }

    #[test]
    fn the_newest_dump_is_the_first_also_of_several_in_one_second() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("xtask")).unwrap();
        std::fs::write(folder.path().join("xtask/Cargo.toml"), "").unwrap();
        let project = Project::at(folder.path()).unwrap();
        std::fs::create_dir_all(super::folder(&project)).unwrap();
        let expected = ["20260102T000000Z-10", "20260102T000000Z-2", "20260102T000000Z", "named", "broken"];
        let times = ["2026-01-02", "2026-01-02", "2026-01-02", "2026-01-01"];
        for (name, time) in expected.iter().zip(times) {
            let path = super::folder(&project).join(format!("{name}.dump"));
            let manifest = Manifest::new(String::new(), 0, &survey(1), &survey(1));
            let manifest = Manifest { created: format!("{time}T00:00:00Z"), ..manifest };
            std::fs::write(&path, "").unwrap();
            std::fs::write(manifest_of(&path), serde_json::to_string(&manifest).unwrap()).unwrap();
        }
        std::fs::write(super::folder(&project).join("broken.dump"), "").unwrap();
        let names: Vec<String> =
            all(&project).iter().map(|(path, _)| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn what_an_older_manifest_did_not_count_is_not_compared() {
        let restored = |more: &str| Survey::parse(&format!("server\t15.18\t8000\ntable\ta\t2\t7\n{more}")).unwrap();
        let manifest = Manifest::new("abc".to_owned(), 4, &survey(2), &survey(2));
        let text = serde_json::to_string(&manifest).unwrap();
        let older: Manifest = serde_json::from_str(&text.replace(",\"has_every_table\":true", "")).unwrap();
        assert_ne!(older, manifest);
        for more in ["table\tapp.notes\t1\t1\n", "table\t_notes\t1\t1\n"] {
            assert_eq!(older.differences(&restored(more)), Vec::<String>::new());
            assert_eq!(manifest.differences(&restored(more)).len(), 1, "{more}");
        }
        assert_eq!(older.differences(&restored("table\tb\t1\t1\n")).len(), 1);
    }

    #[test]
    fn a_name_that_somebody_chose_is_told_from_a_time() {
        for (name, is_time) in [
            ("20261125T101500Z.dump", true),
            ("20261125T101500Z-12.dump", true),
            ("before-the-demo.dump", false),
            ("20261125.dump", false),
            ("20261125T10150xZ.dump", false),
        ] {
            assert_eq!(is_named_by_its_time(Path::new(name)), is_time, "{name}");
        }
    }

    #[test]
    fn rows_that_changed_meanwhile_are_not_promised() {
        let manifest = Manifest::new("abc".to_owned(), 4, &survey(2), &survey(3));
        assert_eq!((manifest.tables.is_none(), manifest.rows()), (true, None));
        assert_eq!(Manifest::new("abc".to_owned(), 4, &survey(2), &survey(2)).rows(), Some(2));
    }
}
