//! What GitHub shows of a deploy: an annotation beside the run, and a summary of it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Error, Result};

use super::Receipt;
use crate::context::Context;
use crate::failure::Failure;

/// Tells GitHub what came of a deploy, where that is who runs it.
pub fn tell(context: &Context, receipt: &Receipt, error: Option<&Error>) {
    if context.variable("GITHUB_ACTIONS").as_deref() != Some("true") {
        return;
    }
    if let Some(error) = error {
        context.terminal.note(annotation(&receipt.title(), &explanation(error)));
    }
    let Some(path) = context.variable("GITHUB_STEP_SUMMARY") else { return };
    let text = context.terminal.redact(&summary(receipt, error));
    if let Err(error) = append(Path::new(&path), &text) {
        context.terminal.warn(format!("{error:#}"));
    }
}

fn append(path: &Path, text: &str) -> Result<()> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).context("cannot write the summary of the run")
}

/// An error beside the run, as a [workflow command](https://docs.github.com/actions/reference/workflow-commands).
fn annotation(title: &str, message: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    format!("::error title={}::{}", property(title), data(message))
}

/// The error with what is known of it.
fn explanation(error: &Error) -> String {
    let mut text = format!("{error:#}");
    for line in error.downcast_ref::<Failure>().map(Failure::evidence).unwrap_or_default().iter().take(20) {
        let _ = write!(text, "\n{line}");
    }
    text
}

/// A table of the phases, and why it failed.
fn summary(receipt: &Receipt, error: Option<&Error>) -> String {
    let mut text = format!("### {}\n\n", receipt.title());
    if let Some(error) = error {
        // A fence that no log can end.
        let _ = write!(text, "~~~~~~text\n{}\n~~~~~~\n\n", explanation(error).replace("~~~", "~ ~"));
    }
    text.push_str("| phase | seconds |\n| --- | --- |\n");
    for (phase, seconds) in receipt.seconds() {
        let _ = writeln!(text, "| {phase} | {seconds} |");
    }
    for url in receipt.urls() {
        let _ = write!(text, "\n<{url}>\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn an_annotation_is_one_line_whatever_the_message_holds() {
        assert_eq!(annotation("a: b, c", "100 %\r\n::error::x"), "::error title=a%3A b%2C c::100 %25%0D%0A::error::x");
    }

    #[test]
    fn the_log_of_a_build_cannot_end_the_block_that_it_stands_in() {
        let error: Error = Failure::new(Exit::Failed, "no").details(["~~~~~~", "<b>"]).into();
        let text = explanation(&error).replace("~~~", "~ ~");
        assert!(!text.contains("~~~"), "{text}");
    }
}
