//! A program on a pseudo-terminal: what it writes is read as a person reads it, and what is typed goes through the
//! terminal's own line discipline, so that Ctrl-C is the signal that it is for people.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::Pty;

/// Longer than anything takes here; in a clone everything may have to be built first.
fn timeout() -> Duration {
    Duration::from_mins(if std::env::var_os("TERMINAL_CHECKOUT").is_some() { 20 } else { 2 })
}

/// The height of the terminal.
const ROWS: u16 = 50;

/// A program that runs on a terminal of its own.
pub struct Session {
    words: String,
    pty: Arc<Pty>,
    child: std::process::Child,
    written: Arc<Mutex<Vec<u8>>>,
    columns: u16,
    /// How much of what was written is answered already.
    seen: usize,
}

impl Session {
    /// Starts the command on a terminal of that width.
    pub fn start(command: &Command, columns: u16) -> Self {
        let (pty, pts) = pty_process::blocking::open().expect("the system has terminals");
        pty.resize(Size::new(ROWS, columns)).expect("a terminal can be resized");
        let mut own = pty_process::blocking::Command::new(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            own = own.current_dir(folder);
        }
        // As on a person's machine, where nothing says that this is CI.
        own = own.env("TERM", "xterm-256color").env_remove("CI").env_remove("NO_COLOR");
        for (name, value) in command.get_envs() {
            own = match value {
                Some(value) => own.env(name, value),
                None => own.env_remove(name),
            };
        }
        let child = own.spawn(pts).expect("the program runs");
        let written = Arc::new(Mutex::new(Vec::new()));
        let pty = Arc::new(pty);
        let source = Arc::clone(&pty);
        let sink = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The terminal is gone with the last program on it.
            while let Ok(length @ 1..) = (&*source).read(&mut bytes) {
                sink.lock().expect("no panic while it is held").extend_from_slice(&bytes[..length]);
            }
        });
        let words = command.get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
        Self { words, pty, child, written, columns, seen: 0 }
    }

    /// Waits until the program has written this, after what was waited for before.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            let written = self.text();
            if let Some(place) = written[self.seen..].find(text) {
                self.seen += place + text.len();
                return;
            }
            let ended = self.child.try_wait().expect("our own child");
            assert!(
                begun.elapsed() < timeout() && (ended.is_none() || self.has_more(written.len())),
                "{}: waited in vain for {text:?} ({ended:?}):\n{written}",
                self.words
            );
            pause();
        }
    }

    /// Types this.
    pub fn send(&mut self, text: &str) {
        (&*self.pty).write_all(text.as_bytes()).expect("the terminal is there");
    }

    /// Types Ctrl-C.
    pub fn interrupt(&mut self) {
        self.send("\u{3}");
    }

    /// Waits for the end, which has to be with this code, and gives back all that was written.
    #[track_caller]
    pub fn end(mut self, code: i32) -> String {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                break status;
            }
            let state = state_of(self.child.id());
            assert!(begun.elapsed() < timeout(), "{}: does not end ({state}):\n{}", self.words, self.text());
            pause();
        };
        while self.has_more(self.text().len()) {}
        let text = self.text();
        assert_eq!(status.code(), Some(code), "{}:\n{text}", self.words);
        self.expect_tidy_screen();
        text
    }

    /// Whether more is written within a moment.
    fn has_more(&self, length: usize) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(100) {
            if self.text().len() > length {
                return true;
            }
            pause();
        }
        false
    }

    /// What was written, without colours and movements.
    fn text(&self) -> String {
        let written = self.written.lock().expect("no panic while it is held").clone();
        anstream::adapter::strip_str(&String::from_utf8_lossy(&written)).to_string().replace('\r', "")
    }

    /// No half of a moving line is left on the screen, and no line of it is repeated because it did not fit.
    #[track_caller]
    fn expect_tidy_screen(&self) {
        let [rows, columns] = [ROWS, self.columns].map(|size| NonZero::new(size).expect("a terminal has a size"));
        let mut screen = vt100::Parser::new(rows, columns, 10_000);
        screen.process(&self.written.lock().expect("no panic while it is held"));
        let contents = screen.screen().contents();
        let spinner = |line: &&str| line.trim_start().starts_with(['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']);
        let left = contents.lines().find(spinner);
        assert_eq!(left, None, "{}: a moving line is left on the screen:\n{contents}", self.words);
    }
}

/// The state of a process as Linux tells it; `T` is one that the system has stopped.
fn state_of(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("?").to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks at the screen")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
