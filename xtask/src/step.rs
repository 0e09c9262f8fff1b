//! One external command as a value: what it runs, what it is for, and how a person would type it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::Exit;

/// What the lines of a failed command come down to.
pub type Digest = fn(&[String]) -> Vec<String>;

/// One external command.
#[derive(Debug, Clone)]
pub struct Step {
    purpose: String,
    program: PathBuf,
    args: Vec<OsString>,
    environment: Vec<Variable>,
    is_isolated: bool,
    folder: Option<PathBuf>,
    stdin: Stdin,
    stdout: Option<PathBuf>,
    only_reads: bool,
    is_indivisible: bool,
    timeout: Timeout,
    user: Option<User>,
    hints: Vec<String>,
    exit: Exit,
    exit_codes: &'static [(i32, Exit)],
    noise: Option<fn(&str) -> bool>,
    digest: Option<Digest>,
}

#[derive(Debug, Clone)]
struct Variable {
    name: String,
    value: OsString,
    is_secret: bool,
}

/// How long a command may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timeout {
    /// [`QUESTION_TIMEOUT`] for one that only reads, else [`WORK_TIMEOUT`].
    Usual,
    /// So long.
    After(Duration),
    /// For ever: it goes on until somebody has seen enough.
    Never,
}

/// How long a question may take that says nothing else.
const QUESTION_TIMEOUT: Duration = Duration::from_mins(1);
/// How long work may take that says nothing else.
const WORK_TIMEOUT: Duration = Duration::from_hours(1);

/// What a command reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing.
    Null,
    /// The terminal of whoever runs the task. Only a program that takes our place may have it: one that runs in a group
    /// of its own is stopped by the system as soon as it reads.
    Terminal,
    /// This text, which may hold secrets.
    Text(String),
    /// What this file holds.
    File(PathBuf),
}

/// A system user to run a command as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, as in `/etc/passwd`.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the user's first group.
    pub gid: u32,
}

