//! The logs of a deployment, shown as they come.

use crate::release::platform::Platform;
use crate::terminal::{FAINT, Terminal};
use crate::tool::railway::answer::LogLine;
use crate::tool::railway::document::{BUILD_LOG, DEPLOY_LOG, Document};

/// How many lines are asked for at once.
const MOST: u32 = 500;
/// How many lines are shown again where a deployment has failed.
const LAST_WORDS: usize = 20;

/// The two logs of a deployment, and how far each was shown.
pub struct Logs {
    service: String,
    deployment: String,
    streams: [Stream; 2],
    kept: Vec<String>,
    /// Railway is asked for logs at every other look: they are half of what a look costs.
    is_due: bool,
}

struct Stream {
    name: &'static str,
    document: Document,
    /// The time of the newest line that was shown, and the lines of that time.
    newest: Option<(String, Vec<String>)>,
}

impl Logs {
    /// Of that deployment; nothing is shown yet.
    pub fn of(service: &str, deployment: &str) -> Self {
        let stream = |name, document| Stream { name, document, newest: None };
        Self {
            service: service.to_owned(),
            deployment: deployment.to_owned(),
            streams: [stream("build", BUILD_LOG), stream("deploy", DEPLOY_LOG)],
            kept: Vec::new(),
            is_due: true,
        }
    }

    /// Shows the lines that have come since the last time.
    pub fn show(&mut self, platform: Platform<'_>, terminal: &Terminal) {
        self.is_due = !self.is_due;
        if self.is_due {
            self.read(platform, Some(terminal));
        }
    }

    /// The last lines, under what they are of.
    pub fn last_words(&mut self, platform: Platform<'_>) -> Vec<String> {
        self.read(platform, None);
        let left_out = self.kept.len().saturating_sub(LAST_WORDS);
        if self.kept.is_empty() {
            return vec!["its logs say nothing".to_owned()];
        }
        let heading = std::iter::once(format!("the end of the log of {}:", self.service));
        heading.chain(self.kept.iter().skip(left_out).map(|line| format!("| {line}"))).collect()
    }

    fn read(&mut self, platform: Platform<'_>, terminal: Option<&Terminal>) {
        for stream in &mut self.streams {
            let from = stream.newest.as_ref().map(|(time, _)| time.as_str());
            let lines = platform.log(&stream.document, &self.deployment, from, MOST);
            for line in stream.new_ones(lines) {
                if let Some(terminal) = terminal {
                    terminal.note(format!("{FAINT}  {} {} │ {line}{FAINT:#}", self.service, stream.name));
                }
                self.kept.push(line);
            }
        }
        let left_out = self.kept.len().saturating_sub(MOST as usize);
        self.kept.drain(..left_out);
    }
}

impl Stream {
    /// Those that were not shown: several lines have the same time, and the newest come again.
    fn new_ones(&mut self, lines: Vec<LogLine>) -> Vec<String> {
        let mut new = Vec::new();
        for LogLine { timestamp, message } in lines {
            let message = strip_controls(&message);
            match &mut self.newest {
                Some((time, _)) if timestamp < *time => continue,
                Some((time, shown)) if timestamp == *time => {
                    if shown.contains(&message) {
                        continue;
                    }
                    shown.push(message.clone());
                }
                newest => *newest = Some((timestamp, vec![message.clone()])),
            }
            new.push(message);
        }
        new
    }
}

/// What a build prints may move the cursor or change colours.
fn strip_controls(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    plain.trim_end().chars().filter(|letter| !letter.is_control() || *letter == '\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(timestamp: &str, message: &str) -> LogLine {
        LogLine { timestamp: timestamp.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn each_line_is_shown_once_however_often_it_comes() {
        let mut stream = Stream { name: "build", document: BUILD_LOG, newest: None };
        assert_eq!(stream.new_ones(vec![line("1", "a"), line("2", "b"), line("2", "c")]), ["a", "b", "c"]);
        assert_eq!(stream.new_ones(vec![line("2", "b"), line("2", "c"), line("2", "d"), line("3", "e")]), ["d", "e"]);
        assert!(stream.new_ones(vec![line("3", "e"), line("1", "late")]).is_empty());
    }

    #[test]
    fn a_log_cannot_write_over_the_screen() {
        assert_eq!(strip_controls("\u{1b}[2Ja\u{1b}[31mb\rc\u{7}\n"), "abc");
    }
}
