//! What is uploaded: exactly the tracked files that the image is made from, with the commit baked in.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file;
use crate::product::{COMMIT_FILE, IMAGE_FILES};
use crate::runner::{self, Runner};
use crate::tool::git;

/// Names that a service which still reads them would take for its settings.
const NEVER: [&str; 2] = ["railway.json", "railway.toml"];

/// Copies the files into a folder of its own, which is removed with the value. A builder that is told the commit by an
/// argument needs no file of it, and finds in its cache what it has built of the checkout itself.
pub fn make(context: &Context, runner: &dyn Runner, dockerfile: &str, commit: Option<&str>) -> Result<TempDir> {
    let root = context.project.root();
    let list = std::fs::read_to_string(root.join(IMAGE_FILES)).with_context(|| format!("cannot read {IMAGE_FILES}"))?;
    let mut paths = wanted(&list);
    paths.push(IMAGE_FILES.to_owned());
    paths.push(dockerfile.to_owned());
    let said = runner::read_well(runner, &git::tracked_files(root, &paths))?;
    let files: Vec<&str> = said.split('\0').filter(|name| !name.is_empty()).collect();
    ensure!(files.contains(&dockerfile), "{dockerfile}, which builds the image, is not tracked by git");
    let folder = tempfile::Builder::new().prefix("xtask-deploy-").tempdir().context("cannot make a folder")?;
    for name in files.into_iter().filter(|name| !is_never(name) && *name != COMMIT_FILE) {
        copy(root, folder.path(), name)?;
    }
    if let Some(commit) = commit {
        file::write(&folder.path().join(COMMIT_FILE), format!("{commit}\n").as_bytes(), 0o644)?;
    }
    Ok(folder)
}

/// The paths that an image is made from: what the list takes back from having left out everything.
fn wanted(list: &str) -> Vec<String> {
    let lines = list.lines().map(str::trim).filter_map(|line| line.strip_prefix('!'));
    lines.map(|path| path.trim_start_matches('/').to_owned()).filter(|path| path != COMMIT_FILE).collect()
}

fn is_never(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|name| NEVER.iter().any(|never| name == *never))
}

fn copy(root: &Path, folder: &Path, name: &str) -> Result<()> {
    let (from, to) = (root.join(name), folder.join(name));
    let Ok(kind) = std::fs::symlink_metadata(&from) else {
        // Tracked and deleted: a release of what is in no commit leaves it out.
        return Ok(());
    };
    if kind.is_symlink() && !stays_inside(root, &from) {
        let what = format!("{name} is a link to something outside of the checkout, or to nothing");
        return Err(Failure::new(Exit::Missing, what).hint("replace it by the file itself").into());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    // Links are followed, as the upload would.
    std::fs::copy(&from, &to).with_context(|| format!("cannot copy {name}"))?;
    Ok(())
}

fn stays_inside(root: &Path, link: &Path) -> bool {
    let (Ok(target), Ok(root)) = (link.canonicalize(), root.canonicalize()) else { return false };
    let inner: Option<PathBuf> = target.strip_prefix(root).ok().map(Path::to_owned);
    inner.is_some_and(|inner| !inner.components().any(|part| part == Component::Normal(".git".as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;
    use crate::runner::says;

    const LIST: &str = "# a comment\n*\n!Cargo.toml\n!backend/src\n!backend/COMMIT\n";

    fn fixture(tracked: &str) -> Fixture {
        let fixture = Fixture::new(&[]);
        fixture.write(IMAGE_FILES, LIST);
        fixture.write("Cargo.toml", "[workspace]");
        fixture.write("backend/src/main.rs", "fn main() {}");
        fixture.write("backend/src/railway.toml", "old");
        fixture.runner.on("git ls-files", says(&tracked.replace(' ', "\0")));
        fixture
    }

    fn make(fixture: &Fixture) -> Result<TempDir> {
        super::make(&fixture.context, &*fixture.context.runner, "infra/Dockerfile", Some("abc"))
    }

    #[test]
    fn only_tracked_files_of_the_image_are_uploaded_with_the_commit_and_no_settings_of_the_platform() {
        let tracked = "Cargo.toml .dockerignore infra/Dockerfile backend/src/main.rs backend/src/railway.toml backend/src/gone.rs";
        let fixture = fixture(tracked);
        let folder = make(&fixture).unwrap();
        assert!(
            fixture.runner.was_asked("ls-files --cached -z -- Cargo.toml backend/src .dockerignore infra/Dockerfile")
        );
        let has = |name: &str| folder.path().join(name).exists();
        for name in ["Cargo.toml", ".dockerignore", "infra/Dockerfile", "backend/src/main.rs"] {
            assert!(has(name), "{name}");
        }
        assert!(!has("backend/src/railway.toml") && !has("backend/src/gone.rs"));
        assert_eq!(std::fs::read_to_string(folder.path().join(COMMIT_FILE)).unwrap(), "abc\n");
    }

    #[test]
    fn without_what_builds_it_nothing_is_uploaded() {
        let error = make(&fixture("Cargo.toml")).unwrap_err().to_string();
        assert_eq!(error, "infra/Dockerfile, which builds the image, is not tracked by git");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leaves_the_checkout_is_not_followed() {
        let fixture = fixture("infra/Dockerfile backend/src/link");
        std::os::unix::fs::symlink("/etc/passwd", fixture.root().join("backend/src/link")).unwrap();
        let error = make(&fixture).unwrap_err().to_string();
        assert!(error.starts_with("backend/src/link is a link to something outside"), "{error}");
    }
}
