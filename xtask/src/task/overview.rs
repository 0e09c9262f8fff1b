//! What there is to type, and in a line how the stack is.

use anyhow::Result;

use crate::cli;
use crate::context::Context;
use crate::stack::Stack;
use crate::stack::report::Overall;
use crate::terminal::{GOOD, NOTICE, STRONG, Table};

/// Prints the overview.
pub fn run(context: &Context) -> Result<u8> {
    let terminal = &context.terminal;
    terminal.data(format!("{STRONG}cargo xtask <task>{STRONG:#}"))?;
    // One table, so that the sentences of all groups stand in one column.
    let mut table = Table::default();
    for (group, tasks) in cli::overview() {
        table.row([String::new()]);
        table.row([format!("{STRONG}{group}{STRONG:#}")]);
        for (name, about) in tasks {
            table.row([format!("  {GOOD}{name}{GOOD:#}"), about]);
        }
    }
    terminal.table(&table)?;
    terminal.data(format!("\n{}", state(context)))?;
    terminal.data("Each task explains itself with --help.")?;
    Ok(0)
}

fn state(context: &Context) -> String {
    let settings = crate::settings::Settings::load(&context.project).ok();
    let report = Stack::open(context).and_then(|stack| stack.report(settings.as_ref()));
    match report {
        Err(error) => format!("{NOTICE}The stack cannot be looked at:{NOTICE:#} {error:#}"),
        Ok(report) => match (report.state, report.url) {
            (Overall::Up, Some(url)) => format!("{GOOD}The stack is up{GOOD:#} on {url}."),
            (Overall::Up, None) => format!("{GOOD}The stack is up{GOOD:#}, without the backend."),
            (Overall::Starting, _) => format!("{NOTICE}The stack is starting{NOTICE:#}: cargo xtask status"),
            (Overall::Degraded, _) => format!("{NOTICE}The stack is not well{NOTICE:#}: cargo xtask status"),
            (Overall::Down, _) => "The stack is down: cargo xtask up".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
