//! Saving everything that the database holds into a file.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::dumps::{self, Manifest, manifest_of};
use super::survey::{Mark, Survey};
use super::target::Target;
use crate::checkout;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file::{self, human_size};
use crate::plan::{Access, Action, Lane, Plan, Value};
use crate::runner;
use crate::step::Step;
use crate::tool::system;

/// Runs a step that [`Target::survey`] gives, and keeps its answer.
pub fn keep_survey(step: Step, value: &Value<Survey>) -> Action {
    let value = value.clone();
    let keep = move |step: &Step, output: &runner::Output| {
        value.set(Survey::parse(runner::success(step, output)?)?);
        Ok(())
    };
    Action::Read(step, Box::new(keep))
}

/// Dumps the database into a file that is not there yet, with its manifest beside it: both, or neither.
pub fn dump(context: &Context, target: &Target<'_>, into: &Path) -> Result<()> {
    let draft = file::draft_of(into);
    let folder = into.parent().map(Path::to_owned).unwrap_or_default();
    let commit = if context.dry_run { String::new() } else { checkout::commit(context) };
    let plan = plan(target, &draft, into, commit)?;
    plan.check()?;
    if context.dry_run {
        return plan.print(&context.terminal);
    }
    // Only our own: a folder whose name was mistyped is not made.
    if folder == dumps::folder(&context.project) {
        file::create(&folder)?;
    }
    file::create_private(&draft).map_err(|error| {
        let what = format!("no dump can be written there: {error:#}");
        Failure::new(Exit::Failed, what).hint("cargo xtask db dump FILE, in a folder that you can write to")
    })?;
    let outcome = plan.run(context).result;
    if outcome.is_err() {
        file::remove(&draft)?;
    }
    outcome
}

/// The database is counted while it is dumped. That both saw the same is told by the moments before and after: only if
/// somebody may have written between them it is counted again.
fn plan(target: &Target<'_>, draft: &Path, into: &Path, commit: String) -> Result<Plan> {
    let (begin, end, survey) = (Value::new("moment before"), Value::new("moment after"), Value::new("survey"));
    let (room, free_for) = (begin.clone(), into.parent().map(Path::to_owned).unwrap_or_default());
    let keep_mark = |value: &Value<Mark>| -> Result<Action> {
        Ok(Action::keep(target.mark()?, value, |said| Mark::parse(said).ok()))
    };
    let look = vec![
        keep_mark(&begin)?,
        Action::check("look for room on the disk", move |_| {
            expect_room(&free_for, room.get()?.bytes, "cargo xtask db dump FILE, on another disk")
        }),
    ];
    let after_look = || Action::After("look".to_owned());
    let count = vec![after_look(), keep_survey(target.survey(&target.database)?, &survey)];
    let dump = vec![after_look(), Action::Run(target.dump(draft)?)];
    let again = target.survey(&target.database)?;
    let (from, to, later) = (draft.to_owned(), into.to_owned(), end.clone());
    let write = move |access: &Access<'_>| {
        let before = survey.get()?;
        if begin.get()?.sees_the_same_as(later.get()?) {
            return finish(&from, &to, commit.clone(), before, before);
        }
        access.line.state("count again, because somebody may have written");
        let after = Survey::parse(&runner::read_well(access.runner, &again)?)?;
        finish(&from, &to, commit.clone(), before, &after)
    };
    let manifest = vec![
        Action::After("count".to_owned()),
        Action::After("dump".to_owned()),
        keep_mark(&end)?,
        Action::check(format!("write {} and its manifest", into.display()), write),
    ];
    let lane = |name: &str, actions: Vec<Action>, result: &str| Lane {
        name: name.to_owned(),
        actions,
        result: result.to_owned(),
    };
    Ok(Plan {
        lanes: vec![
            lane("look", look, "there is room"),
            lane("count", count, "counted"),
            lane("dump", dump, "dumped"),
            lane("manifest", manifest, "written"),
        ],
    })
}

/// Both files, or neither, and never in the place of another: whoever makes a file of that name meanwhile keeps it.
fn finish(draft: &Path, into: &Path, commit: String, before: &Survey, after: &Survey) -> Result<()> {
    let manifest = Manifest::new(commit, std::fs::metadata(draft)?.len(), before, after);
    let beside = manifest_of(into);
    claim(into)?;
    let rest = || {
        claim(&beside)?;
        let write = || {
            file::write(&beside, &serde_json::to_vec_pretty(&manifest)?, 0o600)?;
            std::fs::rename(draft, into).with_context(|| format!("cannot write {}", into.display()))
        };
        write().inspect_err(|_| drop(file::remove(&beside)))
    };
    rest().inspect_err(|_| drop(file::remove(into)))
}

/// Makes an empty file, which nobody else can make from then on: it works where hard links do not.
fn claim(path: &Path) -> Result<()> {
    match file::create_new_private(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken(path).into()),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// The refusal to write over a file, which may be a dump, or somebody's own.
pub fn taken(path: &Path) -> Failure {
    let path = if std::fs::symlink_metadata(path).is_ok() { path.to_owned() } else { manifest_of(path) };
    Failure::new(Exit::Refused, format!("{} is there already", path.display()))
        .hint("cargo xtask db dump, without a name, which finds one")
}

/// Fails where a folder's disk has not so many bytes free: found before anything begins. A dump is never larger than the
/// database, because it has no indexes and is compressed.
pub fn expect_room(folder: &Path, bytes: u64, hint: &str) -> Result<()> {
    match system::free_space(folder) {
        Some(free) if free < bytes => {
            let what = format!(
                "the disk is full: {} are free for {}, and up to {} are needed",
                human_size(free),
                folder.display(),
                human_size(bytes)
            );
            Err(Failure::new(Exit::Missing, what).hint(hint).into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::exit_code;

    #[test]
    fn a_file_that_somebody_has_made_meanwhile_stays_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (draft, into) = (folder.path().join("draft"), folder.path().join("a.dump"));
        let survey = Survey::parse("server\t15.18\t8000\n").unwrap();
        let finish = || finish(&draft, &into, String::new(), &survey, &survey);
        for other in [into.clone(), manifest_of(&into)] {
            std::fs::write(&draft, "rows").unwrap();
            std::fs::write(&other, "mine").unwrap();
            let error = finish().unwrap_err();
            assert_eq!(exit_code(&error), 9);
            assert!(error.to_string().starts_with(&other.display().to_string()), "{error}");
            assert_eq!(std::fs::read_to_string(&other).unwrap(), "mine");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "the draft and the other's file");
            std::fs::remove_file(&other).unwrap();
        }
        finish().unwrap();
        assert_eq!(std::fs::read_to_string(&into).unwrap(), "rows");
        assert_eq!(Manifest::of(&into).unwrap().bytes, 4);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "the dump and its manifest");
    }

    #[test]
    fn a_disk_without_room_is_found_before_anything_begins() {
        let folder = tempfile::tempdir().unwrap();
        let error = expect_room(folder.path(), u64::MAX, "make room").unwrap_err();
        assert_eq!(
            (exit_code(&error), error.downcast_ref::<Failure>().unwrap().hints()),
            (3, &["make room".to_owned()][..])
        );
        assert!(error.to_string().starts_with("the disk is full: "), "{error}");
        assert!(expect_room(folder.path(), 1, "").is_ok());
    }
}
