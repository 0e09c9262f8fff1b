//! Edits that work, that do not compile, and that bring a migration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::Journey;
use crate::plan::{Access, Action};
use crate::product::{HANDLER, HEALTH_PATH, MIGRATIONS};
use crate::tool::backend;
use crate::wait::{self, Poll, Waited};

/// How long an edit may take to be live; the first after a build in a container compiles more than later ones.
const EDIT_TIMEOUT: Duration = Duration::from_mins(3);

/// Every edit, in order.
pub fn all(journey: &Arc<Journey>) -> Vec<Action> {
    let action = |what: &str, edit: fn(&Journey, &Access<'_>) -> Result<()>| {
        let journey = Arc::clone(journey);
        Action::check(what, move |access| edit(&journey, access))
    };
    vec![
        action("edit a handler, and wait until the edit is live", |journey, access| {
            journey.write_handler("0.0.1", "")?;
            journey.until(access, "an edit is live", || journey.answers("0.0.1"))
        }),
        action("write what does not compile, and see that status tells of it", |journey, access| {
            journey.write_handler("0.0.2", "\nfn broken() -> u32 { \"text\" }\n")?;
            journey.until(access, "status tells of the compile error", || {
                let output = access.runner.read(&journey.clone.xtask(&["status", "--json"]))?;
                Ok(output.stdout.contains(&format!("serving an older build: 1 error in {}:", HANDLER.0)))
            })?;
            ensure!(journey.answers("0.0.1")?, "the older build does not serve");
            Ok(())
        }),
        action("correct it, and wait until that is live", |journey, access| {
            journey.write_handler("0.0.3", "")?;
            journey.until(access, "the corrected edit is live", || journey.answers("0.0.3"))
        }),
        action("write a migration as people write one, and change it", Journey::migrate),
    ]
}

impl Journey {
    /// Lets the handler tell that version, with more text at the file's end.
    fn write_handler(&self, version: &str, end: &str) -> Result<()> {
        let path = self.clone.path(HANDLER.0);
        let text = std::fs::read_to_string(self.clone.path(HANDLER.0))
            .with_context(|| format!("cannot read {}", HANDLER.0))?;
        let text = self.original.get_or_init(|| text);
        std::fs::write(&path, format!("{}{end}", text.replace(HANDLER.1, &format!("{version:?}"))))?;
        Ok(())
    }

    /// Whether the backend tells that version.
    fn answers(&self, version: &str) -> Result<bool> {
        let health = backend::health(self.first.get()?.backend()?, HEALTH_PATH);
        Ok(health.is_ok_and(|health| health.version == version))
    }

    /// A migration: an empty file first, then its statements, then other statements.
    fn migrate(&self, access: &Access<'_>) -> Result<()> {
        let write = |end: &str, text: &str| {
            std::fs::write(self.clone.path(MIGRATIONS).join(format!("20990101000000_journey.{end}.sql")), text)
        };
        let says = |words: &str| {
            let logs = access.runner.read(&self.clone.xtask(&["logs", "backend", "-n", "1000"]))?;
            Ok(logs.stdout.contains(words))
        };
        write("up", "")?;
        self.until(access, "an empty migration is not applied", || says("1 migration is without a statement"))?;
        write("down", "DROP TABLE journey;\n")?;
        write("up", "CREATE TABLE journey (id bigint);\n")?;
        self.until(access, "a migration is applied", || says("migration applied 20990101000000"))?;
        write("up", "CREATE TABLE journey (id bigint, name text);\n")?;
        self.until(access, "a draft that changed is reverted and applied again", || {
            says("draft 20990101000000_journey changed: reverted, applied again")
        })
    }

    fn until(&self, access: &Access<'_>, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let poll = || Ok(if is_so()? { Poll::Ready(()) } else { Poll::Pending(String::new()) });
        match wait::until(EDIT_TIMEOUT, access.cancel, poll)? {
            Waited::Done(()) => Ok(()),
            Waited::TimedOut(_) => {
                let logs = access.runner.read(&self.clone.xtask(&["logs", "backend", "-n", "50"]))?;
                bail!("waited in vain until {what}\n{}", logs.stdout);
            }
        }
    }
}
