//! A runner that plays answers instead of starting anything, so that whole plans are tested in milliseconds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
    programs: Vec<String>,
    /// Where they lie; /usr/bin, where a test does not say.
    folder: Option<PathBuf>,
    answers: Vec<Answer>,
    asked: Vec<String>,
    /// What of that may change something.
    changes: Vec<String>,
    cancel: CancelToken,
    /// What happens before a command is answered, by its words.
    before: Vec<(String, Box<dyn Fn() + Send>)>,
    /// What was started, by its command.
    children: Vec<(String, Arc<Life>)>,
    /// What ends, by words of its command, and how.
    ends: Vec<(String, String)>,
}

struct Answer {
    words: String,
    /// What it says to the whole command, and what happens besides.
    say: Box<dyn Fn(&Step) -> Output + Send>,
}

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
        recorded.tape().programs = programs.iter().map(|program| (*program).to_owned()).collect();
        recorded
    }

    /// This program is on PATH as well.
    pub fn also_has(&self, program: &str) {
        self.tape().programs.push(program.to_owned());
    }

    /// Answers commands that read like this: the words stand in them one after the other. The answer that was added last wins.
    pub fn on(&self, words: &str, output: Output) -> &Self {
        self.by(words, move |_| output.clone())
    }

    /// Answers, and does something when it is asked.
    pub fn on_and(&self, words: &str, output: Output, effect: impl Fn() + Send + 'static) -> &Self {
        self.by(words, move |_| {
            effect();
            output.clone()
        })
    }

    /// Answers with what the function makes of the command. It must not ask the runner.
    pub fn by(&self, words: &str, say: impl Fn(&str) -> Output + Send + 'static) -> &Self {
        self.answer(words, move |step| say(&step.to_string()))
    }

    /// Answers, and does something with what was asked, such as to write the file that an argument names.
    pub fn on_step(&self, words: &str, output: Output, effect: impl Fn(&Step) + Send + 'static) -> &Self {
        self.answer(words, move |step| {
            effect(step);
            output.clone()
        })
    }

    /// Answers with what the function makes of the whole command, what it reads included. It must not ask the runner.
    pub fn answer(&self, words: &str, say: impl Fn(&Step) -> Output + Send + 'static) -> &Self {
        self.tape().answers.push(Answer { words: words.to_owned(), say: Box::new(say) });
        self
    }

    /// Does something whenever a command that reads like this was asked; how it is answered stays as it is.
    pub fn before(&self, words: &str, effect: impl Fn() + Send + 'static) {
        self.tape().before.push((words.to_owned(), Box::new(effect)));
    }

    /// From now on the programs that are on PATH lie in this folder.
    pub fn lie_in(&self, folder: &Path) {
        self.tape().folder = Some(folder.to_owned());
    }

    /// What of that may change something: nothing, in a dry run.
    pub fn changes(&self) -> Vec<String> {
        self.tape().changes.clone()
    }

    /// Forgets what was asked, between two tasks of one test.
    pub fn forget(&self) {
        let mut tape = self.tape();
        tape.asked.clear();
        tape.changes.clear();
    }

    /// What was started by a command that reads like this ends so, now or as soon as it is started.
    pub fn end(&self, words: &str, how: &str) -> &Self {
        let mut tape = self.tape();
        tape.ends.push((words.to_owned(), how.to_owned()));
        tape.children.iter().filter(|(command, _)| reads_like(command, words)).for_each(|(_, life)| life.end(how));
        drop(tape);
        self
    }

    /// Once this is cancelled, only clean-ups are answered.
    pub fn listen_to(&self, cancel: CancelToken) {
        self.tape().cancel = cancel;
    }

    /// What was asked, in order, as a person would type it.
    pub fn asked(&self) -> Vec<String> {
        self.tape().asked.clone()
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
            tape.changes.push(command.clone());
        }
        tape.before.iter().filter(|(words, _)| reads_like(&command, words)).for_each(|(_, effect)| effect());
        if !self.is_uncancelled {
            tape.cancel.check()?;
        }
        let suits = |answer: &Answer| reads_like(&command, &answer.words);
        let Some(answer) = tape.answers.iter().rev().find(|answer| suits(answer)) else {
            bail!("nothing is recorded for {command}");
        };
        Ok((answer.say)(step))
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
        let tape = self.tape();
        let folder = tape.folder.clone().unwrap_or_else(|| PathBuf::from("/usr/bin"));
        // It may be asked for by its whole path.
        tape.programs
            .iter()
            .find(|known| *known == program || folder.join(known) == Path::new(program))
            .map(|known| folder.join(known))
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
        let (command, life) = (launch.step.to_string(), Arc::new(Life::default()));
        if let Some(code) = code {
            life.end(&format!("exit code {code}"));
        }
        let mut tape = self.tape();
        if let Some((_, how)) = tape.ends.iter().rev().find(|(words, _)| reads_like(&command, words)) {
            life.end(how);
        }
        tape.children.push((command, Arc::clone(&life)));
        Ok(Box::new(Running(life)))
    }

    fn without_cancel(&self) -> Box<dyn Runner> {
        Box::new(Self { is_uncancelled: true, ..self.clone() })
    }
}

/// How a program that was started ended, once it has.
#[derive(Default)]
struct Life {
    ended: Mutex<Option<String>>,
    changed: Condvar,
}

impl Life {
    fn end(&self, how: &str) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(how.to_owned());
        self.changed.notify_all();
    }
}

/// A program that was started and goes on until a test ends it.
struct Running(Arc<Life>);

impl Child for Running {
    fn ended(&self) -> Result<Option<String>> {
        Ok(self.0.ended.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn wait(&self) -> Result<String> {
        let ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.0.changed.wait_while(ended, |ended| ended.is_none()).unwrap_or_else(PoisonError::into_inner);
        Ok(ended.clone().unwrap_or_default())
    }
}
