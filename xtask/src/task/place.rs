//! Which database a task is about: the stack's, one at a URL, or that of an environment at Railway.

use std::io::Read as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::checkout;
use crate::cli::OtherDatabase;
use crate::context::Context;
use crate::database::target::Target;
use crate::failure::{Exit, Failure};
use crate::lock::Lock;
use crate::plan::Plan;
use crate::product::PRODUCTION;
use crate::release::{Release, Request, variables};
use crate::stack::elsewhere::Elsewhere;
use crate::stack::service::Service;
use crate::stack::{Stack, host};
use crate::step::Step;
use crate::terminal::Terminal;
use crate::tool::backend::Program;

/// How a URL that is read from stdin is written.
pub const STDIN: &str = "-";

/// A database.
pub struct Place<'a> {
    context: &'a Context,
    kind: Kind<'a>,
    /// The environment whose it is.
    environment: Option<String>,
    /// The environment's name as somebody has typed it.
    confirmed: Option<String>,
}

enum Kind<'a> {
    Stack(Box<Stack<'a>>),
    Elsewhere(Elsewhere<'a>),
}

impl<'a> Place<'a> {
    /// The one that is asked for; the stack's, where none is.
    pub fn of(context: &'a Context, asked: &OtherDatabase) -> Result<Self> {
        Self::with(context, asked, || Stack::open(context))
    }

    /// The same, for a task that holds the lock of the stack.
    pub fn locked(context: &'a Context, asked: &OtherDatabase, lock: Option<&Lock>) -> Result<Self> {
        Self::with(context, asked, || Stack::open_locked(context, lock))
    }

    fn with(context: &'a Context, asked: &OtherDatabase, open: impl FnOnce() -> Result<Stack<'a>>) -> Result<Self> {
        let kind = match (url(context, asked)?, &asked.environment) {
            (Some(url), _) => Kind::Elsewhere(Elsewhere::at(context, &url)?),
            (None, Some(environment)) => {
                let request = Request::of(environment, asked.project.clone(), host::binary()?);
                let release = Arc::new(Release::of(context, request)?);
                Kind::Elsewhere(Elsewhere::at(context, &variables::database_url(context, &release)?)?)
            }
            (None, None) => Kind::Stack(Box::new(open()?)),
        };
        Ok(Self { context, kind, environment: asked.environment.clone(), confirmed: asked.confirm.clone() })
    }

    /// What it is called, where it is not the stack's.
    pub fn name(&self) -> Option<String> {
        let Kind::Elsewhere(elsewhere) = &self.kind else { return None };
        Some(match &self.environment {
            Some(environment) => format!("{environment} ({})", elsewhere.address),
            None => elsewhere.address.to_string(),
        })
    }

    /// Whether it is production's.
    fn is_production(&self) -> bool {
        self.environment.as_deref() == Some(PRODUCTION)
    }

    /// The migrations that may be applied again there when they change: none where others may have applied them.
    pub fn drafts(&self) -> Vec<String> {
        if self.name().is_some() { Vec::new() } else { checkout::drafts(self.context) }
    }

    /// The backend's own program with that database, and what makes it first.
    pub fn program(&self) -> Result<(Program, Plan)> {
        match &self.kind {
            Kind::Stack(stack) => stack.program(&[Service::Postgres]),
            Kind::Elsewhere(elsewhere) => elsewhere.program(),
        }
    }

    /// What reaches it with PostgreSQL's clients, and what has to be fetched first.
    pub fn database(&self) -> Result<(Target<'_>, Plan)> {
        match &self.kind {
            Kind::Stack(stack) => stack.database(),
            Kind::Elsewhere(elsewhere) => elsewhere.database(),
        }
    }

    /// The client of a database that is not the stack's, and what has to be fetched first.
    pub fn shell(&self, with_writes: bool) -> Result<Option<(Step, Plan)>> {
        match &self.kind {
            Kind::Stack(_) => Ok(None),
            Kind::Elsewhere(elsewhere) => elsewhere.shell(with_writes).map(Some),
        }
    }

    /// Asks before it is changed: for its name, where it is production's; for a yes, unless that was said. `question` has
    /// no place in it.
    pub fn confirm(&self, question: &str, yes: bool) -> Result<()> {
        if let Some(typed) = self.confirmed.as_ref().filter(|typed| Some(*typed) != self.environment.as_ref()) {
            let what =
                format!("refused: --confirm {typed} is not the name of the environment, and nothing was changed");
            return Err(Failure::new(Exit::Refused, what).into());
        }
        if self.confirmed.is_some() || yes && !self.is_production() {
            return Ok(());
        }
        if self.is_production() {
            return self.context.confirm_word(question, PRODUCTION, &format!("--confirm {PRODUCTION}"));
        }
        self.context.confirm(question, "--yes")
    }

    /// Refuses to lose what production has stored.
    pub fn refuse_production(&self) -> Result<()> {
        if self.is_production() {
            let what = "reverting a migration in production loses what its people have stored since";
            return Err(Failure::new(Exit::Refused, what)
                .hint("cargo xtask migrate add NAME, for a migration that puts right what the other one did")
                .into());
        }
        Ok(())
    }
}

/// The URL that somebody gives: as an argument, on stdin, or in a variable of the environment.
fn url(context: &Context, asked: &OtherDatabase) -> Result<Option<String>> {
    if let Some(name) = &asked.url_from {
        let url = context.variable(name);
        let missing = || Failure::new(Exit::Missing, format!("{name} is not set, or empty"));
        return Ok(Some(url.ok_or_else(missing)?));
    }
    match asked.url.as_deref() {
        Some(STDIN) if Terminal::has_input() => {
            let what = "--url - reads the URL from stdin, and nobody pipes one into it";
            Err(Failure::new(Exit::Failed, what).hint("--url-from VARIABLE").into())
        }
        Some(STDIN) => {
            let mut url = String::new();
            std::io::stdin().take(10_000).read_to_string(&mut url).context("cannot read the URL from stdin")?;
            Ok(Some(url))
        }
        url => Ok(url.map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests;
