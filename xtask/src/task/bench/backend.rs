//! The backend under load, beside bare handlers that do the same queries: `backend/examples/bench`, given a release
//! build and throw-away servers.

use anyhow::{Context as _, Result};

use crate::cli::Bench;
use crate::context::Context;
use crate::interrupt::CancelToken;
use crate::plan::{Action, Plan};
use crate::product::TEMPLATE_DATABASE;
use crate::product::setting::{DATABASE_URL, REDIS_URL};
use crate::stack::host;
use crate::stack::scratch::Scratch;
use crate::step::Step;
use crate::tool::cargo;

/// Builds, measures, and gives back the exit code.
pub fn run(context: &Context, arguments: &Bench) -> Result<u8> {
    let mut scratch = Scratch::new(context)?;
    let plan = scratch.plan(arguments.servers)?;
    scratch.start(&plan)?;
    let build = cargo::build_benchmark(context.project.root(), context.terminal.is_colored());
    Plan::of("build", vec![Action::Follow(build, cargo::progress)], "done").run(context).result?;
    let debug = host::binary()?;
    let folder = debug.parent().context("the binary is in no folder")?.with_file_name("release");
    let bench = Step::new("measure the backend", folder.join("examples/bench"))
        .isolated()
        .arg("--binary")
        .arg(folder.join(debug.file_name().context("the binary has no name")?))
        .secret_env(DATABASE_URL, scratch.database_url(TEMPLATE_DATABASE)?)
        .secret_env(REDIS_URL, scratch.redis_url()?);
    let bench = match arguments.runs {
        Some(rounds) => bench.arg("--rounds").arg(rounds.to_string()),
        None => bench,
    };
    context
        .runner
        .forward(&if arguments.output.json { bench.arg("--json") } else { bench }, &CancelToken::on(&context.interrupt))
}
