//! What the services say, merged in the order of time.
//!
//! Each service puts a time at the start of its lines in its own way. A line without one belongs to the line before.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::folder::StackFolder;
use super::thunder::Service;
use crate::log_file::{KEPT, older};

/// One line of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was said.
    pub time: SystemTime,
    /// By whom.
    pub service: Service,
    /// The line as it stands in the log.
    pub text: String,
}

/// Reads logs, and what comes to them later.
pub struct Reader {
    sources: Vec<Source>,
}

struct Source {
    service: Service,
    path: PathBuf,
    offset: u64,
    /// The start of a line whose end is not written yet.
    rest: Vec<u8>,
    last_time: SystemTime,
}

impl Reader {
    /// The logs of these services.
    pub fn new(folder: &StackFolder, services: &[Service]) -> Self {
        let source = |service: &Service| Source {
            service: *service,
            path: folder.log(*service),
            offset: 0,
            rest: Vec::new(),
            last_time: SystemTime::UNIX_EPOCH,
        };
        Self { sources: services.iter().map(source).collect() }
    }

    /// Everything up to now, the older parts of cut logs included.
    pub fn history(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for source in &mut self.sources {
            for age in (1..=KEPT).rev() {
                let text = std::fs::read(older(&source.path, age)).unwrap_or_default();
                source.take(&text, &mut lines);
            }
            source.read_new(&mut lines);
        }
        merged(lines)
    }

    /// What was written since the last call.
    pub fn news(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        for source in &mut self.sources {
            source.read_new(&mut lines);
        }
        merged(lines)
    }
}

/// A line of `docker compose logs --timestamps`: `backend-1  | 2026-11-21T17:00:00.123456789Z what was said`.
pub fn of_container(line: &str) -> Option<Line> {
    let (name, rest) = line.split_once('|')?;
    // Compose clears the line of a terminal that it does not write to.
    let name = anstream::adapter::strip_str(name).to_string();
    let service = name.trim().rsplit_once('-').map_or(name.trim(), |(service, _)| service).parse().ok()?;
    let (time, text) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
    let time = humantime::parse_rfc3339(time).ok()?;
    Some(Line { time, service, text: text.to_owned() })
}

/// Stable, so that lines of one service stay in their order.
fn merged(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by_key(|line| line.time);
    lines
}

impl Source {
    fn read_new(&mut self, lines: &mut Vec<Line>) {
        let Ok(mut file) = File::open(&self.path) else { return };
        let length = file.metadata().map_or(0, |file| file.len());
        if length < self.offset {
            // Cut: what is there was written after.
            self.offset = 0;
        }
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.offset)).and_then(|_| file.read_to_end(&mut bytes)).is_ok() {
            self.offset += bytes.len() as u64;
            self.take(&bytes, lines);
        }
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        for text in String::from_utf8_lossy(&whole).lines() {
            self.last_time = time_of(self.service, text).unwrap_or(self.last_time);
            lines.push(Line { time: self.last_time, service: self.service, text: text.to_owned() });
        }
    }
}

/// The time that the line of a service says.
fn time_of(service: Service, text: &str) -> Option<SystemTime> {
    match service {
        // 2026-11-21 14:03:37.954 UTC [12532] LOG:  …
        Service::Postgres => humantime::parse_rfc3339_weak(text.get(..23)?).ok(),
        // 12345:M 21 Nov 2026 14:03:37.954 * …
        Service::Redis => redis_time(text),
        Service::Backend => {
            // {"timestamp":"2026-11-21T14:03:37.954321Z",… or 2026-11-21T14:03:37.954321Z  INFO …
            let text = text.strip_prefix("{\"timestamp\":\"").unwrap_or(text);
            humantime::parse_rfc3339(text.split([' ', '"']).next()?).ok()
        }
    }
}

fn redis_time(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_ascii_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    humantime::parse_rfc3339_weak(&format!("{year}-{month:02}-{day} {time}")).ok()
}

/// The moment that `--since` names: a duration before now, or a time.
pub fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return SystemTime::now().checked_sub(ago).ok_or_else(|| "that is before all time".to_owned());
    }
    humantime::parse_rfc3339_weak(text)
        .map_err(|_| "neither a duration such as 10m nor a time such as 2026-11-21T14:00:00Z".to_owned())
}

