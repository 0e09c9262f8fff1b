//! What a task is going to do, as values: built first, then printed (`--dry-run`) or run, so that a dry run is exact.
//!
//! A plan is made of lanes that go on at the same time, one for each service. A lane is a list of actions in order;
//! most are a [`Step`], the others are what would be `mkdir`, `rm` or `kill` in a script.

mod action;
mod execute;
mod rollout;
#[cfg(test)]
mod tests;

use crate::context::Context;
use crate::terminal::{FAINT, STRONG, Terminal};

pub use self::action::{Access, Action, Await, Folder, Probe, ServiceProcess, Unready, Write};
pub use self::execute::stop_all;
pub use self::rollout::{Phase, Rollout, Value};

/// Lanes that go on at the same time.
#[derive(Default)]
pub struct Plan {
    /// In the order in which they are shown.
    pub lanes: Vec<Lane>,
}

/// Actions in order.
pub struct Lane {
    /// What it is about; the name of a service.
    pub name: String,
    /// What is done.
    pub actions: Vec<Action>,
    /// What is shown when it is done.
    pub result: String,
}

impl Plan {
    /// A plan of one lane.
    pub fn of(name: &str, actions: Vec<Action>, result: &str) -> Self {
        Self { lanes: vec![Lane { name: name.to_owned(), actions, result: result.to_owned() }] }
    }

    /// An error where two lanes have one name, or one waits for another that is not there: it would wait for ever.
    pub fn check(&self) -> anyhow::Result<()> {
        for (index, lane) in self.lanes.iter().enumerate() {
            let is_twice = self.lanes[..index].iter().any(|other| other.name == lane.name);
            anyhow::ensure!(!is_twice, "two lanes are named {}; this is a mistake in xtask", lane.name);
            for action in &lane.actions {
                if let Action::After(other) = action {
                    let is_there = other != &lane.name && self.lanes.iter().any(|lane| lane.name == *other);
                    anyhow::ensure!(
                        is_there,
                        "{} waits for {other}, which is no lane; this is a mistake in xtask",
                        lane.name
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.actions.is_empty())
    }

    /// Prints what would be done, as a person could paste it from top to bottom: each lane after those that it waits for.
    pub fn print(&self, terminal: &Terminal) -> anyhow::Result<()> {
        self.print_lanes(terminal, true)
    }

    /// Prints what would be done in a dry run, and does it otherwise. Of nothing there is nothing to print.
    pub fn print_or_run(&self, context: &Context) -> anyhow::Result<()> {
        self.check()?;
        match context.dry_run {
            true if self.is_empty() => Ok(()),
            true => self.print(&context.terminal),
            false => self.run(context).result,
        }
    }

    /// The same as [`Plan::print`] below a heading of its own, which says what a single lane is about.
    pub fn print_phase(&self, terminal: &Terminal) -> anyhow::Result<()> {
        self.print_lanes(terminal, self.lanes.len() > 1)
    }

    fn print_lanes(&self, terminal: &Terminal, with_names: bool) -> anyhow::Result<()> {
        if self.is_empty() {
            return terminal.data("# nothing to do");
        }
        let ordered = self.in_order();
        for (index, lane) in ordered.iter().enumerate() {
            let after: Vec<String> = (0..index)
                .filter(|other| lane.waits_for(&ordered[*other].name))
                .map(|other| (other + 1).to_string())
                .collect();
            let after = if after.is_empty() { String::new() } else { format!(", after {}", after.join(" and ")) };
            let number = if ordered.len() > 1 { format!("{}. ", index + 1) } else { String::new() };
            if with_names {
                terminal.data(format!("{STRONG}# {number}{}{after}{STRONG:#}", lane.name))?;
            }
            for action in lane.actions.iter().filter(|action| !matches!(action, Action::After(_))) {
                for line in action.to_string().lines() {
                    let is_comment = line.starts_with('#');
                    terminal.data(if is_comment { format!("{FAINT}{line}{FAINT:#}") } else { line.to_owned() })?;
                }
            }
        }
        Ok(())
    }

    /// The lanes in which something is done, each after those that it waits for.
    fn in_order(&self) -> Vec<&Lane> {
        let mut left: Vec<&Lane> = self.lanes.iter().filter(|lane| !lane.actions.is_empty()).collect();
        let mut ordered: Vec<&Lane> = Vec::new();
        while !left.is_empty() {
            let is_free = |lane: &&Lane| !left.iter().any(|other| lane.waits_for(&other.name));
            // Lanes that wait for each other would never end; a dry run shows them all the same.
            let next = left.iter().position(is_free).unwrap_or(0);
            ordered.push(left.remove(next));
        }
        ordered
    }
}

impl Lane {
    fn waits_for(&self, name: &str) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::After(other) if other == name))
    }
}
