//! The logs of a deployment, shown as they come.

use std::time::SystemTime;

use crate::release::platform::{Log, LogLine, Platform};
use crate::terminal::{FAINT, Terminal};

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
    /// The platform is asked for logs at every third look: they cost more than the look itself.
    looks: u32,
}

struct Stream {
    name: &'static str,
    log: Log,
    /// The time of the newest line that was shown, and the lines of that time.
    newest: Option<(SystemTime, Vec<String>)>,
    /// The same time, as the platform writes it.
    from: Option<String>,
}

impl Logs {
    /// Of that deployment; nothing is shown yet.
    pub fn of(service: &str, deployment: &str) -> Self {
        let stream = |name, log| Stream { name, log, newest: None, from: None };
        Self {
            service: service.to_owned(),
            deployment: deployment.to_owned(),
            streams: [stream("build", Log::Build), stream("deploy", Log::Deploy)],
            kept: Vec::new(),
            looks: 0,
        }
    }

    /// Shows the lines that have come since the last time.
    pub fn show(&mut self, platform: &dyn Platform, terminal: &Terminal) {
        self.looks += 1;
        if self.looks % 3 == 1 {
            self.read(platform, Some(terminal));
        }
    }

    /// The last lines, under what they are of.
    pub fn last_words(&mut self, platform: &dyn Platform) -> Vec<String> {
        self.read(platform, None);
        let left_out = self.kept.len().saturating_sub(LAST_WORDS);
        if self.kept.is_empty() {
            return vec!["its logs say nothing".to_owned()];
        }
        let heading = std::iter::once(format!("the end of the log of {}:", self.service));
        heading.chain(self.kept.iter().skip(left_out).map(|line| format!("| {line}"))).collect()
    }

    fn read(&mut self, platform: &dyn Platform, terminal: Option<&Terminal>) {
        for stream in &mut self.streams {
            let lines = platform.log(stream.log, &self.deployment, stream.from.as_deref(), MOST);
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
            // As text, 01.12Z would come after 01.123Z.
            let at = humantime::parse_rfc3339(&timestamp).unwrap_or(SystemTime::UNIX_EPOCH);
            match &mut self.newest {
                Some((time, _)) if at < *time => continue,
                Some((time, shown)) if at == *time => {
                    if shown.contains(&message) {
                        continue;
                    }
                    shown.push(message.clone());
                }
                newest => {
                    *newest = Some((at, vec![message.clone()]));
                    self.from = Some(timestamp);
                }
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
        LogLine { timestamp: format!("2026-01-01T00:00:0{timestamp}Z"), message: message.to_owned() }
    }

    #[test]
    fn each_line_is_shown_once_however_often_it_comes() {
        let mut stream = Stream { name: "build", log: Log::Build, newest: None, from: None };
        assert_eq!(stream.new_ones(vec![line("1", "a"), line("2", "b"), line("2", "c")]), ["a", "b", "c"]);
        assert_eq!(stream.new_ones(vec![line("2", "b"), line("2", "c"), line("2", "d"), line("3", "e")]), ["d", "e"]);
        assert!(stream.new_ones(vec![line("3", "e"), line("1", "late")]).is_empty());
        assert_eq!(stream.new_ones(vec![line("3.12", "f"), line("3.123", "g")]), ["f", "g"]);
    }

    #[test]
    fn a_log_cannot_write_over_the_screen() {
        assert_eq!(strip_controls("\u{1b}[2Ja\u{1b}[31mb\rc\u{7}\n"), "abc");
    }
}
