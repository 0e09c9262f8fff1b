//! What the services say.

use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;

use crate::cli::Logs;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::interrupt::{CancelToken, Reaction};
use crate::settings::Settings;
use crate::stack::docker::Docker;
use crate::stack::engine::Stack;
use crate::stack::ground;
use crate::stack::host::Host;
use crate::stack::logs::{INTERVAL, Line, Reader, of_container};
use crate::stack::thunder::Service;
use crate::wait;

/// How often a log that is followed is cut when it grows large.
const CUT: Duration = Duration::from_secs(10);

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
        ground::hide(context, &settings);
    }
    let services = if arguments.services.is_empty() { Service::ALL.to_vec() } else { arguments.services.clone() };
    // It only looks: Ctrl-C changes nothing, and needs no words.
    let _reaction = context.interrupt.react(Reaction::EndQuietly);
    let stack = match Stack::open(context)? {
        Stack::Host(host) => host,
        Stack::Docker(docker) => return from_containers(context, &docker, arguments, &services),
    };
    if !services.iter().any(|service| stack.folder().log(*service).exists()) {
        return Err(Failure::new(Exit::Unhealthy, "nothing was started here yet, so there are no logs")
            .hint("cargo xtask up")
            .into());
    }
    let mut reader = Reader::new(stack.folder(), &services);
    let is_wanted = |line: &Line| arguments.since.is_none_or(|since| line.time >= since);
    let history: Vec<Line> = reader.history().into_iter().filter(is_wanted).collect();
    for line in history.iter().skip(history.len().saturating_sub(arguments.lines)) {
        print(context, line, arguments.json)?;
    }
    if arguments.follow {
        follow(context, &mut reader, arguments.json)?;
    }
    Ok(0)
}

/// The lines of containers, as Docker keeps them.
fn from_containers(context: &Context, docker: &Docker<'_>, arguments: &Logs, services: &[Service]) -> Result<u8> {
    let is_wanted = |line: &Line| arguments.since.is_none_or(|since| line.time >= since);
    let step = docker.logs(services, arguments.lines, false)?;
    let said = crate::runner::read_well(&*context.runner, &step)?;
    let mut lines: Vec<Line> = said.lines().filter_map(of_container).filter(is_wanted).collect();
    lines.sort_by_key(|line| line.time);
    for line in lines.iter().skip(lines.len().saturating_sub(arguments.lines)) {
        print(context, line, arguments.json)?;
    }
    if arguments.follow {
        let cancel = CancelToken::on(&context.interrupt);
        context.runner.run(&docker.logs(services, 0, true)?, &cancel, &|_, said| {
            if let Some(line) = of_container(said)
                && print(context, &line, arguments.json).is_err()
            {
                // Nobody reads any more.
                cancel.cancel();
            }
        })?;
    }
    Ok(0)
}

/// The log of a backend that is watched, from some moment on.
pub enum Watched {
    /// A file.
    Host(Reader),
    /// What Docker keeps, from then on.
    Docker(SystemTime),
}

impl Watched {
    /// From now on.
    pub fn of(stack: &Stack<'_>) -> Self {
        match stack {
            Stack::Host(host) => {
                let mut reader = Reader::new(host.folder(), &[Service::Backend]);
                drop(reader.history());
                Self::Host(reader)
            }
            Stack::Docker(_) => Self::Docker(SystemTime::now()),
        }
    }

    /// Prints it as it comes, until told to stop or until nobody watches any more.
    pub fn follow(self, context: &Context, stack: &Stack<'_>, cancel: &CancelToken) -> Result<()> {
        match (self, stack) {
            (Self::Host(mut reader), Stack::Host(host)) => {
                while !cancel.is_cancelled() && host.is_watched() {
                    reader.news().iter().try_for_each(|line| context.terminal.data(&line.text))?;
                    wait::pause(INTERVAL);
                }
                reader.news().iter().try_for_each(|line| context.terminal.data(&line.text))
            }
            (Self::Docker(since), Stack::Docker(docker)) => {
                let step = docker.logs(&[Service::Backend], usize::from(u16::MAX), true)?;
                context.runner.run(&step, cancel, &|_, said| {
                    let line = of_container(said).filter(|line| line.time >= since);
                    if line.is_some_and(|line| context.terminal.data(&line.text).is_err()) {
                        cancel.cancel();
                    }
                })
            }
            _ => Ok(()),
        }
    }
}

fn follow(context: &Context, reader: &mut Reader, json: bool) -> Result<()> {
    let cancel = CancelToken::on(&context.interrupt);
    let mut cut = SystemTime::now();
    while !cancel.is_cancelled() {
        for line in reader.news() {
            print(context, &line, json)?;
        }
        if cut.elapsed().is_ok_and(|elapsed| elapsed > CUT) {
            // Opening the stack is what cuts its logs.
            Host::open(context)?;
            cut = SystemTime::now();
        }
        wait::pause(INTERVAL);
    }
    cancel.check()
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
    let style: Style = match line.service {
        Service::Postgres => AnsiColor::Blue.on_default(),
        Service::Redis => AnsiColor::Magenta.on_default(),
        Service::Backend => AnsiColor::Cyan.on_default(),
    };
    context.terminal.data(format!("{style}{:8} |{style:#} {}", line.service, line.text))
}
