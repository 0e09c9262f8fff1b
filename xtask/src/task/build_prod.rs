//! The image that ships: built, looked into, booted, and pushed where that is wanted.

use anyhow::Result;
use serde::Serialize;

use crate::cli::BuildProd;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::file::{self, human_size};
use crate::plan::{Action, Plan};
use crate::settings::Settings;
use crate::stack::docker::belongings;
use crate::stack::docker::boot::{self, Boot};
use crate::stack::docker::image::{self, Image};
use crate::stack::docker::policy::{self, Layer};
use crate::stack::engine;
use crate::terminal::{FAINT, GOOD, STRONG, Table};
use crate::tool::docker;

/// What there is to tell of an image.
#[derive(Debug, Serialize)]
pub struct Report {
    schema_version: u32,
    image: String,
    version: String,
    revision: String,
    size_bytes: u64,
    layers: Vec<Layer>,
    #[serde(flatten)]
    boot: Boot,
    pushed: bool,
}

/// Builds the image of what is checked out and answers for it.
pub fn run(context: &Context, arguments: &BuildProd) -> Result<u8> {
    let terminal = &context.terminal;
    engine::look_for_docker(&*context.runner)?;
    let image = Image::of(context, arguments.tag.as_deref());
    if image.is_dirty() {
        terminal.warn("files differ from the commit, so that the image is of no commit and says -dirty");
        if arguments.push {
            return Err(Failure::new(Exit::Refused, "refused: only what is committed can be pushed")
                .hint("git commit, then again")
                .into());
        }
    }
    let step = image.build(context, arguments.no_cache, arguments.pull);
    if context.dry_run {
        terminal.data(step)?;
        terminal.data("# look into every layer, boot it, walk through it, stop it")?;
        if arguments.push {
            terminal.data(docker::push(&image.tag))?;
        }
        return Ok(0);
    }
    belongings::remember_image(context, &image.tag)?;
    Plan::of("build", vec![Action::Follow(step, image::progress)], &image.tag).run(context).result?;

    terminal.note("looking into every layer …");
    let (size_bytes, layers) = inspect(context, &image.tag)?;
    terminal.note("booting it as production would …");
    let boot = boot::try_out(context, &image.tag)?;
    if arguments.push {
        Plan::of("push", vec![Action::Run(docker::push(&image.tag))], "pushed").run(context).result?;
    }
    let report = Report {
        schema_version: 1,
        image: image.tag,
        version: image.version,
        revision: image.revision,
        size_bytes,
        layers,
        boot,
        pushed: arguments.push,
    };
    if arguments.json {
        terminal.json(&report)?;
    } else {
        print(context, &report)?;
    }
    Ok(0)
}

/// The image's size and layers; an error names everything that an image that ships must not be.
pub fn inspect(context: &Context, tag: &str) -> Result<(u64, Vec<Layer>)> {
    let runner = &*context.runner;
    let description = policy::describe(runner, tag)?;
    let history = policy::history(runner, tag)?;
    let folder = std::env::temp_dir().join(format!("thunder-image-{}", std::process::id()));
    file::create(&folder)?;
    let settings = Settings::load(&context.project).ok();
    let secrets: Vec<&str> = settings.iter().flat_map(Settings::secrets).collect();
    let outcome = policy::unpack(runner, tag, &folder)
        .and_then(|contents| policy::violations(&description, &history, &contents, &secrets));
    file::remove(&folder)?;
    let violations = outcome?;
    if !violations.is_empty() {
        return Err(Failure::new(Exit::Failed, format!("{tag} must not ship as it is")).details(violations).into());
    }
    Ok((description.size, history.into_iter().filter(|layer| layer.size > 0).collect()))
}

fn print(context: &Context, report: &Report) -> Result<()> {
    let terminal = &context.terminal;
    terminal.data(format!("{GOOD}✓{GOOD:#} {STRONG}{}{STRONG:#}", report.image))?;
    let mut table = Table::default();
    table.row([
        "  size".to_owned(),
        format!("{} of {} at most", human_size(report.size_bytes), human_size(policy::MOST)),
    ]);
    for layer in &report.layers {
        let made_by: String = layer.made_by.chars().take(60).collect();
        table.row(["  layer".to_owned(), format!("{} {FAINT}{made_by}{FAINT:#}", human_size(layer.size))]);
    }
    table.row(["  healthy".to_owned(), format!("{} ms after its start", report.boot.healthy_ms)]);
    table.row(["  memory".to_owned(), format!("{} idle", human_size(report.boot.idle_memory_bytes))]);
    table.row(["  stopped".to_owned(), format!("{} ms after SIGTERM, with exit code 0", report.boot.stopped_ms)]);
    terminal.data(table)?;
    if !report.pushed {
        terminal.note("next: cargo xtask up --production");
    }
    Ok(())
}
