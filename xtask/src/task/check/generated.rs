//! Files that are made from the code: the reference of settings, the reference of tasks, and what the settings'
//! template has to say.

use anyhow::{Context as _, Result};
use clap::CommandFactory;

use super::{Verdict, run_step};
use crate::cli::{self, Cli};
use crate::context::Context;
use crate::database::lint::advice::{ALL, Advice};
use crate::failure::{Exit, Failure};
use crate::product::setting::SET_BY_THE_STACK;
use crate::product::{BINARY, PACKAGE};
use crate::release::declaration;
use crate::runner;
use crate::settings::{Declared, Settings, parse_declaration};
use crate::stack::host;
use crate::tool::{backend, cargo};

/// Compares what is there with what the code says, or writes it.
pub fn check(context: &Context, fix: bool) -> Result<Verdict> {
    let root = context.project.root();
    let build = cargo::build(root, PACKAGE, context.terminal.is_colored());
    if let Verdict::Failed(error) = run_step(context, "generated", &build)? {
        return Ok(Verdict::Failed(error));
    }
    let step = backend::declaration(&host::binary()?);
    if context.dry_run {
        context.terminal.data(step)?;
        return Ok(Verdict::Passed);
    }
    let said = runner::read_well(&*context.runner, &step)?;
    let declaration = parse_declaration(&said)?;

    let text = std::fs::read_to_string(context.project.settings_template())?;
    let mut problems = template_problems(&text, &Settings::parse(&text)?, &declaration);
    let mut written = Vec::new();
    let pages = [
        ("backend/settings.json", said),
        ("docs/settings.md", settings_page(&declaration)),
        ("docs/tasks.md", tasks_page()),
        ("docs/migration-rules.md", rules_page()),
        (declaration::SCHEMA, declaration::schema()),
    ];
    for (name, text) in pages {
        let path = root.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if fix {
            std::fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
            written.push(name);
        } else {
            problems.push(format!("{name} is not what the code says"));
        }
    }
    if !problems.is_empty() {
        let failure = Failure::new(Exit::Failed, "generated files are not fresh").details(problems);
        return Ok(Verdict::Failed(failure.hint("cargo xtask check --fix").into()));
    }
    Ok(if written.is_empty() { Verdict::Passed } else { Verdict::Fixed(written.join(", ")) })
}

/// Every setting of the backend stands in the template with the declaration's own sentence, unless the stack sets it.
fn template_problems(text: &str, template: &Settings, declaration: &[Declared]) -> Vec<String> {
    let mut problems = Vec::new();
    for setting in declaration {
        let is_there = template.iter().any(|(name, _)| name == setting.name);
        let is_set = SET_BY_THE_STACK.contains(&setting.name.as_str());
        match (is_there, is_set) {
            (false, false) => problems.push(format!("{} is missing in .env.docker.example", setting.name)),
            (true, true) => problems.push(format!("{} is set by the stack, and in .env.docker.example", setting.name)),
            (true, false) if !text.contains(&format!("# {}\n{}=", setting.description, setting.name)) => {
                problems.push(format!("{} is described differently in .env.docker.example", setting.name));
            }
            _ => {}
        }
    }
    for name in SET_BY_THE_STACK {
        if !declaration.iter().any(|setting| setting.name == *name) {
            problems.push(format!("{name} is set by the stack, and nothing reads it"));
        }
    }
    problems
}

const FRESH: &str = "<!-- Written by `cargo xtask check --fix`; `cargo xtask check` fails when it is not fresh. -->";

fn settings_page(declaration: &[Declared]) -> String {
    let mut page = format!(
        "# Settings of the backend\n\n{FRESH}\n\nThey come from the environment only, and are all checked at start: \
         one error names every wrong or\nmissing setting, and never a value. `{BINARY} config` prints this list, \
         `{BINARY} config --check` checks\nthe environment that it is in.\n\n| setting | default | what it is |\n| --- | --- | --- |\n"
    );
    for setting in declaration {
        let default = match (&setting.default, setting.required) {
            (_, true) => "**required**".to_owned(),
            _ if setting.required_in_production => "**required in production**".to_owned(),
            (Some(default), _) if !default.is_empty() => format!("`{default}`"),
            _ => String::new(),
        };
        let secret = if setting.secret { " Secret." } else { "" };
        page.push_str(&format!("| `{}` | {default} | {}{secret} |\n", setting.name, setting.description));
    }
    page
}

