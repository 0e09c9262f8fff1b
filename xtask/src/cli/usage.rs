//! From the words that were typed to a task, or to the error and hint for words that name none.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::{Cli, overview};

/// A command line that was understood.
pub struct Parsed {
    /// What was typed.
    pub cli: Cli,
    /// The task's name.
    pub task: String,
    /// Whether one JSON document, or one JSON object a line, is wanted on stdout.
    pub wants_json: bool,
}

/// What the words mean; else what to say instead, and the exit code.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Parsed, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(words)?;
    let task = matches.subcommand_name().unwrap_or("overview").to_owned();
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok(Parsed { cli, task, wants_json: wants_json(&matches) })
}

fn wants_json(matches: &ArgMatches) -> bool {
    let here = matches.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or_default();
    here || matches.subcommand().is_some_and(|(_, inner)| wants_json(inner))
}

/// What helps besides what the parser says: the tasks that there are, or where a word belongs.
pub fn hint(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => Some(tasks()),
        ErrorKind::InvalidValue if context(ContextKind::InvalidArg) == Some("[PACKAGE]") => {
            let word = context(ContextKind::InvalidValue)?;
            Some(format!("Tests are named after two dashes: cargo xtask test -- {word}"))
        }
        _ => None,
    }
}

/// Every task, a line for each group.
fn tasks() -> String {
    let groups = overview().into_iter().map(|(group, tasks)| {
        let names: Vec<String> = tasks.into_iter().map(|(name, _)| name).collect();
        format!("  {group:9} {}", names.join(", "))
    });
    format!("The tasks are:\n{}", groups.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("x").chain(line.split(' ')).map(OsString::from).collect()
    }

    #[test]
    fn other_tools_words_are_understood() {
        for (typed, task) in [("ps", "status"), ("start", "up"), ("stop", "down"), ("start redis", "up")] {
            assert_eq!(parse(words(typed)).unwrap().task, task, "{typed}");
        }
        let help = |line: &str| parse(words(line)).map(drop).unwrap_err().kind();
        assert_eq!((help("help"), help("help up")), (ErrorKind::DisplayHelp, ErrorKind::DisplayHelp));
    }

    #[test]
    fn a_word_that_is_no_task_is_answered_with_those_that_there_are() {
        let error = parse(words("deplyo")).map(drop).unwrap_err();
        let hint = hint(&error).unwrap();
        assert!(hint.contains("up, down, restart") && hint.contains("migrate"), "{hint}");
        assert!(!hint.contains("launch-service"), "{hint}");
    }

    #[test]
    fn a_tests_name_in_the_wrong_place_is_answered_with_the_right_one() {
        let error = parse(words("test reports")).map(drop).unwrap_err();
        assert_eq!(hint(&error).as_deref(), Some("Tests are named after two dashes: cargo xtask test -- reports"));
    }

    #[test]
    fn whether_json_is_wanted_is_known_at_any_depth() {
        assert!(parse(words("status --json")).unwrap().wants_json);
        assert!(parse(words("migrate status --json")).unwrap().wants_json);
        assert!(!parse(words("migrate status")).unwrap().wants_json);
        assert!(!parse(words("exec redis -- x --json")).unwrap().wants_json);
    }

    /// What stands for the flags that name where a release goes.
    const FLAGS: &str = "{flags}";

    /// Every `cargo xtask …` in a text, as words.
    fn command_lines(text: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for (place, start) in text.match_indices("cargo xtask ") {
            let rest = &text[place + start.len()..];
            let end = rest
                .find(['"', '`', '\n', ',', ';', '(', ')', '|', '#', '>', '\'', '\\', '…', '·'])
                .unwrap_or(rest.len());
            let line = rest[..end].split(" && ").next().unwrap_or_default();
            // Two blanks separate a command from the remark about it.
            let line = line.split("  ").next().unwrap_or_default().trim_end_matches(['.', ':']);
            let words: Vec<String> = line.split_whitespace().filter(|word| *word != FLAGS).map(str::to_owned).collect();
            // What begins with a placeholder is about every task.
            if words.first().is_some_and(|first| !first.starts_with(['<', '{'])) {
                found.push(words);
            }
        }
        found
    }

    fn files(folder: &std::path::Path, ends: &[&str], found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                files(&path, ends, found);
            } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end)) {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_command_line_that_is_advised_anywhere_is_one_that_is_understood() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut all = vec![
            root.join("README.md"),
            root.join("CONTRIBUTING.md"),
            root.join("SECURITY.md"),
            root.join("CHANGELOG.md"),
        ];
        files(&root.join("xtask/src"), &[".rs"], &mut all);
        files(&root.join("docs"), &[".md"], &mut all);
        // Made from the parser itself.
        all.retain(|path| !path.ends_with("docs/tasks.md"));
        files(&root.join("infra"), &[".yaml", "Dockerfile"], &mut all);
        let (mut checked, mut wrong) = (0, Vec::new());
        for path in all {
            let text = std::fs::read_to_string(&path).unwrap();
            for line in command_lines(&text) {
                checked += 1;
                let has_placeholder = line.iter().any(|word| word.starts_with('{'));
                let typed = std::iter::once("x".to_owned()).chain(line.clone()).map(OsString::from);
                let Err(error) = parse(typed).map(drop) else { continue };
                let is_fine = match error.kind() {
                    ErrorKind::DisplayHelp
                    | ErrorKind::DisplayVersion
                    // Said of a task as a whole, such as `cargo xtask env`.
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    | ErrorKind::MissingRequiredArgument => true,
                    ErrorKind::InvalidValue | ErrorKind::ValueValidation => has_placeholder,
                    _ => false,
                };
                if !is_fine {
                    wrong.push(format!("{}: {}: {error}", path.display(), line.join(" ")));
                }
            }
        }
        assert!(checked > 150, "only {checked} were found");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
