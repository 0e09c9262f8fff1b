//! What goes on at the same time: a moving line for each part on a terminal, a line for each change elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{BAD, FAINT, GOOD, Terminal, lock};

/// How long a plain stream stays silent about something that only moves on.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// The lines of one piece of work; they stay as they are when it is dropped.
pub struct Progress<'a> {
    terminal: &'a Terminal,
    width: usize,
    bars: Option<MultiProgress>,
    /// What was shown before, by the plan that this one is a part of.
    outer: Option<MultiProgress>,
}

/// The line of one part.
pub struct Lane<'a> {
    progress: &'a Progress<'a>,
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

struct State {
    text: String,
    detail: String,
    printed: Instant,
    has_ended: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn new(terminal: &'a Terminal, names: &[String]) -> Self {
        let width = names.iter().map(String::len).max().unwrap_or(0);
        let mut shown = lock(&terminal.progress);
        let outer = shown.clone();
        // Work may have a plan inside of a plan: two that draw by themselves would write over each other.
        let bars = outer
            .clone()
            .or_else(|| terminal.is_animated.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())));
        shown.clone_from(&bars);
        drop(shown);
        Self { terminal, width, bars, outer }
    }

    /// Begins a part.
    pub fn lane(&'a self, name: &str) -> Lane<'a> {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            let template = format!("{{spinner:.cyan}} {{prefix:{}}}  {{wide_msg}} {{took:.dim}}", self.width);
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner());
            let style = style.with_key("took", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // A line that cannot be written is written again a moment later.
                out.write_str(&elapsed(state.elapsed())).unwrap_or_default();
            });
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let now = Instant::now();
        let state = Mutex::new(State { text: String::new(), detail: String::new(), printed: now, has_ended: false });
        Lane { progress: self, name: name.to_owned(), started: now, bar, state }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        *lock(&self.terminal.progress) = self.outer.take();
    }
}

impl Lane<'_> {
    /// Says what begins now.
    pub fn state(&self, text: &str) {
        let text = self.progress.terminal.redact(text);
        match &self.bar {
            Some(bar) => bar.set_message(text.clone()),
            None => self.plain(&format!("{text} …")),
        }
        *lock(&self.state) = State { text, detail: String::new(), printed: Instant::now(), has_ended: false };
    }

    /// Says how far it is; a plain stream hears of it now and then only.
    pub fn detail(&self, text: &str) {
        let mut state = lock(&self.state);
        let line = self.progress.terminal.redact(&format!("{}: {text}", state.text));
        if let Some(bar) = &self.bar {
            bar.set_message(line);
        } else if state.printed.elapsed() >= HEARTBEAT {
            state.printed = Instant::now();
            self.plain(&line);
        }
        text.clone_into(&mut state.detail);
    }

    /// Says on a plain stream that it goes on, where nothing else has been said for a while.
    pub fn heartbeat(&self) {
        let mut state = lock(&self.state);
        if self.bar.is_some() || state.has_ended || state.printed.elapsed() < HEARTBEAT {
            return;
        }
        state.printed = Instant::now();
        let detail = if state.detail.is_empty() { "goes on" } else { &state.detail };
        self.plain(&self.progress.terminal.redact(&format!("{}: {detail}", state.text)));
    }

    /// Ends the part well.
    pub fn done(&self, text: &str) {
        self.end(&format!("{GOOD}✓{GOOD:#}"), text);
    }

    /// Ends the part badly; the error itself is printed by whoever reports it.
    pub fn failed(&self, text: &str) {
        self.end(&format!("{BAD}✗{BAD:#}"), text);
    }

    fn end(&self, mark: &str, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        lock(&self.state).has_ended = true;
        let elapsed = elapsed(self.started.elapsed());
        let (name, width) = (&self.name, self.progress.width);
        self.progress.terminal.note(format!("{mark} {name:width$}  {text} {FAINT}{elapsed}{FAINT:#}"));
    }

    fn plain(&self, text: &str) {
        let elapsed = elapsed(self.started.elapsed());
        let (name, width) = (&self.name, self.progress.width);
        self.progress.terminal.note(format!("  {name:width$}  {text} {FAINT}{elapsed}{FAINT:#}"));
    }
}

/// Seconds to a tenth below a minute, minutes and seconds above.
fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{}:{:02} min", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_as_precise_as_anybody_needs() {
        assert_eq!(elapsed(Duration::from_millis(1260)), "1.3 s");
        assert_eq!(elapsed(Duration::from_millis(59_900)), "59.9 s");
        assert_eq!(elapsed(Duration::from_secs(97)), "1:37 min");
        assert_eq!(elapsed(Duration::from_secs(125)), "2:05 min");
    }

    /// What was said on stderr, without the times.
    fn said(terminal: &Terminal) -> Vec<String> {
        // Each ends with a time such as `0.0 s`.
        let without_time = |line: &str| line.rsplitn(3, ' ').nth(2).unwrap_or_default().to_owned();
        terminal.printed().1.lines().map(without_time).collect()
    }

    #[test]
    fn on_a_plain_stream_each_change_is_a_line_under_its_name() {
        let terminal = Terminal::kept();
        terminal.hide("hunter2");
        let names = ["redis".to_owned(), "postgres".to_owned()];
        let progress = terminal.progress(&names);
        let (redis, postgres) = (progress.lane("redis"), progress.lane("postgres"));
        redis.state("start Redis with hunter2");
        postgres.state("create the data folder");
        redis.done("ready");
        postgres.failed("stopped");
        assert_eq!(
            said(&terminal),
            [
                "  redis     start Redis with *** …",
                "  postgres  create the data folder …",
                "✓ redis     ready",
                "✗ postgres  stopped",
            ]
        );
        assert_eq!(terminal.printed().0, "", "stdout is for data");
    }

    /// As if nothing had been said for as long.
    fn long_ago(lane: &Lane<'_>) {
        lock(&lane.state).printed = Instant::now().checked_sub(HEARTBEAT).unwrap();
    }

    #[test]
    fn a_plain_stream_hears_now_and_then_how_far_it_is_and_never_after_the_end() {
        let terminal = Terminal::kept();
        let progress = terminal.progress(&["build".to_owned()]);
        let lane = progress.lane("build");
        lane.state("build the backend");
        lane.detail("1 of 9, serde");
        lane.heartbeat();
        assert_eq!(said(&terminal).len(), 1, "nothing was silent for long");
        long_ago(&lane);
        lane.heartbeat();
        lane.heartbeat();
        long_ago(&lane);
        lane.detail("5 of 9, tokio");
        assert_eq!(
            said(&terminal)[1..],
            ["  build  build the backend: 1 of 9, serde", "  build  build the backend: 5 of 9, tokio"]
        );
        lane.state("start");
        long_ago(&lane);
        lane.heartbeat();
        assert_eq!(said(&terminal).last().unwrap(), "  build  start: goes on", "what it was before is over");
        lane.done("ready");
        long_ago(&lane);
        lane.heartbeat();
        assert_eq!(said(&terminal).last().unwrap(), "✓ build  ready");
    }
}
