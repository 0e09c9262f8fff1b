//! Another product in this one's place: a fresh clone in which only what `docs/adopting.md` names is changed, built and
//! brought up. Nothing that it shows or makes may have the old name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};

use super::fresh::FreshClone;
use crate::context::Context;
use crate::plan::{Action, Phase, Plan, Rollout};
use crate::product::{BINARY, NAME, REPLACED, SLUG};
use crate::runner::Output;
use crate::stack::detect::EngineChoice;
use crate::stack::servers::Origin;

/// The other product's name, for people and for files.
const OTHER: (&str, &str) = ("Lantern", "lantern");

/// Makes the clone, renames it, uses it, and removes it whatever came of it.
pub fn run(context: &Context, servers: Origin) -> Result<u8> {
    let folder = tempfile::Builder::new().prefix("renamed-").tempdir()?;
    let clone = FreshClone::in_folder(context, &folder, EngineChoice::Host, servers)?;
    Rollout::new(phases(&Arc::new(clone)))?.run(context)?;
    Ok(0)
}

fn phases(clone: &Arc<FreshClone>) -> Vec<Phase> {
    let phase = |name, purpose: &str, actions: fn(&Arc<FreshClone>) -> Vec<Action>| {
        let clone = Arc::clone(clone);
        Phase::new(name, purpose, move |_| Ok(Plan::of(name, actions(&clone), "as promised")))
    };
    let to_clean = Arc::clone(clone);
    let clean = move || Ok(Plan::of("clean", vec![to_clean.task(&["clean", "--yes"])], "cleaned"));
    vec![
        phase("clone", "have what a new user has", |clone| vec![clone.make(), rename_all(clone)]),
        phase("use", "see the other product come up and work", uses).undo(clean),
        phase("clean", "see that it goes again", |clone| vec![clone.task(&["clean", "--yes"])]),
    ]
}

fn rename_all(clone: &Arc<FreshClone>) -> Action {
    let clone = Arc::clone(clone);
    Action::check(format!("call the product {} in {}", OTHER.0, REPLACED.join(", ")), move |_| {
        REPLACED.iter().try_for_each(|path| {
            let count = rename(&clone.path(path))?;
            ensure!(count > 0, "{path} does not name the product");
            Ok(())
        })
    })
}

/// Gives the product its other name in a file, or in all files below a folder. In how many there was something to rename.
fn rename(path: &Path) -> Result<usize> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let paths: Vec<PathBuf> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
        return paths.iter().map(|path| rename(path)).sum();
    }
    // What is no text has no name in it.
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(0) };
    let renamed =
        text.replace(NAME, OTHER.0).replace(SLUG, OTHER.1).replace(&SLUG.to_uppercase(), &OTHER.1.to_uppercase());
    if renamed == text {
        return Ok(0);
    }
    std::fs::write(path, renamed).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(1)
}

fn uses(clone: &Arc<FreshClone>) -> Vec<Action> {
    let says = |words: &[&str], expected: String| {
        let origin = clone.origin.clone();
        clone.expect(words, 0, move |output| {
            ensure!(output.stdout.contains(&expected), "{expected:?} is not in {:?}", output.stdout);
            tells_nothing_of_the_old(output, &origin)
        })
    };
    let other = BINARY.replace(SLUG, OTHER.1);
    let at_the_end = Arc::clone(clone);
    vec![
        says(&[&["up"][..], &clone.options].concat(), format!("{} is up", OTHER.0)),
        says(&["status"], format!("{} is up", OTHER.0)),
        says(&["smoke"], "ok ".to_owned()),
        says(&["seed"], String::new()),
        says(&["exec", "backend", "--", &other, "--version"], other.clone()),
        says(&["exec", "postgres", "--", "psql", "-Atc", "SELECT current_database()"], other.clone()),
        says(&["db", "dump"], "dumps/".to_owned()),
        says(&["logs", "-n", "1000"], "listening".to_owned()),
        says(&["--help"], OTHER.0.to_owned()),
        Action::check("see that no file of the stack has the old name", move |_| {
            let left = named_like_the_old(&at_the_end.path(".stack"))?;
            ensure!(left.is_empty(), "these have the old name: {}", left.join(", "));
            Ok(())
        }),
    ]
}

/// The folder of the checkout that the clone is made from may have any name.
fn tells_nothing_of_the_old(output: &Output, origin: &Path) -> Result<()> {
    let lines = output.lines();
    let old = lines.iter().find(|line| has_the_old_name(&line.replace(&*origin.to_string_lossy(), "")));
    ensure!(old.is_none(), "it still has the old name: {}", old.map_or("", String::as_str));
    Ok(())
}

fn has_the_old_name(text: &str) -> bool {
    text.to_lowercase().contains(SLUG)
}

/// The files and folders below this one whose names have the old name in them.
fn named_like_the_old(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| has_the_old_name(&name.to_string_lossy())) {
            found.push(path.display().to_string());
        }
        if path.is_dir() && !path.is_symlink() {
            found.extend(named_like_the_old(&path)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_name_is_replaced_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let text = format!("{NAME} {SLUG}_before {}_COMMIT other", SLUG.to_uppercase());
        std::fs::write(folder.path().join("a/one"), text).unwrap();
        std::fs::write(folder.path().join("two"), "nothing").unwrap();
        std::fs::write(folder.path().join("three"), [0xff, 0xfe]).unwrap();
        assert_eq!(rename(folder.path()).unwrap(), 1);
        let renamed = std::fs::read_to_string(folder.path().join("a/one")).unwrap();
        assert_eq!(renamed, "Lantern lantern_before LANTERN_COMMIT other");
        assert!(rename(Path::new("/no/such/folder/x")).is_ok_and(|count| count == 0));
    }

    #[test]
    fn the_old_name_is_found_in_what_is_said_and_in_the_names_of_files() {
        let said = |stdout: &str| Output { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() };
        let origin = Path::new("/home").join(SLUG);
        let innocent = format!("Lantern is up\nRunning /home/{SLUG}/target/xtask");
        assert!(tells_nothing_of_the_old(&said(&innocent), &origin).is_ok());
        let error = tells_nothing_of_the_old(&said(&format!("a\n{NAME} is up")), &origin).unwrap_err().to_string();
        assert!(error.ends_with(&format!("{NAME} is up")), "{error}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("run").join(SLUG)).unwrap();
        assert_eq!(named_like_the_old(folder.path()).unwrap().len(), 1);
    }
}
