//! What the services say, merged in the order of time.
//!
//! Each service puts a time at the start of its lines in its own way. A line without one belongs to the line before.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::folder::StackFolder;
use super::service::Service;
use crate::interrupt::CancelToken;
use crate::log_file::{KEPT_FILES, older};
use crate::runner::{Runner, read_well};
use crate::step::Step;
use crate::wait;

/// How often a log that is followed is cut when it grows large.
const ROTATION_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Where the lines of services come from.
pub enum LogSource {
    /// From files.
    Files(Reader),
    /// From the output of commands: the lines so far, and those that follow.
    Steps {
        /// Prints what was said.
        history: Box<Step>,
        /// Goes on printing lines.
        follow: Box<Step>,
    },
}

impl LogSource {
    /// What was said up to now, in the order of time.
    pub fn history(&mut self, runner: &dyn Runner) -> Result<Vec<Line>> {
        match self {
            Self::Files(reader) => Ok(reader.history()),
            Self::Steps { history, .. } => {
                let said = read_well(runner, history)?;
                Ok(merged(said.lines().filter_map(of_container).collect()))
            }
        }
    }

    /// Tells `heard` each line from now on, until it is cancelled, `is_over` or `heard` has heard enough.
    pub fn follow(
        self,
        runner: &dyn Runner,
        cancel: &CancelToken,
        is_over: &dyn Fn() -> bool,
        heard: &dyn Fn(&Line) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Files(reader) => reader.follow(cancel, is_over, heard),
            Self::Steps { follow, .. } => {
                let failure = RefCell::new(None);
                let outcome = runner.run(&follow, cancel, &|_, said| {
                    let Some(line) = of_container(said) else { return };
                    if let Err(error) = heard(&line) {
                        failure.borrow_mut().get_or_insert(error);
                        cancel.cancel();
                    }
                });
                failure.into_inner().map_or(outcome, Err)
            }
        }
    }
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
            for age in (1..=KEPT_FILES).rev() {
                let text = std::fs::read(older(&source.path, age)).unwrap_or_default();
                source.take(&text, &mut lines);
            }
            source.read_new(&mut lines);
        }
        merged(lines)
    }

    fn follow(
        mut self,
        cancel: &CancelToken,
        is_over: &dyn Fn() -> bool,
        heard: &dyn Fn(&Line) -> Result<()>,
    ) -> Result<()> {
        let mut cut = Instant::now();
        loop {
            let is_last = is_over();
            self.news().iter().try_for_each(heard)?;
            if cut.elapsed() > ROTATION_TIMEOUT {
                self.sources.iter().try_for_each(|source| crate::log_file::rotate(&source.path))?;
                cut = Instant::now();
            }
            if cancel.is_cancelled() || is_last {
                return cancel.check();
            }
            wait::pause(POLL_INTERVAL);
        }
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
fn of_container(line: &str) -> Option<Line> {
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
            self.last_time = self.service.definition().log_time(text).unwrap_or(self.last_time);
            lines.push(Line { time: self.last_time, service: self.service, text: text.to_owned() });
        }
    }
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
const POLL_INTERVAL: Duration = Duration::from_millis(100);

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
