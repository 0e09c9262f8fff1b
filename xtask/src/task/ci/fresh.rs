//! A fresh clone of HEAD, as a new user has it, and the tasks that are run in it.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use tempfile::TempDir;

use crate::context::Context;
use crate::file;
use crate::plan::Action;
use crate::runner::{self, Output};
use crate::stack::detect::EngineChoice;
use crate::stack::servers::Origin;
use crate::step::Step;
use crate::tool::{cargo, git};

/// A clone that is to be made.
pub struct FreshClone {
    /// The checkout that it is made from.
    pub origin: PathBuf,
    /// Where it is.
    pub root: PathBuf,
    /// What its tasks build into.
    pub target: PathBuf,
    /// What `up` is told besides.
    pub options: [&'static str; 4],
}

impl FreshClone {
    /// One below that folder, in which the stack's own users have to be able to go.
    pub fn in_folder(context: &Context, folder: &TempDir, engine: EngineChoice, servers: Origin) -> Result<Self> {
        file::set_mode(folder.path(), 0o755)?;
        let changes = context.runner.read(&git::changes(context.project.root()))?;
        if !changes.stdout.trim().is_empty() {
            context.terminal.warn("it is made of HEAD; changes that are not committed are not in it");
        }
        Ok(Self {
            origin: context.project.root().to_owned(),
            root: folder.path().join("clone"),
            // Kept between runs, beside the target folder that we were built in: only the first one builds everything.
            target: context.project.root().join("target").join("journey"),
            options: [
                "--engine",
                if engine == EngineChoice::Docker { "docker" } else { "host" },
                "--servers",
                match servers {
                    Origin::Auto => "auto",
                    Origin::System => "system",
                    Origin::Portable => "portable",
                },
            ],
        })
    }

    /// Makes it.
    pub fn make(&self) -> Action {
        Action::Run(git::clone(&self.origin, &self.root))
    }

    /// A task of the clone, as its user types it.
    pub fn xtask(&self, words: &[&str]) -> Step {
        Step::new(format!("run cargo xtask {}", words.join(" ")), cargo::program())
            .arg("xtask")
            .args(words.iter().copied())
            .env("CARGO_TARGET_DIR", &self.target)
            .folder(&self.root)
    }

    /// The task that brings its stack up.
    pub fn up(&self) -> Action {
        self.task(&[&["up"][..], &self.options].concat())
    }

    /// Runs a task of the clone.
    pub fn task(&self, words: &[&str]) -> Action {
        Action::Run(self.xtask(words))
    }

    /// Runs a task of the clone that has to end with this code, and to say what suits.
    pub fn expect(
        &self,
        words: &[&str],
        code: u8,
        suits: impl Fn(&Output) -> Result<()> + Send + Sync + 'static,
    ) -> Action {
        let judge = move |step: &Step, output: &Output| {
            if output.code == Some(i32::from(code)) {
                return suits(output);
            }
            let failure = runner::failure(step, output.code, &output.lines());
            Err(Error::new(failure).context(format!("exit code {code} was expected")))
        };
        Action::Read(self.xtask(words), Box::new(judge))
    }

    /// A path inside of it.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(Path::new(inside))
    }
}
