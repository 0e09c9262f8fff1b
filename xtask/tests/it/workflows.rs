//! The workflows only call tasks, in words that are understood, with the fences that a deploy needs.

use std::fs;
use std::path::Path;

use crate::support::Checkout;

fn workflow(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(".github/workflows").join(name)).unwrap()
}

/// The commands of a workflow.
fn commands(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("run: ")).collect()
}

#[test]
fn every_command_is_a_task_that_xtask_understands() {
    let checkout = Checkout::new();
    let mut seen = 0;
    for name in ["ci.yml", "deploy.yml", "preview.yml"] {
        let text = workflow(name);
        assert!(!text.contains("run: |"), "{name}: a script belongs into a task");
        for command in commands(&text) {
            if command.starts_with("npm install --global @railway/cli@") {
                continue;
            }
            let command = command.trim_start_matches("exec ");
            let words = command.strip_prefix("cargo xtask ").unwrap_or_else(|| panic!("{name}: {command} is no task"));
            let words =
                words.replace("\"$ENVIRONMENT\"", "staging").replace("\"$NAME\"", "pr-1").replace("\"$PROJECT\"", "p");
            let words: Vec<&str> = words.split_whitespace().chain(["--help"]).collect();
            checkout.xtask(&words).expect(0);
            seen += 1;
        }
    }
    assert!(seen >= 9, "only {seen} were found");
}

#[test]
fn nothing_that_somebody_else_can_write_stands_in_a_command() {
    for name in ["ci.yml", "deploy.yml", "preview.yml"] {
        for command in commands(&workflow(name)) {
            assert!(!command.contains("${{"), "{name}: {command}");
        }
    }
}

#[test]
fn a_deploy_is_fenced_and_gives_its_lock_back_whatever_came_of_it() {
    let text = workflow("deploy.yml");
    assert!(text.contains("group: deploy-${{") && text.contains("cancel-in-progress: false"));
    let unlock = text.find("--unlock").unwrap();
    assert!(text[..unlock].trim_end_matches(|letter| letter != '\n').trim_end().ends_with("- if: always()"));
    assert!(text.contains("fetch-depth: 0"), "the migrations of the live commit are looked up in git");
    assert!(text.contains("--receipt receipt.json") && text.contains("path: receipt.json"));
}

#[test]
fn what_runs_with_secrets_on_somebody_elses_event_checks_out_none_of_their_code() {
    let text = workflow("preview.yml");
    let remove = &text[text.find("\n  remove:").unwrap()..];
    assert!(!remove.contains("head.sha") && remove.contains("github.event_name == 'pull_request_target'"));
    let deploy = &text[text.find("\n  deploy:").unwrap()..text.find("\n  remove:").unwrap()];
    assert!(
        deploy.contains("github.event_name == 'pull_request'")
            && deploy.contains("head.repo.full_name == github.repository")
    );
}
