//! An empty or a seeded database in the place of the one that is there, in a fraction of a second: a copy of a template
//! that was migrated once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::target::Target;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::plan::{Action, Phase, Plan};
use crate::product::{DATABASE, MIGRATIONS, SEED};

/// How long the migrations and the seed of a template may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(30);

/// A template: what it is made from is in its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The database's name.
    pub name: String,
    /// What the names of all such templates begin with.
    prefix: String,
    is_seeded: bool,
}

impl Template {
    /// The template for the migrations as they are now, and for the seed if that is wanted.
    pub fn of(context: &Context, is_seeded: bool) -> Result<Self> {
        let prefix = format!("{DATABASE}_{}_", if is_seeded { "seeded" } else { "migrated" });
        let name = format!("{prefix}{:016x}", Self::hash(context, is_seeded)?);
        Ok(Self { name, prefix, is_seeded })
    }

    /// Over the files that it is made from.
    fn hash(context: &Context, is_seeded: bool) -> Result<u64> {
        let root = context.project.root();
        let mut hasher = DefaultHasher::new();
        let mut files: Vec<_> = std::fs::read_dir(root.join(MIGRATIONS))
            .with_context(|| format!("cannot read {MIGRATIONS}"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<_>>()?;
        files.sort();
        if is_seeded {
            files.extend(SEED.iter().map(|path| root.join(path)));
        }
        for file in files {
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            (file.file_name(), bytes).hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    /// What makes it, and removes those that were made from something else. It gets its name last, so that one that was
    /// not finished is never taken for it.
    pub fn make(&self, target: &Target<'_>, databases: &[String]) -> Result<Plan> {
        let draft = format!("{}draft", self.prefix);
        let program = (target.program)(&draft)?;
        let mut actions = Vec::new();
        let old: Vec<String> = databases.iter().filter(|name| name.starts_with(&self.prefix)).cloned().collect();
        if !old.is_empty() {
            actions.push(Action::Run(target.remove(&old)?));
        }
        actions.push(Action::Run(target.create(&draft, None)?));
        actions.push(Action::Run(program.migrate(MIGRATION_TIMEOUT, &[])));
        if self.is_seeded {
            actions.push(Action::Run(program.seed()));
        }
        // An edit while the program was built or the template migrated may be in it, under the name of what was before.
        let made_from = self.clone();
        actions.push(Action::check("see that no migration was edited meanwhile", move |access| {
            if Self::of(access.context, made_from.is_seeded)? == made_from {
                return Ok(());
            }
            let what = "a migration or the demo data was edited while the template was made";
            Err(Failure::new(Exit::Failed, what).hint("cargo xtask db reset, again").into())
        }));
        actions.push(Action::Run(target.rename(&draft, &self.name)?));
        Ok(Plan::of("template", actions, &format!("made {}", self.name)))
    }

    /// The phase that puts a copy of it in the place of the database, which is kept as [`super::target::before`].
    pub fn put_in_place(&self, target: &Target<'_>) -> Result<Phase> {
        let new = format!("{DATABASE}_new");
        let (create, swap) = (target.create(&new, Some(&self.name))?, target.swap(&new)?);
        let remove = target.remove(&[new])?;
        let result = format!("{DATABASE} is a copy of {}", self.name);
        let plan = move |_: &Context| {
            Ok(Plan::of("reset", vec![Action::Run(create.clone()), Action::Run(swap.clone())], &result))
        };
        Ok(Phase::new("reset", "put a copy of the template in the place of the database", plan)
            .undo(move || Ok(Plan::of("remove", vec![Action::Run(remove.clone())], "removed"))))
    }
}
