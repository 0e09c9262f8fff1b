//! What an image holds: its description, its history and its files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::runner::{self, Runner};
use crate::tool::{docker, tar};

/// An image as the daemon describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Description {
    /// Its size in bytes.
    pub size: u64,
    /// What its containers are given.
    pub config: Config,
}

/// What the containers of an image are given, as `docker image inspect` names it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Whom they run as: a name or a number, and a group behind a colon.
    pub user: String,
    /// `NAME=value` each.
    pub env: Option<Vec<String>>,
    /// What the image says of itself.
    pub labels: Option<std::collections::BTreeMap<String, String>>,
    /// What ends them in order.
    pub stop_signal: String,
    /// How the daemon asks whether they are well.
    pub healthcheck: Option<serde_json::Value>,
}

/// What a layer holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Layer {
    /// What made it.
    pub made_by: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A file of a layer, and where it was unpacked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Where it is in the image.
    pub name: String,
    /// Where it can be read.
    pub path: PathBuf,
}

/// The image as the daemon describes it.
pub fn describe(runner: &dyn Runner, image: &str) -> Result<Description> {
    let text = runner::read_well(runner, &docker::describe_image(image))?;
    let mut all: Vec<Description> =
        serde_json::from_str(&text).context("docker image inspect says what cannot be understood")?;
    all.pop().context("docker image inspect describes nothing")
}

/// The steps that made the image, from the last to the first, each with the size of what it added.
pub fn history(runner: &dyn Runner, image: &str) -> Result<Vec<Layer>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Row {
        created_by: String,
        size: String,
    }
    let text = runner::read_well(runner, &docker::history(image))?;
    let rows = text.lines().map(serde_json::from_str::<Row>);
    let rows: Vec<Row> = rows.collect::<Result<_, _>>().context("docker history says what cannot be understood")?;
    Ok(rows
        .into_iter()
        .map(|row| Layer { made_by: row.created_by, size: row.size.parse().unwrap_or_default() })
        .collect())
}

/// Every file of every layer, unpacked into `folder`.
pub fn unpack(runner: &dyn Runner, image: &str, folder: &Path) -> Result<Vec<Content>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Manifest {
        layers: Vec<String>,
    }
    let archive = folder.join("image.tar");
    let outer = folder.join("image");
    runner::read_well(runner, &docker::save(image, &archive))?;
    std::fs::create_dir_all(&outer)?;
    runner::read_well(runner, &tar::unpack(&archive, &outer))?;
    let manifest = std::fs::read(outer.join("manifest.json")).context("the saved image has no manifest")?;
    let manifests: Vec<Manifest> = serde_json::from_slice(&manifest).context("the image's manifest is another one")?;
    let mut contents = Vec::new();
    for (index, layer) in manifests.iter().flat_map(|manifest| &manifest.layers).enumerate() {
        let into = folder.join(format!("layer-{index}"));
        std::fs::create_dir_all(&into)?;
        runner::read_well(runner, &tar::unpack(&outer.join(layer), &into))?;
        list(&into, &into, &mut contents)?;
    }
    Ok(contents)
}

fn list(root: &Path, folder: &Path, contents: &mut Vec<Content>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            list(root, &path, contents)?;
        } else {
            let name = format!("/{}", path.strip_prefix(root)?.display());
            contents.push(Content { name, path });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
