//! The image that ships: built, checked against the policy, booted, and pushed where that is wanted.

use anyhow::Result;
use serde::Serialize;

use crate::cli::{BuildProd, Json};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file::human_size;
use crate::image::boot::{self, Boot};
use crate::image::contents::Layer;
use crate::image::policy::{self, Inspection};
use crate::image::{self, Image};
use crate::plan::{Action, Phase, Plan, Rollout, Value};
use crate::stack::detect;
use crate::stack::docker::resources;
use crate::terminal::{FAINT, GOOD, STRONG, Table};
use crate::tool::docker;

/// What there is to tell of an image.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema_version: u32,
    image: &'a str,
    version: &'a str,
    revision: &'a str,
    size_bytes: u64,
    layers: &'a [Layer],
    #[serde(flatten)]
    boot: &'a Boot,
    pushed: bool,
}

/// Builds the image of what is checked out and answers for it.
pub fn run(context: &Context, arguments: &BuildProd) -> Result<u8> {
    let terminal = &context.terminal;
    detect::look_for_docker(&*context.runner)?;
    let image = Image::of(context, arguments.tag.as_deref());
    if image.is_dirty() {
        terminal.warn("files differ from the commit, so that the image is of no commit and says -dirty");
        if arguments.push {
            return Err(Failure::new(Exit::Refused, "refused: only what is committed can be pushed")
                .hint("git commit, then again")
                .into());
        }
    }
    let (inspection, boot) = (Value::new("inspection"), Value::new("boot"));
    make(context, &image, arguments, &inspection, &boot)?;
    if context.dry_run {
        return Ok(0);
    }
    let inspection: &Inspection = inspection.get()?;
    let report = Report {
        schema_version: 1,
        image: &image.tag,
        version: &image.version,
        revision: &image.revision,
        size_bytes: inspection.size_bytes,
        layers: &inspection.layers,
        boot: boot.get()?,
        pushed: arguments.push,
    };
    if arguments.output.json {
        terminal.json(&report)?;
    } else {
        print(context, &report)?;
    }
    Ok(0)
}

/// Builds the image of what is checked out under that tag, inspects it, boots it, and pushes it.
pub fn push(context: &Context, tag: &str) -> Result<()> {
    detect::look_for_docker(&*context.runner)?;
    let image = Image::of(context, Some(tag));
    let arguments = BuildProd { tag: None, push: true, no_cache: false, pull: false, output: Json { json: false } };
    make(context, &image, &arguments, &Value::new("inspection"), &Value::new("boot"))
}

fn make(
    context: &Context,
    image: &Image,
    arguments: &BuildProd,
    inspection: &Value<Inspection>,
    boot: &Value<Boot>,
) -> Result<()> {
    let mut phases = vec![build(image, arguments), inspect(image, inspection)];
    phases.extend(boot::phases(context, &image.tag, boot)?);
    if arguments.push {
        let push = docker::push(&image.tag);
        phases.push(Phase::new("push", "give the image to the registry", move |_| {
            Ok(Plan::of("push", vec![Action::Run(push.clone())], "pushed"))
        }));
    }
    if !context.dry_run {
        resources::remember_image(context, &image.tag)?;
    }
    Rollout::new(phases)?.run(context)
}

fn build(image: &Image, arguments: &BuildProd) -> Phase {
    let (image, no_cache, pull) = (image.clone(), arguments.no_cache, arguments.pull);
    Phase::new("build", "make the image of what is checked out", move |context| {
        let step = image.build(context, no_cache, pull);
        Ok(Plan::of("build", vec![Action::Follow(step, image::progress)], &image.tag))
    })
}

fn inspect(image: &Image, inspection: &Value<Inspection>) -> Phase {
    let (tag, inspection) = (image.tag.clone(), inspection.clone());
    Phase::new("inspect", "find nothing in it that must not ship", move |_| {
        let (image, inspection) = (tag.clone(), inspection.clone());
        let look = Action::check(format!("inspect every layer of {tag}"), move |access| {
            inspection.set(policy::inspect(access.runner, &access.context.project, &image)?);
            Ok(())
        });
        Ok(Plan::of("inspect", vec![look], "nothing that must not ship"))
    })
}

fn print(context: &Context, report: &Report<'_>) -> Result<()> {
    let terminal = &context.terminal;
    terminal.data(format!("{GOOD}✓{GOOD:#} {STRONG}{}{STRONG:#}", report.image))?;
    let mut table = Table::default();
    table.row([
        "  size".to_owned(),
        format!("{} of {} at most", human_size(report.size_bytes), human_size(policy::MAXIMUM_BYTES)),
    ]);
    for layer in report.layers {
        let made_by: String = layer.made_by.chars().take(60).collect();
        table.row(["  layer".to_owned(), format!("{} {FAINT}{made_by}{FAINT:#}", human_size(layer.size))]);
    }
    table.row(["  healthy".to_owned(), format!("{} ms after its start", report.boot.healthy_ms)]);
    table.row(["  memory".to_owned(), format!("{} idle", human_size(report.boot.idle_memory_bytes))]);
    table.row(["  stopped".to_owned(), format!("{} ms after SIGTERM, with exit code 0", report.boot.stopped_ms)]);
    terminal.table(&table)?;
    if !report.pushed {
        terminal.note("next: cargo xtask up --production");
    }
    Ok(())
}

#[cfg(test)]
pub mod tests;
