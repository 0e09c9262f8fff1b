//! What the database says about queries that were changed: without it the backend does not compile, and with the stack's
//! own database at hand nobody has to ask for it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::Location;
use super::build::problem_of;
use super::files::Files;
use super::report::Problem;
use crate::context::Context;
use crate::file;
use crate::interrupt::CancelToken;
use crate::product::QUERY_METADATA;
use crate::product::setting::DATABASE_URL;
use crate::tool::backend::Variable;
use crate::tool::cargo::{self, Diagnosis};

/// Files of the checkout with what is to be in them.
pub type NewFiles = Vec<(PathBuf, Vec<u8>)>;

/// Builds with the stack's database at hand. The compiler's warnings, and the metadata of the queries that the checkout
/// has none of.
pub fn build_and_describe(
    context: &Context,
    location: &Location,
    files: &Files,
    environment: &[Variable],
    cancel: &CancelToken,
) -> Result<(Vec<String>, NewFiles), Problem> {
    let store = files.folder().join("queries");
    file::remove(&store)?;
    file::create(&store)?;
    let url = environment.iter().find(|variable| variable.name == DATABASE_URL);
    let step = cargo::with_live_database(location.build(), url.map_or("", |url| &url.value), &store);
    let diagnosis = RefCell::new(Diagnosis::default());
    let outcome = context.runner.run(&step, cancel, &|_, line| diagnosis.borrow_mut().hear(line));
    let diagnosis = diagnosis.into_inner();
    let new = new_files(&store, location.root());
    file::remove(&store)?;
    match outcome {
        Ok(()) => Ok((diagnosis.warnings, new?)),
        Err(error) => Err(problem_of(diagnosis, error)),
    }
}

/// What the store has and the checkout has not.
fn new_files(store: &Path, root: &Path) -> anyhow::Result<NewFiles> {
    let mut new = Vec::new();
    for entry in std::fs::read_dir(store)?.flatten() {
        let relative = Path::new(QUERY_METADATA).join(entry.file_name());
        if !root.join(&relative).exists() {
            new.push((relative, std::fs::read(entry.path())?));
        }
    }
    Ok(new)
}
