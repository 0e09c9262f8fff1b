//! How the stack is.

use anstyle::Style;
use anyhow::Result;

use crate::context::Context;
use crate::product::NAME;
use crate::settings::Settings;
use crate::stack::Stack;
use crate::stack::report::{HealthState, Overall, Report, RunState, ServiceReport};
use crate::terminal::{BAD, FAINT, GOOD, NOTICE, STRONG, Table, Terminal};

/// Prints the report; exits with 4 when something that should run does not.
pub fn run(context: &Context, json: bool) -> Result<u8> {
    let report = report(context)?;
    if json {
        context.terminal.json(&report)?;
    } else {
        print(&context.terminal, &report)?;
    }
    report.check()?;
    Ok(0)
}

/// How the stack is now.
pub fn report(context: &Context) -> Result<Report> {
    let stack = Stack::open(context)?;
    let settings = Settings::load(&context.project).ok();
    if let Some(settings) = &settings {
        crate::stack::foundation::hide(context, settings);
    }
    stack.report(settings.as_ref())
}

/// Prints the report for a person.
pub fn print(terminal: &Terminal, report: &Report) -> Result<()> {
    let engine = report.engine.map(|engine| format!(" ({engine} engine)")).unwrap_or_default();
    let headline = match report.state {
        Overall::Up => format!("{GOOD}{NAME} is up{GOOD:#}{engine}"),
        Overall::Starting => format!("{NOTICE}{NAME} is starting{NOTICE:#}{engine}"),
        Overall::Degraded => format!("{BAD}{NAME} is not well{BAD:#}{engine}"),
        Overall::Down => format!("{STRONG}{NAME} is down{STRONG:#}: cargo xtask up"),
    };
    terminal.data(headline)?;
    if let Some(why) = report.failure.as_ref().filter(|_| report.state == Overall::Down) {
        terminal.data(format!("  the last start failed, and stopped what it had started: {why}"))?;
    }
    if report.state == Overall::Down && report.services.iter().all(|service| service.state == RunState::Stopped) {
        return Ok(());
    }
    let mut table = Table::default();
    for service in &report.services {
        table.row(row(service));
    }
    terminal.table(&table)
}

/// The first digits of a commit, which are enough for a person, and whether files differed from it.
fn shortened(commit: &str) -> String {
    let (hash, mark) = commit.strip_suffix("-dirty").map_or((commit, ""), |hash| (hash, "-dirty"));
    format!("{}{mark}", hash.chars().take(12).collect::<String>())
}

fn row(service: &ServiceReport) -> [String; 6] {
    let (style, word): (Style, &str) = match (service.state, service.health) {
        (RunState::Running, Some(HealthState::Healthy)) => (GOOD, "healthy"),
        (RunState::Running, _) => (BAD, "unhealthy"),
        (RunState::Starting, _) => (NOTICE, "starting"),
        (RunState::Exited, _) => (BAD, "exited"),
        (RunState::Stopped, _) => (NOTICE, "stopped"),
    };
    let what = match (&service.product, &service.version) {
        (Some(product), Some(version)) => {
            let origin = service.source.map(|source| source.to_string());
            let origin =
                origin.or_else(|| service.commit.as_ref().map(|commit| format!("commit {}", shortened(commit))));
            format!("{product} {version}{}", origin.map(|origin| format!(" ({origin})")).unwrap_or_default())
        }
        _ => String::new(),
    };
    let detail = service.detail.as_ref().map(|detail| format!("{BAD}{detail}{BAD:#}"));
    let process = service.pid.map(|pid| format!("pid {pid}")).or_else(|| service.container.clone()).unwrap_or_default();
    let age = service.uptime_seconds.map(|seconds| {
        let age = humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string();
        // Two units say enough.
        age.split(' ').take(2).collect::<Vec<_>>().join(" ")
    });
    [
        format!("  {STRONG}{}{STRONG:#}", service.name),
        format!("{style}{word}{style:#}"),
        service.address.clone().unwrap_or_default(),
        format!("{FAINT}{process}{FAINT:#}"),
        format!("{FAINT}{}{FAINT:#}", age.map(|age| format!("up {age}")).unwrap_or_default()),
        detail.unwrap_or(what),
    ]
}

#[cfg(test)]
mod tests;
