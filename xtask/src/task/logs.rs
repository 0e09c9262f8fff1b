//! What the services say.

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;

use crate::cli::Logs;
use crate::context::Context;
use crate::interrupt::{CancelToken, Reaction};
use crate::settings::Settings;
use crate::stack::Stack;
use crate::stack::foundation;
use crate::stack::logs::Line;
use crate::stack::service::Service;

/// The colours of the services' names, in their order.
const COLORS: [AnsiColor; 5] =
    [AnsiColor::Blue, AnsiColor::Magenta, AnsiColor::Cyan, AnsiColor::Yellow, AnsiColor::Green];

#[derive(Serialize)]
struct JsonLine<'a> {
    schema_version: u32,
    time: String,
    service: Service,
    line: &'a str,
}

/// Prints the lines.
pub fn run(context: &Context, arguments: &Logs) -> Result<u8> {
    if let Ok(settings) = Settings::load(&context.project) {
        foundation::hide(context, &settings);
    }
    // It only looks: Ctrl-C changes nothing, and needs no words.
    let _reaction = context.interrupt.react(Reaction::EndQuietly);
    let services = if arguments.services.is_empty() { Service::ALL.to_vec() } else { arguments.services.clone() };
    let mut source = Stack::open(context)?.logs(&services, arguments.lines)?;
    let is_wanted = |line: &Line| arguments.since.is_none_or(|since| line.time >= since);
    let history: Vec<Line> = source.history(&*context.runner)?.into_iter().filter(is_wanted).collect();
    for line in history.iter().skip(history.len().saturating_sub(arguments.lines)) {
        print(context, line, arguments.json)?;
    }
    if arguments.follow {
        let cancel = CancelToken::on(&context.interrupt);
        source.follow(&*context.runner, &cancel, &|| false, &|line| print(context, line, arguments.json))?;
    }
    Ok(0)
}

fn print(context: &Context, line: &Line, json: bool) -> Result<()> {
    if json {
        let time = humantime::format_rfc3339_millis(line.time).to_string();
        return context.terminal.json_line(&JsonLine {
            schema_version: 1,
            time,
            service: line.service,
            line: &line.text,
        });
    }
    let place = Service::ALL.iter().position(|service| *service == line.service).unwrap_or_default();
    let style: Style = COLORS[place % COLORS.len()].on_default();
    let width = Service::ALL.iter().map(|service| service.name().len()).max().unwrap_or_default();
    context.terminal.data(format!("{style}{:width$} |{style:#} {}", line.service, line.text))
}

#[cfg(test)]
mod tests;
