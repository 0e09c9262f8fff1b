//! Everything that is printed: data on stdout, everything else on stderr, secrets nowhere.

mod progress;
mod streams;
mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

use crate::failure::{Exit, Failure, exit_code};

pub use self::progress::{HEARTBEAT, Lane, Progress};
use self::streams::{Input, Stream};
pub use self::table::Table;

/// Something good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something bad.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something to notice.
pub const NOTICE: Style = AnsiColor::Yellow.on_default();
/// Something that matters less.
pub const FAINT: Style = Style::new().dimmed();
/// Something to find at a glance.
pub const STRONG: Style = Style::new().bold();

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// On a terminal that can, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into pipes and files.
    Always,
    /// Not at all.
    Never,
}

/// The two streams of the process.
pub struct Terminal {
    out: Mutex<Stream>,
    err: Mutex<Stream>,
    input: Input,
    progress: Mutex<Option<indicatif::MultiProgress>>,
    secrets: Mutex<Vec<String>>,
    is_animated: bool,
    is_verbose: bool,
    is_colored: bool,
    /// Whether stdout has a document already, of ours or of a program whose lines were passed on.
    has_json: AtomicBool,
}

impl Terminal {
    /// The process's own streams.
    pub fn new(color: Color, is_verbose: bool) -> Self {
        let choice = |automatic: ColorChoice| match color {
            Color::Auto => automatic,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let out = choice(anstream::AutoStream::choice(&io::stdout()));
        let err = choice(anstream::AutoStream::choice(&io::stderr()));
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            out: Mutex::new(Stream::Out(anstream::AutoStream::new(io::stdout(), out))),
            err: Mutex::new(Stream::Err(anstream::AutoStream::new(io::stderr(), err))),
            input: Input::Stdin,
            progress: Mutex::new(None),
            secrets: Mutex::new(Vec::new()),
            is_animated: io::stderr().is_terminal() && !is_dumb && !is_ci(),
            is_verbose,
            is_colored: err != ColorChoice::Never,
            has_json: AtomicBool::new(false),
        }
    }

    /// Streams that keep what is printed, for tests; nobody answers questions.
    #[cfg(test)]
    pub fn kept() -> Self {
        Self::answered(None)
    }

    /// The same, where somebody answers each question like this.
    #[cfg(test)]
    pub fn answered(words: Option<&'static str>) -> Self {
        let terminal = Self::new(Color::Never, false);
        *lock(&terminal.out) = Stream::Kept(Vec::new());
        *lock(&terminal.err) = Stream::Kept(Vec::new());
        Self { is_animated: false, input: Input::Typed(words), ..terminal }
    }

    /// The same, where `--verbose` was given.
    #[cfg(test)]
    pub fn kept_verbose() -> Self {
        Self { is_verbose: true, ..Self::kept() }
    }

    /// What was kept, of stdout and of stderr.
    #[cfg(test)]
    pub fn printed(&self) -> (String, String) {
        let text = |stream: &Mutex<Stream>| match &*lock(stream) {
            Stream::Kept(bytes) => anstream::adapter::strip_str(&String::from_utf8_lossy(bytes)).to_string(),
            Stream::Out(_) | Stream::Err(_) => String::new(),
        };
        (text(&self.out), text(&self.err))
    }

    /// Forgets what was kept so far.
    #[cfg(test)]
    pub fn forget(&self) {
        for stream in [&self.out, &self.err] {
            *lock(stream) = Stream::Kept(Vec::new());
        }
    }

    /// Whether children that write to our stderr may colour what they say.
    pub fn is_colored(&self) -> bool {
        self.is_colored
    }