impl Step {
    /// `purpose` completes the sentence "cannot …".
    pub fn new(purpose: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            purpose: purpose.into(),
            program: program.into(),
            args: Vec::new(),
            environment: Vec::new(),
            is_isolated: false,
            folder: None,
            stdin: Stdin::Null,
            stdout: None,
            only_reads: false,
            is_indivisible: false,
            timeout: Timeout::Usual,
            user: None,
            hints: Vec::new(),
            exit: Exit::Failed,
            exit_codes: &[],
            noise: None,
            digest: None,
        }
    }

    /// The same command for another purpose.
    #[must_use]
    pub fn with_purpose(mut self, purpose: impl Into<String>) -> Self {
        self.purpose = purpose.into();
        self
    }

    /// Adds an argument. Arguments are no place for secrets: everybody on the machine can see them.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the command's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.environment.push(Variable { name: name.into(), value: value.into(), is_secret: false });
        self
    }

    /// Sets a variable whose value is never shown.
    #[must_use]
    pub fn secret_env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.environment.push(Variable { name: name.into(), value: value.into(), is_secret: true });
        self
    }

    /// Gives the command nothing of our own environment but what a program needs to run at all, so that `PGPORT` or
    /// `DATABASE_URL` in somebody's shell changes nothing.
    #[must_use]
    pub fn isolated(mut self) -> Self {
        self.is_isolated = true;
        self
    }

    /// Runs it there instead of in the current folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Gives it something to read.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Writes what it prints into a file that only we can read, instead of telling it line by line.
    #[must_use]
    pub fn into_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = Some(path.into());
        self
    }

    /// Marks it as changing nothing, so that a dry run may run it.
    #[must_use]
    pub fn only_reads(mut self) -> Self {
        self.only_reads = true;
        self
    }

    /// Lets it end although somebody has pressed Ctrl-C: it takes a moment, and half of it would leave nobody knowing
    /// what is there now.
    #[must_use]
    pub fn indivisible(mut self) -> Self {
        self.is_indivisible = true;
        self
    }

    /// Stops it when it takes longer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Lets it go on until somebody cancels it.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.timeout = Timeout::Never;
        self
    }

    /// Runs it as that user.
    #[must_use]
    pub fn user(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// Adds something to do when it fails.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Without the advice that it was given, which is about another place than the one where it is run.
    #[must_use]
    pub fn without_hints(mut self) -> Self {
        self.hints.clear();
        self
    }

    /// The exit code of a task that fails because of it.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The exit codes of a task that fails because the program ended with one of these codes.
    #[must_use]
    pub fn exit_codes(mut self, codes: &'static [(i32, Exit)]) -> Self {
        self.exit_codes = codes;
        self
    }

    /// What its output comes down to when it failed, for one whose output has a form of its own.
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Which lines of its output say nothing about why it failed. Of the rest the first matter most, as with a
    /// compiler; without this the last do.
    #[must_use]
    pub fn noise(mut self, is_noise: fn(&str) -> bool) -> Self {
        self.noise = Some(is_noise);
        self
    }

    /// Whether a line of its output says nothing about why it failed.
    pub fn is_noise(&self, line: &str) -> bool {
        self.noise.is_some_and(|is_noise| is_noise(line))
    }

    /// At most `most` lines of its output, those that best tell why it failed.
    pub fn evidence(&self, said: &[String], most: usize) -> Vec<String> {
        if let Some(digest) = self.digest {
            return digest(said);
        }
        let Some(is_noise) = self.noise else {
            let left_out = said.len().saturating_sub(most);
            let above = (left_out > 0).then(|| format!("… {left_out} lines above"));
            return above.into_iter().chain(said[left_out..].iter().cloned()).collect();
        };
        let telling: Vec<&String> = said.iter().filter(|line| !is_noise(line)).collect();
        let left_out = telling.len().saturating_sub(most);
        let below = (left_out > 0).then(|| format!("… {left_out} lines more"));
        telling.into_iter().take(most).cloned().chain(below).collect()
    }

    /// What it is for.
    pub fn purpose(&self) -> &str {
        &self.purpose
    }

    /// What it runs.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[OsString] {
        &self.args
    }

    /// Its variables.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.environment.iter().map(|variable| (variable.name.as_str(), variable.value.as_os_str()))
    }

    /// The values that must not be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &OsStr> {
        self.environment.iter().filter(|variable| variable.is_secret).map(|variable| variable.value.as_os_str())
    }

    /// Whether it gets nothing of our own environment.
    pub fn is_isolated(&self) -> bool {
        self.is_isolated
    }

    /// Where it runs.
    pub fn working_folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// What it reads.
    pub fn input(&self) -> &Stdin {
        &self.stdin
    }

    /// The file that it prints into; none where its lines are told.
    pub fn output_file(&self) -> Option<&Path> {
        self.stdout.as_deref()
    }

    /// Whether it changes nothing.
    pub fn is_read_only(&self) -> bool {
        self.only_reads
    }

    /// Whether it ends although somebody has pressed Ctrl-C.
    pub fn is_indivisible(&self) -> bool {
        self.is_indivisible
    }

    /// How long it may take; none where it goes on until it is cancelled.
    pub fn time(&self) -> Option<Duration> {
        match self.timeout {
            Timeout::Usual if self.only_reads => Some(QUESTION_TIMEOUT),
            Timeout::Usual => Some(WORK_TIMEOUT),
            Timeout::After(timeout) => Some(timeout),
            Timeout::Never => None,
        }
    }

    /// Whom it runs as.
    pub fn run_as(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// What to do when it fails.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The exit code of a task that fails because of it.
    pub fn exit_when_failed(&self, code: Option<i32>) -> Exit {
        let own = self.exit_codes.iter().find(|(known, _)| Some(*known) == code);
        own.map_or(self.exit, |(_, exit)| *exit)
    }
}

/// As it could be pasted into a shell, secrets as `***`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folder) = &self.folder {
            write!(f, "cd {} && ", quoted(folder.as_os_str()))?;
        }
        if let Stdin::Text(_) = &self.stdin {
            // What is fed to a program here is SQL with passwords.
            f.write_str("printf '***' | ")?;
        }
        if let Some(user) = &self.user {
            write!(f, "runuser -u {} -- ", user.name)?;
        }
        if self.is_isolated {
            f.write_str("env -i PATH=\"$PATH\" ")?;
        } else if self.user.is_some() && !self.environment.is_empty() {
            f.write_str("env ")?;
        }
        for variable in &self.environment {
            let value = if variable.is_secret { "***".to_owned() } else { quoted(&variable.value) };
            write!(f, "{}={value} ", variable.name)?;
        }
        f.write_str(&quoted(self.program.as_os_str()))?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg))?;
        }
        if let Stdin::File(path) = &self.stdin {
            write!(f, " <{}", quoted(path.as_os_str()))?;
        }
        match &self.stdout {
            Some(path) => write!(f, " >{}", quoted(path.as_os_str())),
            None => Ok(()),
        }
    }
}

/// A word as a shell reads it.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@,+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
