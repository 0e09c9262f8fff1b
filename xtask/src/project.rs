//! Where things are: the checkout, its state folder, and what tells it from other checkouts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::failure::{Exit, Failure};
use crate::product::SLUG;

/// A file that every checkout has and nothing else is likely to.
const MARKER: &str = "xtask/Cargo.toml";

/// One checkout of the project.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
    /// A folder for the state and the settings, where that is not the checkout itself.
    elsewhere: Option<PathBuf>,
}

/// Names a folder that holds another stack of the same checkout: its state, its data and its settings.
const ELSEWHERE: &str = "XTASK_STATE";

impl Project {
    /// The checkout that this run is about.
    ///
    /// `cargo xtask` says which by `CARGO_MANIFEST_DIR`; a binary that is run by itself looks upwards from the current
    /// folder, and last at the checkout that it was built in.
    pub fn find() -> Result<Self> {
        let told = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let told = told.as_deref().and_then(Path::parent).map(Path::to_owned);
        let here = std::env::current_dir().ok();
        let above = here.iter().flat_map(|here| here.ancestors()).map(Path::to_owned);
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
        let root = told.into_iter().chain(above).chain(built).find(|folder| folder.join(MARKER).is_file());
        let root = root.ok_or_else(|| {
            Failure::new(Exit::Missing, "no checkout of the project is here or above")
                .hint("run it inside of one, as `cargo xtask …`")
        })?;
        Self::at(&root)
    }

    /// The checkout at `root`.
    pub fn at(root: &Path) -> Result<Self> {
        // One folder must not have two identities, one by way of a link.
        let root = root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
        let elsewhere = match std::env::var_os(ELSEWHERE).filter(|folder| !folder.is_empty()) {
            None => None,
            Some(folder) => {
                std::fs::create_dir_all(&folder).with_context(|| format!("{ELSEWHERE} is no folder to use"))?;
                Some(PathBuf::from(folder).canonicalize()?)
            }
        };
        Ok(Self { root, elsewhere })
    }

    /// The checkout's folder, without links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the state and the settings.
    pub fn home(&self) -> &Path {
        self.elsewhere.as_deref().unwrap_or(&self.root)
    }

    /// Where everything lies that belongs to this checkout's running stack.
    pub fn state(&self) -> PathBuf {
        self.home().join(".stack")
    }

    /// The file of local settings.
    pub fn settings(&self) -> PathBuf {
        self.home().join(".env.docker")
    }

    /// What the file of local settings is made from.
    pub fn settings_template(&self) -> PathBuf {
        self.root.join(".env.docker.example")
    }

    /// A number that stays with the stack's path: the 32-bit FNV-1a hash of it.
    pub fn number(&self) -> u32 {
        fnv1a(self.home().as_os_str().as_encoded_bytes())
    }

    /// The name under which Docker and others know what belongs to this checkout.
    pub fn name(&self) -> String {
        format!("{SLUG}-{:08x}", self.number())
    }

    /// Whether another stack has the first right to the usual ports: this is a linked worktree (`git worktree add`),
    /// which lives beside a main checkout, or a second stack of the same checkout.
    pub fn is_second(&self) -> bool {
        self.elsewhere.is_some() || self.root.join(".git").is_file()
    }

    /// `path` as somebody inside the checkout would write it.
    pub fn relative<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(self.home()).or_else(|_| path.strip_prefix(&self.root)).unwrap_or(path).display()
    }
}

/// [FNV-1a](http://www.isthe.com/chongo/tech/comp/fnv/): the standard library's hashes may change between releases,
/// and with them every port.
pub fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn paths_inside_are_shown_from_the_root() {
        let project = Project { root: PathBuf::from("/p"), elsewhere: None };
        assert_eq!(project.relative(Path::new("/p/.stack/logs")).to_string(), ".stack/logs");
        assert_eq!(project.relative(Path::new("/q/x")).to_string(), "/q/x");
    }

    /// A checkout in a folder of its own.
    fn checkout() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("xtask")).unwrap();
        std::fs::write(folder.path().join(MARKER), "").unwrap();
        folder
    }

    #[cfg(unix)]
    #[test]
    fn a_checkout_is_the_same_one_by_whatever_way_it_is_reached() {
        let (folder, other) = (checkout(), checkout());
        let link = other.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let (straight, linked) = (Project::at(folder.path()).unwrap(), Project::at(&link).unwrap());
        assert_eq!((straight.root(), straight.name()), (linked.root(), linked.name()));
        assert_ne!(straight.name(), Project::at(other.path()).unwrap().name());
        assert!(Project::at(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_second_stack_has_a_name_a_state_and_settings_of_its_own_and_the_same_template() {
        let first = Project { root: PathBuf::from("/p"), elsewhere: None };
        let second = Project { root: PathBuf::from("/p"), elsewhere: Some(PathBuf::from("/q")) };
        assert_eq!((second.state(), second.settings()), (PathBuf::from("/q/.stack"), PathBuf::from("/q/.env.docker")));
        assert_eq!(second.settings_template(), first.settings_template());
        assert_ne!(second.name(), first.name());
        assert!(second.is_second() && !first.is_second());
        assert_eq!(second.relative(Path::new("/q/.env.docker")).to_string(), ".env.docker");
        assert_eq!(second.relative(Path::new("/p/infra")).to_string(), "infra");
    }

    #[test]
    fn a_linked_worktree_leaves_the_usual_ports_to_the_main_checkout() {
        let folder = checkout();
        let project = Project::at(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        assert!(!project.is_second());
        std::fs::remove_dir(folder.path().join(".git")).unwrap();
        std::fs::write(folder.path().join(".git"), "gitdir: elsewhere").unwrap();
        assert!(project.is_second());
    }
}
