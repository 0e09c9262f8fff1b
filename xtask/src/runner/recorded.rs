//! A runner that plays answers instead of starting anything, so that whole plans are tested in milliseconds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};

use super::{Child, Launch, Output, Runner, Stream, failure, success};
use crate::interrupt::CancelToken;
use crate::step::Step;

/// Plays what a test has recorded, and notes what was asked.
#[derive(Clone, Default)]
pub struct Recorded {
    tape: Arc<Mutex<Tape>>,
    /// Whether an end that somebody asked for stops it.
    is_uncancelled: bool,
}

#[derive(Default)]
struct Tape {
    programs: Vec<PathBuf>,
    answers: Vec<Answer>,
    asked: Vec<String>,
    changed: Vec<String>,
    cancel: CancelToken,
}

struct Answer {
    words: String,
    output: Output,
    /// What happens besides.
    effect: Option<Effect>,
}

/// What a command does besides saying something; it is given the step that asked.
type Effect = Box<dyn Fn(&Step) + Send>;

/// What a command says that ends well.
pub fn says(stdout: &str) -> Output {
    Output { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() }
}

/// What a command says on stderr that ends with that code.
pub fn fails(code: i32, stderr: &str) -> Output {
    Output { code: Some(code), stdout: String::new(), stderr: stderr.to_owned() }
}

impl Recorded {
    /// These programs are on PATH; nothing is answered yet.
    pub fn with(programs: &[&str]) -> Self {
        let recorded = Self::default();
        recorded.tape().programs = programs.iter().map(|program| Path::new("/usr/bin").join(program)).collect();
        recorded
    }

    /// This program is on PATH as well, and it lies there.
    pub fn place(&self, program: &Path) -> &Self {
        self.tape().programs.push(program.to_owned());
        self
    }

    /// Answers commands that read like this: the words stand in them one after the other. The answer that was added last wins.
    pub fn on(&self, words: &str, output: Output) -> &Self {
        self.answer(words, output, None)
    }

    /// Answers, and does something when it is asked.
    pub fn on_and(&self, words: &str, output: Output, effect: impl Fn() + Send + 'static) -> &Self {
        self.answer(words, output, Some(Box::new(move |_| effect())))
    }

    /// Answers, and does something with what was asked, such as to write the file that an argument names.
    pub fn on_step(&self, words: &str, output: Output, effect: impl Fn(&Step) + Send + 'static) -> &Self {
        self.answer(words, output, Some(Box::new(effect)))
    }

    fn answer(&self, words: &str, output: Output, effect: Option<Effect>) -> &Self {
        self.tape().answers.push(Answer { words: words.to_owned(), output, effect });
        self
    }

    /// From now on nothing but a clean-up is answered once this is cancelled.
    pub fn listen_to(&self, cancel: CancelToken) {
        self.tape().cancel = cancel;
    }

    /// What was asked, in order, as a person would type it.
    pub fn asked(&self) -> Vec<String> {
        self.tape().asked.clone()
    }

    /// What was asked that may change something: nothing, in a dry run.
    pub fn changed(&self) -> Vec<String> {
        self.tape().changed.clone()
    }

    /// Forgets what was asked so far; the answers stay.
    pub fn forget(&self) {
        let mut tape = self.tape();
        tape.asked.clear();
        tape.changed.clear();
    }

    /// Whether something that reads like this was asked.
    pub fn was_asked(&self, words: &str) -> bool {
        self.asked().iter().any(|command| reads_like(command, words))
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn play(&self, step: &Step) -> Result<Output> {
        let command = step.to_string();
        let mut tape = self.tape();
        if !self.is_uncancelled {
            tape.cancel.check()?;
        }
        tape.asked.push(command.clone());
        if !step.is_read_only() {
            tape.changed.push(command.clone());
        }
        let suits = |answer: &Answer| reads_like(&command, &answer.words);
        let Some(answer) = tape.answers.iter().rev().find(|answer| suits(answer)) else {
            bail!("nothing is recorded for {command}");
        };
        if let Some(effect) = &answer.effect {
            effect(step);
        }
        Ok(answer.output.clone())
    }
}

/// Whether the words stand in the command, one after the other.
fn reads_like(command: &str, words: &str) -> bool {
    let mut rest = command;
    words.split_whitespace().all(|word| {
        let found = rest.find(word);
        rest = found.map_or("", |at| &rest[at + word.len()..]);
        found.is_some()
    })
}

impl Runner for Recorded {
    fn find(&self, program: &str) -> Option<PathBuf> {
        // One that is asked for by its whole path is there where that path is.
        self.tape().programs.iter().find(|known| known.ends_with(program)).cloned()
    }

    fn read(&self, step: &Step) -> Result<Output> {
        self.play(step)
    }

    fn run(&self, step: &Step, cancel: &CancelToken, heard: &dyn Fn(Stream, &str)) -> Result<()> {
        cancel.check()?;
        let output = self.play(step)?;
        output.stdout.lines().for_each(|line| heard(Stream::Out, line));
        output.stderr.lines().for_each(|line| heard(Stream::Err, line));
        success(step, &output).map(drop)
    }

    fn forward(&self, step: &Step, cancel: &CancelToken) -> Result<u8> {
        cancel.check()?;
        let output = self.play(step)?;
        match output.code.and_then(|code| u8::try_from(code).ok()) {
            Some(code) => Ok(code),
            None => Err(failure(step, output.code, &output.lines()).into()),
        }
    }

    fn replace(&self, step: &Step) -> Result<std::convert::Infallible> {
        self.play(step)?;
        bail!("replaced by {step}")
    }

    fn start(&self, launch: &Launch) -> Result<Box<dyn Child>> {
        let code = self.play(&launch.step)?.code.filter(|code| *code != 0);
        Ok(Box::new(Started(code.map(|code| format!("exit code {code}")))))
    }

    fn without_cancel(&self) -> Box<dyn Runner> {
        Box::new(Self { is_uncancelled: true, ..self.clone() })
    }
}

/// A program that was started and goes on, or has ended badly where that is what was recorded.
struct Started(Option<String>);

impl Child for Started {
    fn ended(&self) -> Result<Option<String>> {
        Ok(self.0.clone())
    }

    fn wait(&self) -> Result<String> {
        Ok(self.0.clone().unwrap_or_else(|| "exit code 0".to_owned()))
    }
}
