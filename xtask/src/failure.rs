//! How a task fails: the exit code, what happened, and what to type next.

use std::fmt;

use anyhow::Result;

/// The exit codes of tasks; `docs/local-development.md` explains them to users.
///
/// 0 is success, and 2 a command line that makes no sense (clap's).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something did not work.
    Failed = 1,
    /// A program, a server or a setting that is needed is not there.
    Missing = 3,
    /// A service is unhealthy, or did not become healthy in time.
    Unhealthy = 4,
    /// Migrations are pending, or differ from their files.
    Migrations = 5,
    /// Somebody else is changing the same thing.
    Locked = 6,
    /// A deploy failed, and the version before is still live.
    StillLive = 7,
    /// A deploy failed, and the version before was put back.
    PutBack = 8,
    /// Not confirmed, so nothing was done.
    Refused = 9,
    /// Ctrl-C.
    Interrupted = 130,
    /// SIGTERM or SIGHUP.
    Terminated = 143,
}

/// A failure that knows its exit code and what helps.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
    details: Vec<String>,
    command: Option<String>,
    hints: Vec<String>,
    is_answer: bool,
}

impl Failure {
    /// `message` says what failed and why, in a sentence without a full stop.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::passed_through(exit as u8) }
    }

    /// The same failure with another code.
    #[must_use]
    pub fn with_exit(self, exit: Exit) -> Self {
        Self { code: exit as u8, ..self }
    }

    /// The same failure with another code and a sentence before its own.
    #[must_use]
    pub fn within(mut self, exit: Exit, what: &str) -> Self {
        self.code = exit as u8;
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Ends the process with a child's own code; the child has said what there was to say.
    pub fn passed_through(code: u8) -> Self {
        let (details, hints) = (Vec::new(), Vec::new());
        Self { code, message: String::new(), details, command: None, hints, is_answer: false }
    }

    /// Somebody was asked, and did not say yes: that is what they wanted, and no error.
    pub fn declined() -> Self {
        Self { is_answer: true, ..Self::new(Exit::Refused, "not confirmed: nothing was changed") }
    }

    /// A failure that was told already, and whose code is a child's own.
    pub fn passed_on(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), ..Self::passed_through(code) }
    }

    /// Adds lines of evidence: a command, the end of a log.
    #[must_use]
    pub fn details<T: Into<String>>(mut self, lines: impl IntoIterator<Item = T>) -> Self {
        self.details.extend(lines.into_iter().map(Into::into));
        self
    }

    /// Adds something to do about it, ready to be typed where it is a command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the command that failed, as it could be pasted.
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// The command that failed.
    pub fn failed_command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// The code to exit with.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Lines of evidence.
    pub fn evidence(&self) -> &[String] {
        &self.details
    }

    /// What to do about it.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Whether it is what somebody has answered, and no error.
    pub fn is_answer(&self) -> bool {
        self.is_answer
    }

    /// Whether there is nothing to print.
    pub fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Adds to an interrupt what it has left, and what to type next, unless that was said already.
pub fn when_interrupted<T>(outcome: Result<T>, left: &str, next: &str) -> Result<T> {
    let is_interrupted = |failure: &Failure| matches!(failure.code, 130 | 143) && !failure.is_silent();
    outcome.map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) if is_interrupted(&failure) && failure.hints.is_empty() => {
            Failure { message: format!("{}: {left}", failure.message), ..failure }.hint(next).into()
        }
        Ok(failure) => failure.into(),
        Err(error) => error,
    })
}

/// The code to exit with for any error: that of the [`Failure`] inside, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failure>().map_or(Exit::Failed as u8, Failure::code)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_code_survives_any_number_of_contexts() {
        let error = Err::<(), _>(Failure::new(Exit::Locked, "busy")).context("up").context("ci").unwrap_err();
        assert_eq!(exit_code(&error), 6);
        assert_eq!(format!("{error:#}"), "ci: up: busy");
        assert_eq!(exit_code(&anyhow::anyhow!("other")), 1);
    }

    #[test]
    fn each_exit_has_the_code_that_users_are_told() {
        let codes = [
            (Exit::Failed, 1),
            (Exit::Missing, 3),
            (Exit::Unhealthy, 4),
            (Exit::Migrations, 5),
            (Exit::Locked, 6),
            (Exit::StillLive, 7),
            (Exit::PutBack, 8),
            (Exit::Refused, 9),
            (Exit::Interrupted, 130),
            (Exit::Terminated, 143),
        ];
        for (exit, code) in codes {
            assert_eq!(Failure::new(exit, "x").code(), code);
        }
    }

    #[test]
    fn an_interrupt_says_once_what_is_left_and_nothing_else_is_touched() {
        let interrupted = || Err::<(), _>(Failure::new(Exit::Interrupted, "interrupted").into());
        let told = when_interrupted(interrupted(), "nothing is left", "cargo xtask up");
        let told = when_interrupted(told, "something is left", "cargo xtask down").unwrap_err();
        assert_eq!((told.to_string().as_str(), exit_code(&told)), ("interrupted: nothing is left", 130));
        assert_eq!(told.downcast::<Failure>().unwrap().hints(), ["cargo xtask up"]);
        let others = [Failure::new(Exit::Failed, "no luck"), Failure::passed_through(130)];
        for (other, message) in others.into_iter().zip(["no luck", ""]) {
            let error = when_interrupted(Err::<(), _>(other.into()), "nothing is left", "cargo xtask up").unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        assert!(when_interrupted(Err::<(), _>(anyhow::anyhow!("x")), "left", "next").unwrap_err().to_string() == "x");
    }

    #[test]
    fn a_childs_own_code_passes_through_told_or_not() {
        let (through, on) = (Failure::passed_through(42), Failure::passed_on(42, "it failed"));
        assert_eq!((through.code(), on.code()), (42, 42));
        assert!(through.is_silent() && !on.is_silent());
    }

    #[test]
    fn evidence_and_hints_keep_their_order_and_the_last_command_counts() {
        let failure = Failure::new(Exit::Failed, "x").details(["a"]).hint("1").details(["b", "c"]).hint("2");
        assert_eq!((failure.evidence().join(""), failure.hints().join("")), ("abc".to_owned(), "12".to_owned()));
        assert_eq!(failure.failed_command(), None);
        assert_eq!(failure.command("first").command("last").failed_command(), Some("last"));
    }
}
