//! Versions that take turns in a rehearsal: a clone of HEAD, and commits of it that are built in a second.
//!
//! A version is a commit and its variables. To build the backend for each commit would take an hour, so the clone's
//! Dockerfile takes the image of HEAD and writes another commit into its program. The phases are told nothing of that.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::ci::fresh::FreshClone;
use crate::context::Context;
use crate::failure::Exit;
use crate::image::{self, DOCKERFILE, Image};
use crate::plan::Action;
use crate::product::setting::UNLIMITED;
use crate::product::{BINARY, RUST_IMAGE};
use crate::project::Project;
use crate::release::declaration;
use crate::runner::{self, Runner};
use crate::stack::detect::EngineChoice;
use crate::stack::servers::Origin;
use crate::step::Step;
use crate::tool::edge::{Known, Standing};
use crate::tool::git;

/// How long one rehearsal may take.
const TIMEOUT: Duration = Duration::from_mins(10);
/// The codes that say what became of a deployment.
const CODES: &[(i32, Exit)] = &[(7, Exit::StillLive), (8, Exit::PutBack)];
/// A rehearsal.
const DEPLOY: [&str; 6] = ["deploy", "--rehearse", "--json", "--lock-timeout", "60", "--watch"];
/// What removes it all.
pub const REMOVE: [&str; 3] = ["deploy", "--rehearse", "--remove"];

/// A clone in which versions are made and rehearsed.
pub struct Versions {
    /// The clone.
    pub clone: FreshClone,
    /// The image of HEAD.
    image: Image,
}

impl Versions {
    /// In a clone below that folder.
    pub fn below(context: &Context, folder: &TempDir) -> Result<Self> {
        // The clone is made of HEAD, whatever differs from it in the checkout.
        let mut image = Image::of(context, None);
        for text in [&mut image.revision, &mut image.tag] {
            *text = text.trim_end_matches("-dirty").to_owned();
        }
        Ok(Self { clone: FreshClone::in_folder(context, folder, EngineChoice::Docker, Origin::Auto)?, image })
    }

    /// Makes the clone and the image of HEAD.
    pub fn make(&self) -> [Action; 2] {
        [
            self.clone.make(),
            Action::Follow(self.image.build_in(&self.clone.root, DOCKERFILE, false, false), image::progress),
        ]
    }

    /// Has the clone build a version in a second, and declares short times.
    pub fn prepare(&self) -> Result<()> {
        let (image, built_for) = (&self.image.tag, &self.image.revision);
        let dockerfile = format!(
            "FROM {RUST_IMAGE} AS written\nCOPY --from={image} /usr/local/bin/{BINARY} /{BINARY}\nARG REVISION\n\
             RUN grep -q {built_for} /{BINARY} && sed -i \"s/{built_for}/$REVISION/g\" /{BINARY}\n\
             FROM {image} AS production\nCOPY --from=written /{BINARY} /usr/local/bin/{BINARY}\n"
        );
        std::fs::write(self.clone.path(DOCKERFILE), dockerfile)?;
        let path = self.clone.path(declaration::FILE);
        let mut declared: Json = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        declared["services"][0]["environments"]["rehearsal"]["deploy"] =
            json!({ "numReplicas": 1, "overlapSeconds": 1, "healthcheckTimeout": 10 });
        std::fs::write(&path, serde_json::to_string_pretty(&declared)?)?;
        self.set_variables("")
    }

    /// Gives the versions from now on these variables besides what lets clients ask without a pause.
    pub fn set_variables(&self, more: &str) -> Result<()> {
        let unlimited: Vec<String> = UNLIMITED.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let path = self.clone.path(".env.rehearsal");
        std::fs::write(&path, format!("{}{more}", unlimited.concat()))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// A new version; its commit.
    pub fn commit(&self, runner: &dyn Runner, name: &str) -> Result<String> {
        runner::read_well(runner, &git::commit_all(&self.clone.root, &format!("Version {name}")))?;
        Ok(runner::read_well(runner, &git::head(&self.clone.root))?.trim().to_owned())
    }

    /// The rehearsal of what is checked out in the clone, watched for so long.
    pub fn rehearse(&self, watch: &str) -> Step {
        self.clone.xtask(&[&DEPLOY[..], &[watch]].concat()).timeout(TIMEOUT).exit_codes(CODES)
    }

    /// Rehearses what is checked out, which has to go well; its receipt.
    pub fn goes_well(&self, runner: &dyn Runner) -> Result<Json> {
        let receipt: Json = serde_json::from_str(&runner::read_well(runner, &self.rehearse("0s"))?)?;
        ensure!(receipt["verdict"] == "live", "the receipt says {}", receipt["verdict"]);
        Ok(receipt)
    }

    /// The build of the image of a commit, as a rehearsal orders it.
    pub fn build(&self, commit: &str) -> Step {
        let tag = format!("{}:{commit}", self.name("by-hand"));
        let image = Image { tag, revision: commit.to_owned(), ..self.image.clone() };
        image.build_in(&self.clone.root, DOCKERFILE, false, false)
    }

    /// What a part of the rehearsal is called.
    pub fn name(&self, part: &str) -> String {
        let name = Project::at(&self.clone.root).map(|project| project.name()).unwrap_or_default();
        format!("{name}-rehearsal-{part}")
    }

    /// Every deployment, as the edge has written it down.
    pub fn deployments(&self) -> Result<Vec<Known>> {
        let path = self.clone.path(".stack/rehearsal/edge-state.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(serde_json::from_str::<Standing>(&text)?.deployments)
    }
}
