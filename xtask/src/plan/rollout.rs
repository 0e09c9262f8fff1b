//! A rollout: phases in order, each with a plan, values for the phases after it, and what undoes it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use anyhow::{Result, ensure};

use super::Plan;
use crate::context::Context;
use crate::terminal::{STRONG, Terminal};

/// Phases in order. The first failure ends it; what was done is undone from the last phase to the first.
#[derive(Default)]
pub struct Rollout {
    phases: Vec<Phase>,
}

/// One phase of a rollout.
pub struct Phase {
    name: String,
    purpose: String,
    plan: PlanOf,
    undo: Option<Undo>,
    only_reads: bool,
}

/// Makes a phase's plan when its turn has come: the values of the phases before it are known by then.
type PlanOf = Box<dyn Fn(&Context) -> Result<Plan>>;
/// Makes the plan of an undo, which runs also after Ctrl-C.
type UndoPlan = Box<dyn Fn() -> Result<Plan>>;

struct Undo {
    plan: UndoPlan,
    /// Whether it is done also when everything went well, as what is only there for the rollout.
    always: bool,
}

/// What one phase finds out and later ones use. It reads as `<name>` as long as nobody has found it out, which is what
/// a dry run shows.
pub struct Value<T> {
    name: &'static str,
    cell: Arc<OnceLock<T>>,
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        Self { name: self.name, cell: Arc::clone(&self.cell) }
    }
}

impl<T> Value<T> {
    /// One that is not known yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, cell: Arc::default() }
    }

    /// Keeps what was found out first.
    pub fn set(&self, value: T) {
        drop(self.cell.set(value));
    }

    /// What was found out, if that phase has run.
    pub fn known(&self) -> Option<&T> {
        self.cell.get()
    }

    /// What was found out; an error where that phase has not run.
    pub fn get(&self) -> Result<&T> {
        let value = self.cell.get();
        value.ok_or_else(|| anyhow::anyhow!("the {} is not known yet; this is a mistake in xtask", self.name))
    }
}

impl<T: fmt::Display> fmt::Display for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cell.get() {
            Some(value) => value.fmt(f),
            None => write!(f, "<{}>", self.name),
        }
    }
}

impl Phase {
    /// `purpose` completes the sentence "this phase is there to …".
    pub fn new(
        name: impl Into<String>,
        purpose: impl Into<String>,
        plan: impl Fn(&Context) -> Result<Plan> + 'static,
    ) -> Self {
        Self { name: name.into(), purpose: purpose.into(), plan: Box::new(plan), undo: None, only_reads: false }
    }

    /// Changes nothing, so that a dry run does it as well: the phases after it are shown with what it found out.
    #[must_use]
    pub fn only_reads(mut self) -> Self {
        self.only_reads = true;
        self
    }

    /// Undoes it when it, or a later phase, fails or is interrupted.
    #[must_use]
    pub fn undo(mut self, plan: impl Fn() -> Result<Plan> + 'static) -> Self {
        self.undo = Some(Undo { plan: Box::new(plan), always: false });
        self
    }

    /// Undoes it at the end, whatever came of the rollout.
    #[must_use]
    pub fn finally(mut self, plan: impl Fn() -> Result<Plan> + 'static) -> Self {
        self.undo = Some(Undo { plan: Box::new(plan), always: true });
        self
    }
}

impl Rollout {
    /// These phases; an error where two have one name.
    pub fn new(phases: Vec<Phase>) -> Result<Self> {
        for (index, phase) in phases.iter().enumerate() {
            let is_twice = phases[..index].iter().any(|other| other.name == phase.name);
            ensure!(!is_twice, "two phases are named {}; this is a mistake in xtask", phase.name);
        }
        Ok(Self { phases })
    }

    /// Prints it in a dry run, else runs it.
    pub fn run(&self, context: &Context) -> Result<()> {
        if context.dry_run {
            return self.print(context);
        }
        for (index, phase) in self.phases.iter().enumerate() {
            let outcome = context.interrupt.check().and_then(|()| (phase.plan)(context)?.run(context).result);
            if let Err(error) = outcome {
                let failures = undo(context, &self.phases[..=index], |_| true);
                // Why it was undone matters more than what went wrong with that.
                for failure in &failures {
                    context.terminal.warn_failure(failure);
                }
                return Err(error);
            }
        }
        undo(context, &self.phases, |undo| undo.always).into_iter().next().map_or(Ok(()), Err)
    }

    fn print(&self, context: &Context) -> Result<()> {
        let terminal: &Terminal = &context.terminal;
        for (index, phase) in self.phases.iter().enumerate() {
            if index > 0 {
                terminal.data("")?;
            }
            terminal.data(format!("{STRONG}# phase {}, {}: {}{STRONG:#}", index + 1, phase.name, phase.purpose))?;
            let plan = (phase.plan)(context)?;
            plan.print_phase(terminal)?;
            if phase.only_reads {
                plan.run(context).result?;
            }
        }
        for (phase, undo) in self.phases.iter().rev().filter_map(|phase| Some((phase, phase.undo.as_ref()?))) {
            let when = if undo.always { "at the end, whatever came of it" } else { "if a later phase fails" };
            terminal.data("")?;
            terminal.data(format!("{STRONG}# {when}: undo {}{STRONG:#}", phase.name))?;
            (undo.plan)()?.print_phase(terminal)?;
        }
        Ok(())
    }
}

/// Undoes phases, the last first, and goes on where one cannot be undone.
fn undo(context: &Context, phases: &[Phase], is_wanted: impl Fn(&Undo) -> bool) -> Vec<anyhow::Error> {
    let runner = context.runner.without_cancel();
    let mut failures = Vec::new();
    for phase in phases.iter().rev() {
        let Some(undo) = phase.undo.as_ref().filter(|undo| is_wanted(undo)) else { continue };
        let outcome = (undo.plan)().and_then(|plan| plan.run_uncancelled(context, &*runner));
        failures.extend(outcome.err().map(|error| error.context(format!("cannot undo {}", phase.name))));
    }
    failures
}

#[cfg(test)]
mod tests;