/// Each rule of the migrations' linter, with what it means.
fn rules_page() -> String {
    let mut page = format!(
        "# Rules for migrations\n\n{FRESH}\n\n`cargo xtask migrate lint` finds these. [database.md](database.md) says \
         how to write migrations that it\ndoes not find. squawk has [more rules](https://squawkhq.com/docs/rules), \
         and explains them itself.\n"
    );
    for (title, is_incompatible) in
        [("The version that still runs cannot go on", true), ("Somebody waits, or something fails", false)]
    {
        page.push_str(&format!("\n## {title}\n\n| rule | what happens | instead |\n| --- | --- | --- |\n"));
        for Advice { rule, effect, instead, .. } in ALL.iter().filter(|one| one.is_incompatible == is_incompatible) {
            page.push_str(&format!("| `{rule}` | {effect} | {instead} |\n"));
        }
    }
    page
}

/// How wide the help is on the page, in columns.
const PAGE_WIDTH: usize = 100;

/// Each task's long help, in the groups of the overview.
fn tasks_page() -> String {
    let mut page = format!("# Tasks\n\n{FRESH}\n\n{GLOBAL_FLAGS}\n");
    // The page is the same whatever terminal it is made at.
    let mut command = Cli::command().term_width(PAGE_WIDTH);
    // Subcommands learn their full names when the whole is built.
    command.build();
    for (group, tasks) in cli::overview() {
        page.push_str(&format!("\n## {group}\n"));
        for (name, _) in tasks {
            let Some(task) = command.find_subcommand_mut(name) else { continue };
            push_help(&mut page, task);
            let inner: Vec<String> = task.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
            for name in inner.iter().filter(|name| *name != "help") {
                if let Some(inner) = task.find_subcommand_mut(name) {
                    push_help(&mut page, inner);
                }
            }
        }
    }
    page
}

/// Printed once instead of under every task.
const GLOBAL_FLAGS: &str = "\
Every task takes `--dry-run` (print what would be done, as commands, and do nothing), `-v, --verbose` (show each command\n\
before it is run), `--color auto|always|never` and `-h, --help`.";

/// The lines of a task's help without the flags that every task has.
fn without_global_flags(help: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut is_global = false;
    for line in help.lines().map(str::trim_end) {
        if !line.starts_with(' ') && !line.is_empty() {
            is_global = line == format!("{}:", cli::GLOBAL);
        }
        if !is_global {
            lines.push(line);
        }
    }
    lines
}

fn push_help(page: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let help = without_global_flags(&help);
    page.push_str(&format!("\n### `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration() -> Vec<Declared> {
        let setting = |name: &str| Declared {
            name: name.to_owned(),
            required: false,
            required_in_production: false,
            secret: false,
            default: None,
            description: format!("What {name} is."),
        };
        let names = SET_BY_THE_STACK.iter().copied().chain(["LOG_LEVEL", "NEW"]);
        names.map(setting).collect()
    }

    #[test]
    fn a_template_that_lags_behind_the_declaration_is_told() {
        let text = "# Another sentence.\nLOG_LEVEL=info\nPORT=1\n";
        let problems = template_problems(text, &Settings::parse(text).unwrap(), &declaration());
        assert_eq!(
            problems,
            [
                "PORT is set by the stack, and in .env.docker.example",
                "LOG_LEVEL is described differently in .env.docker.example",
                "NEW is missing in .env.docker.example",
            ]
        );
    }

    #[test]
    fn every_task_has_its_page() {
        let page = tasks_page();
        for (_, tasks) in cli::overview() {
            for (name, _) in tasks {
                assert!(page.contains(&format!("### `cargo xtask {name}`")), "{name}");
            }
        }
        assert!(page.contains("### `cargo xtask env init`") && !page.contains("launch-service"));
    }
}
