//! What happens to servers: one takes over, one ends, one fails to come, and when the next try is.
//!
//! The report is written before the log tells of it: whoever reads the log and asks for the status gets the same answer.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Watcher;
use super::report::{Phase, Problem};
use super::servers::{Role, START_TIMEOUT};
use crate::failure::Exit;

/// The pause before a server that crashed is started again; it doubles with each crash.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// How often a server that does not get ready is started again while an older build serves.
const RETRIES: u32 = 5;
/// The longest such pause.
const LAST_BACKOFF: Duration = Duration::from_secs(30);
/// A server that served for so long does not crash at once.
const STABLE_AFTER: Duration = Duration::from_mins(1);

/// What tells more about a server that ended.
const LOGS: &str = "cargo xtask logs backend";

impl Watcher<'_, '_> {
    /// The next server is ready: it is the one that serves now, and the one before finishes what it has begun.
    pub fn take_over(&mut self, number: u32) -> Result<()> {
        let Some((prepared, is_reload)) = self.servers.take_over(number)? else { return Ok(()) };
        self.report.reloads += u32::from(is_reload);
        let said = self.edited.take().filter(|_| is_reload).map_or_else(
            || "serving".to_owned(),
            |edited| format!("reloaded {:.1} s after the change", edited.elapsed().as_secs_f64()),
        );
        if prepared.is_another_binary {
            self.crashes = 0;
        }
        self.is_newest = true;
        self.environment = prepared.environment;
        self.served = Some(prepared.snapshot);
        self.retry = None;
        // What was edited since may have failed already.
        let problem = self.report.problem.take().filter(|_| self.served.as_ref() != Some(&self.seen));
        if let Err(error) = crate::log_file::rotate(&self.files.log()) {
            self.say(&format!("{error:#}"));
        }
        if problem.is_none() {
            self.report.hints.clear();
        }
        self.report.problem = problem;
        self.report.phase = if self.job.is_some() { Phase::Building } else { Phase::Idle };
        self.write_report();
        self.say(&said);
        Ok(())
    }

    /// A server has ended. An exit code, where there is nothing to go on with.
    pub fn ended(&mut self, number: u32, how: &str) -> Result<Option<u8>> {
        Ok(match self.servers.ended(number)? {
            Role::Next => {
                let code = how.strip_prefix("exit code ").and_then(|code| code.parse().ok()).unwrap_or(1);
                let problem = Problem::new(format!("the new server ended with {how} before it was ready"));
                // It says so of settings, and those stay as they are until somebody edits them.
                let needs_edit = code == Exit::Missing as u8;
                self.fail(Problem { needs_edit, ..problem.hint(LOGS) }, code)
            }
            Role::Current(lived) => {
                if lived > STABLE_AFTER {
                    self.crashes = 0;
                }
                let (times, pause) = self.pause();
                let what = format!("the backend ended with {how}{times}");
                self.stand(Phase::Waiting, Some(Problem::new(what.clone()).hint(LOGS)));
                self.say(&format!("{what}; starting it again in {pause}"));
                None
            }
            Role::Retired => None,
        })
    }

    /// Notes why what was edited does not serve. An exit code, where nothing ever did and nothing is left to wait for.
    pub fn fail(&mut self, problem: Problem, code: u8) -> Option<u8> {
        let serves = self.servers.is_serving();
        let serving = if serves { "; the older build keeps serving" } else { "" };
        let summary = format!("{}{serving}", problem.summary);
        let hints: Vec<String> = problem.hints.iter().map(|hint| format!("try: {hint}")).collect();
        let details = problem.details.clone();
        let is_starting = self.servers.is_starting();
        let is_over = self.served.is_none() && !serves && !is_starting;
        // What was in its way may pass, such as a database that is restarted. While an older build serves, it is not tried
        // for ever.
        let gives_up = problem.needs_edit || serves && self.crashes >= RETRIES;
        let phase = match (is_starting, is_over || gives_up) {
            (true, _) => Phase::Starting,
            (false, true) => Phase::Idle,
            (false, false) => Phase::Waiting,
        };
        let retry = (phase == Phase::Waiting).then(|| self.pause());
        self.stand(phase, Some(problem));
        self.say(&summary);
        self.show(&details);
        for hint in &hints {
            self.say(hint);
        }
        if let Some((times, pause)) = retry {
            let what = if serves { "it did not get ready" } else { "nothing serves" };
            self.say(&format!("{what}{times}; trying again in {pause}"));
        }
        is_over.then_some(code)
    }

    /// Waits before a server is started again, longer each time: how often that was, and for how long.
    fn pause(&mut self) -> (String, humantime::FormattedDuration) {
        let pause = LAST_BACKOFF.min(FIRST_BACKOFF * 2_u32.saturating_pow(self.crashes.min(16)));
        self.crashes += 1;
        self.retry = Some(Instant::now() + pause);
        let times = if self.crashes > 1 { format!(", {} times in a row", self.crashes) } else { String::new() };
        (times, humantime::format_duration(pause))
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        if self.servers.tick() {
            let timeout = humantime::format_duration(START_TIMEOUT);
            let problem = Problem::new(format!("the new server was not ready within {timeout}"));
            self.fail(problem.hint(LOGS), Exit::Unhealthy as u8);
        }
        if self.retry.is_some_and(|when| when <= Instant::now()) {
            self.retry = None;
            if self.job.is_none() && !self.servers.is_starting() {
                self.prepare();
            }
        }
    }
}

#[cfg(test)]
mod tests;