/// How often a followed log is looked at.
pub const INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_container_tells_service_time_and_text() {
        let line = of_container("\u{1b}[2Kbackend-12  | 2026-11-21T17:00:00.123456789Z a | b").unwrap();
        assert_eq!((line.service, line.text.as_str()), (Service::Backend, "a | b"));
        assert_eq!(line.time.duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos(), 123_456_789);
        assert_eq!(of_container("redis-1  | 2026-11-21T17:00:00Z").unwrap().text, "");
        assert_eq!(of_container("time=\"2026\" level=warning"), None);
    }

    fn seconds(time: SystemTime) -> u64 {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() % 86_400
    }

    #[test]
    fn every_service_says_the_time_in_its_own_way() {
        let clock = 14 * 3600 + 3 * 60 + 37;
        for (service, text) in [
            (Service::Postgres, "2026-11-21 14:03:37.954 UTC [12532] LOG:  database system is ready"),
            (Service::Redis, "12345:M 21 Nov 2026 14:03:37.954 * Ready to accept connections"),
            (Service::Backend, "2026-11-21T14:03:37.954321Z  INFO thunder: listening"),
            (Service::Backend, r#"{"timestamp":"2026-11-21T14:03:37.954321Z","level":"INFO"}"#),
        ] {
            assert_eq!(time_of(service, text).map(seconds), Some(clock), "{text}");
        }
        assert_eq!(time_of(Service::Backend, "thread 'main' panicked at src/main.rs"), None);
        assert_eq!(time_of(Service::Postgres, "ä".repeat(12).as_str()), None);
    }

    fn folder_with(logs: &[(Service, &str)]) -> (xshell::TempDir, StackFolder) {
        let temporary = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let folder = StackFolder::at(temporary.path().to_owned(), None, "x");
        std::fs::create_dir_all(temporary.path().join("logs")).unwrap();
        for (service, text) in logs {
            std::fs::write(folder.log(*service), text).unwrap();
        }
        (temporary, folder)
    }

    #[test]
    fn lines_are_merged_by_time_and_stay_with_the_line_they_belong_to() {
        let (_temporary, folder) = folder_with(&[
            (
                Service::Postgres,
                "2026-11-21 10:00:01.000 UTC [1] LOG:  one\n\tmore of one\n2026-11-21 10:00:03.000 UTC [1] LOG:  three\n",
            ),
            (Service::Backend, "2026-11-21T10:00:02.000000Z  INFO two\n"),
        ]);
        let lines = Reader::new(&folder, &Service::ALL).history();
        let ends: Vec<&str> = lines.iter().filter_map(|line| line.text.split_whitespace().last()).collect();
        assert_eq!(ends, ["one", "one", "two", "three"]);
    }

    #[test]
    fn news_are_whole_lines_and_survive_a_cut() {
        let (_temporary, folder) = folder_with(&[(Service::Backend, "2026-11-21T10:00:00Z a\n2026-11-21T10:00:01Z b")]);
        let mut reader = Reader::new(&folder, &[Service::Backend]);
        assert_eq!(reader.history().len(), 1, "the second line is not ended");
        let log = folder.log(Service::Backend);
        let old = std::fs::read_to_string(&log).unwrap();
        std::fs::write(&log, format!("{old} end\n")).unwrap();
        assert_eq!(reader.news()[0].text, "2026-11-21T10:00:01Z b end");
        std::fs::write(&log, "2026-11-21T10:00:02Z c\n").unwrap();
        assert_eq!(reader.news()[0].text, "2026-11-21T10:00:02Z c");
        assert!(reader.news().is_empty());
    }

    #[test]
    fn since_is_a_duration_or_a_time() {
        let hour = Duration::from_hours(1);
        let ago = since("1h").unwrap().elapsed().unwrap();
        assert!(ago >= hour && ago < hour + Duration::from_secs(5));
        assert_eq!(seconds(since("2026-11-21T14:00:00Z").unwrap()), 14 * 3600);
        assert!(since("yesterday").is_err());
    }
}
