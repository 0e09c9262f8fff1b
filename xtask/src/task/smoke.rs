//! A walk through the running service.

use anyhow::Result;

use super::status;
use crate::cli::Smoke;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::CancelToken;
use crate::plan::Plan;
use crate::product::HEALTH_PATH;
use crate::product::setting::OPERATOR_TOKEN;
use crate::stack::Stack;
use crate::stack::host::{self, Host};
use crate::tool::backend::{Program, Variable};

/// Walks through the service at the URL, or through the local stack.
pub fn run(context: &Context, arguments: &Smoke) -> Result<u8> {
    let (program, build, url) = match &arguments.url {
        Some(url) => {
            let path = host::binary()?;
            let build = if path.exists() { Plan::default() } else { Host::open(context).build()? };
            let token = context.variable(OPERATOR_TOKEN).map(|token| Variable::secret(OPERATOR_TOKEN, token));
            (Program::with(&path, token.as_slice()), build, url.clone())
        }
        None => Stack::open(context)?.serving_program()?,
    };
    let step = program.smoke(&url, arguments.output.json);
    if context.dry_run {
        // The walk sends reports, so that a dry run does not take it.
        if !build.is_empty() {
            build.print(&context.terminal)?;
        }
        context.terminal.data(step)?;
        return Ok(0);
    }
    if !build.is_empty() {
        build.run(context).result?;
    }
    match context.runner.forward(&step, &CancelToken::on(&context.interrupt))? {
        0 => Ok(0),
        code => Err(why(context, arguments, code)),
    }
}

/// Why the walk ended with that code. Where a service of the local stack is not well, that is the reason.
fn why(context: &Context, arguments: &Smoke, code: u8) -> anyhow::Error {
    let unhealthy = code == Exit::Unhealthy as u8;
    let Some(url) = &arguments.url else {
        if let Err(error) = status::report(context).and_then(|report| report.check()) {
            return error;
        }
        let what = if unhealthy { "the backend is not healthy" } else { "the walk through the API failed" };
        return Failure::passed_on(code, what).hint("cargo xtask logs backend").hint("cargo xtask status").into();
    };
    let what = if unhealthy { format!("{url} is not healthy") } else { format!("the walk through {url} failed") };
    Failure::passed_on(code, what).hint(format!("curl --include {}{HEALTH_PATH}", url.trim_end_matches('/'))).into()
}

#[cfg(test)]
mod tests {
    use crate::fixture::Fixture;
    use crate::runner::{fails, says};
    use crate::stack::service::Service;

    #[test]
    fn a_walk_that_fails_says_why_and_what_to_type_next() {
        let (mut fixture, daemon) = Fixture::with_docker();
        fixture.xtask(&["up"]).expect(0);
        for (code, what) in [(1, "error: the walk through the API failed"), (4, "error: the backend is not healthy")] {
            fixture.runner.on("compose exec smoke", fails(code.into(), ""));
            fixture.xtask(&["smoke"]).expect(code).says(&[what, "next: cargo xtask logs backend"]);
        }
        daemon.put(Service::Postgres, "exited");
        let ran = fixture.xtask(&["smoke"]).expect(4);
        ran.says(&["error: postgres is not as it should be", "next: cargo xtask up", "or: cargo xtask logs postgres"]);
    }

    #[test]
    fn a_walk_elsewhere_that_fails_names_the_address_to_ask() {
        let mut fixture = Fixture::new(&["cargo"]);
        fixture.runner.on("cargo build", says("")).on("smoke --url", fails(4, ""));
        let ran = fixture.xtask(&["smoke", "--url", "https://api.example.com/"]).expect(4);
        ran.says(&["https://api.example.com/ is not healthy", "next: curl --include https://api.example.com/health"]);
    }
}
