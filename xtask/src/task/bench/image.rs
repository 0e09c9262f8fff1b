//! The image that ships: how long it takes to build, again and again, and what it is like.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{Figure, Run};
use crate::file;
use crate::image::{self, boot, contents};
use crate::plan::{Rollout, Value};
use crate::product::BINARY;
use crate::runner::read_well;
use crate::stack::detect;
use crate::step::Step;
use crate::tool::{cargo, docker, git};

/// What the image is called while it is measured.
const TAG: &str = "bench:image";
/// A dependency that the backend has too, so that it can be given to xtask without a network.
const DEPENDENCY: &str = "base64 = \"0.22\"\n";

/// What [`figures`] measures.
pub const WHAT: &str = "builds of the image, its start, its memory and its end";

/// Every figure of the image, from builds of a clone of HEAD.
pub fn figures(run: &Run<'_>) -> Result<Vec<Figure>> {
    detect::look_for_docker(&*run.context.runner)?;
    let clone = run.folder.path().join("clone");
    read_well(&*run.context.runner, &git::clone(run.context.project.root(), &clone))?;
    let outcome = measured(run, &clone);
    // Whatever was being measured when it ended.
    drop(run.context.runner.read(&docker::remove(docker::Kind::Image, &[TAG.to_owned()])));
    outcome
}

fn measured(run: &Run<'_>, clone: &Path) -> Result<Vec<Figure>> {
    let (mut cold, mut backend, mut xtask, mut compiled) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in 0..run.runs {
        run.say("a build of the image from nothing, which takes minutes");
        cold.push(build(run, clone, true)?.0);
        run.say("a build after a change of the backend");
        append(&clone.join("backend/src/page.rs"), &format!("// edit {number}\n"))?;
        backend.push(build(run, clone, false)?.0);
        run.say("a build after a change of xtask and of what it depends on");
        append(&clone.join("xtask/src/main.rs"), &format!("// edit {number}\n"))?;
        give_dependency(run, clone, number == 0)?;
        let (seconds, crates) = build(run, clone, false)?;
        xtask.push(seconds);
        compiled.push(crates);
    }
    run.say("its start, its memory and its end");
    let (mut healthy, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..run.runs.max(3) {
        let boot = Value::new("boot");
        Rollout::new(boot::phases(run.context, TAG, &boot)?)?.run(run.context)?;
        let boot = boot.get()?;
        healthy.push(as_f64(boot.healthy_ms));
        memory.push(as_f64(u128::from(boot.idle_memory_bytes)) / 1e6);
    }
    let size = contents::describe(&*run.context.runner, TAG)?.size;
    let binary = binary_size(run)?;
    let ratio: Vec<f64> = backend.iter().zip(&cold).map(|(backend, cold)| backend / cold).collect();
    let (size, binary) = (as_f64(size.into()) / 1e6, as_f64(binary.into()) / 1e6);
    Ok(vec![
        Figure::of("build from nothing", "s", &cold, None),
        Figure::of("build after a change of the backend", "s", &backend, None),
        Figure::of("  of a build from nothing", "", &ratio, Some(1.0 / 3.0)),
        Figure::of("build after a change of xtask", "s", &xtask, None),
        Figure::of("  crates compiled in it", "", &compiled, Some(0.0)),
        Figure::of("size", "MB", &[size], Some(15.0)),
        Figure::of("  of its binary's", "", &[size / binary], Some(1.3)),
        Figure::of("from start to healthy", "ms", &healthy, Some(300.0)),
        Figure::of("memory when idle", "MB", &memory, Some(25.0)),
    ])
}

/// Seconds that a build takes, and how many crates it compiles.
fn build(run: &Run<'_>, clone: &Path, no_cache: bool) -> Result<(f64, f64)> {
    run.context.interrupt.check()?;
    let nothing = String::new();
    let arguments = [("VERSION", &nothing), ("REVISION", &nothing), ("SOURCE", &nothing)];
    let begun = Instant::now();
    let output = run.context.runner.read(&docker::build(
        clone,
        image::DOCKERFILE,
        TAG,
        "production",
        &arguments,
        no_cache,
        false,
    ))?;
    let seconds = begun.elapsed().as_secs_f64();
    if !output.is_success() {
        let step = docker::build(clone, image::DOCKERFILE, TAG, "production", &arguments, no_cache, false);
        return Err(crate::runner::failure(&step, output.code, &output.lines()).into());
    }
    let crates = output.lines().iter().filter(|line| line.contains("Compiling ")).count();
    Ok((seconds, as_f64(crates as u128)))
}

fn append(path: &Path, text: &str) -> Result<()> {
    let before = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    file::write(path, format!("{before}{text}").as_bytes(), 0o644)
}

/// Gives xtask a dependency or takes it away, lock file included.
fn give_dependency(run: &Run<'_>, clone: &Path, give: bool) -> Result<()> {
    let path = clone.join("xtask/Cargo.toml");
    let text = std::fs::read_to_string(&path)?;
    let without = text.replace(DEPENDENCY, "");
    let text =
        if give { without.replace("[dependencies]\n", &format!("[dependencies]\n{DEPENDENCY}")) } else { without };
    file::write(&path, text.as_bytes(), 0o644)?;
    let step =
        Step::new("renew the lock file", cargo::program()).args(["metadata", "--offline", "--format-version", "1"]);
    read_well(&*run.context.runner, &step.folder(clone))?;
    Ok(())
}

/// The size of the binary in the image, in bytes.
fn binary_size(run: &Run<'_>) -> Result<u64> {
    let folder = run.folder.path().join("unpacked");
    file::create(&folder)?;
    let contents = contents::unpack(&*run.context.runner, TAG, &folder)?;
    let binary = contents.iter().find(|content| content.name.ends_with(&format!("/bin/{BINARY}")));
    Ok(std::fs::metadata(&binary.context("the image has no binary")?.path)?.len())
}

#[expect(clippy::cast_precision_loss, reason = "sizes and times of one image")]
fn as_f64(value: u128) -> f64 {
    value as f64
}
