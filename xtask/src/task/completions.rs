//! Completions for shells.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Completions};
use crate::failure::{Exit, Failure};
use crate::file;
use crate::terminal::Terminal;

/// Prints the script, or writes it where the shell looks for it.
pub fn run(terminal: &Terminal, arguments: &Completions) -> Result<u8> {
    let script = script(arguments.shell, &arguments.name);
    if !arguments.install {
        terminal.data(script.trim_end())?;
        return Ok(0);
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let place = variable("HOME").and_then(|home| place(arguments.shell, &arguments.name, &home, &variable));
    let Some((path, then)) = place else {
        let what = format!("there is no one place in which {} looks for completions", arguments.shell);
        return Err(Failure::new(Exit::Failed, what)
            .hint(format!("cargo xtask completions {} --name {} > FILE", arguments.shell, arguments.name))
            .into());
    };
    file::write(&path, script.as_bytes(), 0o644)?;
    terminal.note(format!("wrote {}; {then}", path.display()));
    Ok(0)
}

fn script(shell: Shell, name: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(name), name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command line without what is only for xtask itself.
fn visible(name: &str) -> clap::Command {
    let all = Cli::command();
    let tasks = all.get_subcommands().filter(|task| !task.is_hide_set()).cloned().collect::<Vec<_>>();
    let arguments = all.get_arguments().cloned().collect::<Vec<_>>();
    clap::Command::new(name.to_owned()).bin_name(name.to_owned()).args(arguments).subcommands(tasks)
}

/// The file in which the shell looks for the completions of that name, and what is still to be done.
fn place(
    shell: Shell,
    name: &str,
    home: &Path,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
) -> Option<(PathBuf, &'static str)> {
    match shell {
        Shell::Bash => {
            let data = variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
            let folder = variable("BASH_COMPLETION_USER_DIR").unwrap_or_else(|| data.join("bash-completion"));
            Some((folder.join("completions").join(name), "a new shell knows it"))
        }
        Shell::Fish => {
            let config = variable("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
            Some((config.join("fish/completions").join(format!("{name}.fish")), "a new shell knows it"))
        }
        Shell::Zsh => {
            let folder = variable("ZDOTDIR").unwrap_or_else(|| home.to_owned());
            let then = "put `fpath+=~/.zfunc; autoload -Uz compinit; compinit` into .zshrc, if it is not there";
            Some((folder.join(".zfunc").join(format!("_{name}")), then))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_tasks_are_not_completed() {
        let script = script(Shell::Bash, "x");
        assert!(script.contains("migrate") && script.contains("--lock-timeout"));
        assert!(!script.contains("launch-service") && !script.contains("watch-backend"));
    }

    #[test]
    fn each_shell_finds_its_file() {
        let path = |shell| place(shell, "x", Path::new("/h"), &|_| None).map(|(path, _)| path);
        assert_eq!(path(Shell::Bash).unwrap(), Path::new("/h/.local/share/bash-completion/completions/x"));
        assert_eq!(path(Shell::Fish).unwrap(), Path::new("/h/.config/fish/completions/x.fish"));
        assert_eq!(path(Shell::Zsh).unwrap(), Path::new("/h/.zfunc/_x"));
        assert_eq!(path(Shell::PowerShell), None);
        let elsewhere = |name: &str| (name == "XDG_CONFIG_HOME").then(|| PathBuf::from("/c"));
        let found = place(Shell::Fish, "x", Path::new("/h"), &elsewhere).unwrap().0;
        assert_eq!(found, Path::new("/c/fish/completions/x.fish"));
    }

    #[test]
    fn each_shell_gets_a_script_for_the_name_that_is_typed() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh, Shell::PowerShell, Shell::Elvish] {
            let terminal = Terminal::kept();
            let arguments = Completions { shell, name: "thx".to_owned(), install: false };
            assert_eq!(run(&terminal, &arguments).unwrap(), 0);
            let (out, err) = terminal.printed();
            assert!(out.contains("thx") && out.contains("build-prod") && !out.ends_with("\n\n"), "{shell}: {out}");
            assert_eq!(err, "");
        }
    }

    #[test]
    fn a_shell_without_one_place_for_them_is_told_how_to_do_it() {
        let terminal = Terminal::kept();
        let arguments = Completions { shell: Shell::PowerShell, name: "x".to_owned(), install: true };
        let failure = run(&terminal, &arguments).unwrap_err().downcast::<Failure>().unwrap();
        assert_eq!(failure.to_string(), "there is no one place in which powershell looks for completions");
        assert_eq!(failure.hints(), ["cargo xtask completions powershell --name x > FILE"]);
        assert_eq!(terminal.printed().0, "");
    }
}