    /// From now on this text is printed as `***`, each of its lines by itself.
    pub fn hide(&self, secret: &str) {
        let mut secrets = lock(&self.secrets);
        for line in secret.lines().filter(|line| !line.trim().is_empty()) {
            if !secrets.iter().any(|known| known == line) {
                secrets.push(line.to_owned());
            }
        }
        // A secret inside another must not leave a part of the longer one behind.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text without secrets.
    pub fn redact(&self, text: &str) -> String {
        lock(&self.secrets).iter().fold(text.to_owned(), |text, secret| without(&text, secret))
    }

    /// A line of data, on stdout.
    pub fn data(&self, line: impl Display) -> Result<()> {
        self.reveal(self.redact(&line.to_string()))
    }

    /// A table, on stdout; on a terminal no wider than that.
    pub fn table(&self, table: &Table) -> Result<()> {
        // Not in the call below, which locks the stream itself.
        let columns = lock(&self.out).columns();
        self.data(table.within(columns))
    }

    /// A paragraph of data, on stdout; on a terminal no wider than that.
    pub fn paragraph(&self, text: impl Display, indent: usize) -> Result<()> {
        let columns = lock(&self.out).columns();
        self.data(table::paragraph(&text.to_string(), indent, columns))
    }

    /// A paragraph for a person, on stderr; on a terminal no wider than that.
    fn note_paragraph(&self, text: impl Display, indent: usize) {
        let columns = lock(&self.err).columns();
        self.note(table::paragraph(&self.redact(&text.to_string()), indent, columns));
    }

    /// A line of data that holds secrets because the user asked for them.
    pub fn reveal(&self, line: impl Display) -> Result<()> {
        self.suspended(|| {
            let mut out = lock(&self.out);
            writeln!(out, "{line}").and_then(|()| out.flush())
        })
        .map_err(closed_stdout)
    }

    /// A JSON document, on stdout.
    pub fn json(&self, document: &impl Serialize) -> Result<()> {
        self.has_json.store(true, Ordering::Relaxed);
        self.data(serde_json::to_string_pretty(document)?)
    }

    /// A JSON document that holds secrets because the user asked for them.
    pub fn reveal_json(&self, document: &impl Serialize) -> Result<()> {
        self.has_json.store(true, Ordering::Relaxed);
        self.reveal(serde_json::to_string_pretty(document)?)
    }

    /// One object of a JSON stream, on stdout.
    pub fn json_line(&self, object: &impl Serialize) -> Result<()> {
        self.data(serde_json::to_string(object)?)
    }

    /// A line for a person, on stderr.
    pub fn note(&self, line: impl Display) {
        let line = self.redact(&line.to_string());
        self.suspended(|| {
            let mut err = lock(&self.err);
            // With stderr gone there is nobody to tell.
            drop(writeln!(err, "{line}"));
        });
    }

    /// A warning, on stderr.
    pub fn warn(&self, line: impl Display) {
        self.note_paragraph(format!("{NOTICE}warning:{NOTICE:#} {line}"), 2);
    }

    /// What to do next, on stderr.
    pub fn next(&self, hint: impl Display) {
        self.note_paragraph(format!("{STRONG}next:{STRONG:#} {hint}"), 2);
    }

    /// A line of another program's stdout, with what ends it, on ours.
    pub fn relay_data(&self, line: &str) -> Result<()> {
        self.has_json.store(true, Ordering::Relaxed);
        let line = self.redact(line);
        self.suspended(|| {
            let mut out = lock(&self.out);
            out.write_all(line.as_bytes()).and_then(|()| out.flush())
        })
        .map_err(closed_stdout)
    }

    /// A line of another program's stderr, with what ends it, on ours.
    pub fn relay_note(&self, line: &str) {
        let line = self.redact(line);
        self.suspended(|| {
            let mut err = lock(&self.err);
            // With stderr gone there is nobody to tell.
            drop(err.write_all(line.as_bytes()).and_then(|()| err.flush()));
        });
    }

    /// What `--verbose` adds.
    pub fn verbose(&self, line: impl Display) {
        if self.is_verbose {
            self.note(format!("{FAINT}{line}{FAINT:#}"));
        }
    }

    /// A failure: what, the evidence, and what to do next.
    pub fn failure(&self, error: &anyhow::Error) {
        self.explain(&format!("{BAD}error:{BAD:#}"), error);
    }

    /// A failure that another one is more important than, in the same words.
    pub fn warn_failure(&self, error: &anyhow::Error) {
        self.explain(&format!("{NOTICE}warning:{NOTICE:#}"), error);
    }

    fn explain(&self, label: &str, error: &anyhow::Error) {
        let failure = error.downcast_ref::<Failure>();
        if failure.is_some_and(Failure::is_silent) {
            return;
        }
        let is_answer = failure.is_some_and(Failure::is_answer);
        let label = if is_answer { String::new() } else { format!("{label} ") };
        self.note_paragraph(format!("{label}{error:#}"), 2);
        let Some(failure) = failure else { return };
        for line in failure.evidence() {
            self.note(format!("  {line}"));
        }
        for (index, hint) in failure.hints().iter().enumerate() {
            let label = if index == 0 { "next:" } else { "  or:" };
            self.note(format!("{STRONG}{label}{STRONG:#} {hint}"));
        }
        if let Some(command) = failure.failed_command() {
            self.note(format!("{FAINT}command: {command}{FAINT:#}"));
        }
    }

    /// The failure as a JSON document on stdout, unless another document is there already: who asked for one gets one.
    pub fn json_failure(&self, error: &anyhow::Error) {
        let failure = error.downcast_ref::<Failure>();
        if self.has_json.load(Ordering::Relaxed) || failure.is_some_and(Failure::is_silent) {
            return;
        }
        let document = json!({
            "schema_version": 1,
            "error": {
                "message": format!("{error:#}"),
                "exit_code": exit_code(error),
                "details": failure.map(Failure::evidence).unwrap_or_default(),
                "hints": failure.map(Failure::hints).unwrap_or_default(),
            },
        });
        // In one line, as every object of a stream. With a closed stdout there is nobody to tell.
        drop(self.json_line(&document));
    }

    /// Whether somebody types what we read.
    pub fn has_input() -> bool {
        io::stdin().is_terminal()
    }

    /// Asks, with No as what Enter means. Without a terminal to ask on it is a refusal that names `flag`.
    pub fn confirm(&self, question: &str, flag: &str) -> Result<()> {
        if !self.input.is_there() {
            return Err(Failure::new(Exit::Refused, "nothing was changed: there is no terminal to ask on")
                .hint(format!("add {flag} if you mean it"))
                .into());
        }
        {
            let mut err = lock(&self.err);
            write!(err, "{STRONG}{question}{STRONG:#} [y/N] ").and_then(|()| err.flush()).context("cannot ask")?;
        }
        match self.input.line()?.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::declined().into()),
        }
    }

    /// Asks for a word to be typed. Without a terminal to ask on it is a refusal that names `flag`.
    pub fn confirm_word(&self, question: &str, word: &str, flag: &str) -> Result<()> {
        if !self.input.is_there() {
            return Err(Failure::new(Exit::Refused, "refused: there is no terminal to ask on")
                .hint(format!("add {flag} if you mean it"))
                .into());
        }
        {
            let mut err = lock(&self.err);
            write!(err, "{STRONG}{question}{STRONG:#} Type {word} to go on: ")
                .and_then(|()| err.flush())
                .context("cannot ask")?;
        }
        if self.input.line()?.trim() == word {
            return Ok(());
        }
        Err(Failure::new(Exit::Refused, format!("refused: that is not {word}, and nothing was changed")).into())
    }

    /// Lines that show what goes on at the same time, one for each name.
    pub fn progress(&self, names: &[String]) -> Progress<'_> {
        Progress::new(self, names)
    }

    /// Does `print` while no moving line is in its way.
    fn suspended<T>(&self, print: impl FnOnce() -> T) -> T {
        let progress = lock(&self.progress).clone();
        match progress {
            Some(progress) => progress.suspend(print),
            None => print(),
        }
    }
}

/// A secret that is shorter is only hidden where it is a word: inside of words it would blot out innocent ones.
const SHORT: usize = 6;

/// The text with `***` in the place of the secret.
fn without(text: &str, secret: &str) -> String {
    if secret.len() >= SHORT {
        return text.replace(secret, "***");
    }
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(secret) {
        let (before, after) = (&rest[..place], &rest[place + secret.len()..]);
        shown.push_str(before);
        let is_inside = shown.ends_with(is_word) || after.starts_with(is_word);
        shown.push_str(if is_inside { secret } else { "***" });
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// The failure of a write to stdout.
fn closed_stdout(error: io::Error) -> anyhow::Error {
    match error.kind() {
        // Whoever reads has seen enough, `head` for one: nothing failed.
        io::ErrorKind::BrokenPipe => Failure::passed_through(0).into(),
        _ => anyhow::Error::new(error).context("cannot write to stdout"),
    }
}

/// Whether this runs in CI, by the rule most tools follow.
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// A poisoned lock means that another thread panicked; what it printed so far is no reason to print less.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
