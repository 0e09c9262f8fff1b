//! What a task is going to do, as values: built first, then printed (`--dry-run`) or run, so that a dry run is exact.
//!
//! A plan is made of lanes that go on at the same time, one for each service. A lane is a list of actions in order;
//! most are a [`Step`], the others are what would be `mkdir`, `rm` or `kill` in a script.

mod execute;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::Failure;
use crate::runner::{Launch, Runner};
use crate::step::{Step, User, quoted};
use crate::supervise::Stop;
use crate::terminal::{FAINT, STRONG, Terminal};

pub use self::execute::stop_all;

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

/// One thing that is done.
pub enum Action {
    /// Runs a command to its end.
    Run(Step),
    /// Runs a command to its end and shows how far it is, by what the function finds in its lines.
    Follow(Step, fn(&str) -> Option<String>),
    /// Starts a service.
    Start(Launch),
    /// Waits until a service is ready.
    Await(Await),
    /// Waits until another lane is done.
    After(String),
    /// Stops a service.
    Stop(Stop),
    /// Stops every process that a record in a folder tells of.
    StopEach(Stop),
    /// Makes a folder, with those above it.
    Folder(Folder),
    /// Writes a file, whole or not at all.
    Write(Write),
    /// Renames a file or folder.
    Rename(PathBuf, PathBuf),
    /// Puts a folder in its place, unless somebody else was faster; then this one is removed.
    Install(PathBuf, PathBuf),
    /// Makes the links that a JSON file lists as `source` and `target`, relative to the folder of its parent.
    Links(PathBuf),
    /// Waits until no process works in a folder any more, and ends those that stay.
    Vacate(PathBuf),
    /// Removes a file or a folder with all that is in it, if it is there.
    Remove(PathBuf),
    /// Cuts a log that has grown large.
    Rotate(PathBuf),
}

/// A wait for a service to be ready.
pub struct Await {
    /// The service, as its lane is named.
    pub service: String,
    /// What is asked, again and again.
    pub probe: Box<dyn Probe>,
    /// For how long.
    pub timeout: Duration,
    /// What it runs as, where that is a process of this machine.
    pub process: Option<ServiceProcess>,
}

/// What a service runs as.
pub struct ServiceProcess {
    /// The file that says which process it is.
    pub record: PathBuf,
    /// The log that says why it is not ready.
    pub log: PathBuf,
}

/// A question whether something is ready. Displayed, it completes the sentence "wait until …".
pub trait Probe: fmt::Display + Send + Sync {
    /// Nothing when it is, else what is in the way.
    fn look(&self, runner: &dyn Runner) -> Result<(), Unready>;

    /// What helps to understand why it did not become ready in time.
    fn evidence(&self, _: &dyn Runner) -> Vec<String> {
        Vec::new()
    }
}

/// Why something is not ready.
pub enum Unready {
    /// It may become so; this is how it stands.
    NotYet(String),
    /// It never will.
    Failed(Failure),
}

impl From<String> for Unready {
    fn from(seen: String) -> Self {
        Self::NotYet(seen)
    }
}

/// A folder to make.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Whom it is given to.
    pub owner: Option<User>,
}

/// A file to write.
#[derive(Clone)]
pub struct Write {
    /// Where.
    pub path: PathBuf,
    /// What is in it, which may hold secrets.
    pub text: String,
    /// Its permissions.
    pub mode: u32,
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
            terminal.data(format!("{STRONG}# {number}{}{after}{STRONG:#}", lane.name))?;
            for action in lane.actions.iter().filter(|action| !matches!(action, Action::After(_))) {
                let line = action.to_string();
                let is_comment = line.starts_with('#');
                terminal.data(if is_comment { format!("{FAINT}{line}{FAINT:#}") } else { line })?;
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

fn shell(path: &Path) -> String {
    quoted(path.as_os_str())
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(step) | Self::Follow(step, _) => write!(f, "{step}"),
            Self::Start(launch) => match &launch.log {
                Some(log) => write!(f, "{} >>{} 2>&1 &", launch.step, shell(log)),
                None => write!(f, "{} &", launch.step),
            },
            Self::Await(wait) => {
                write!(f, "# wait until {}, for at most {}", wait.probe, humantime::format_duration(wait.timeout))
            }
            Self::After(lane) => write!(f, "# wait until {lane} is done"),
            Self::Stop(stop) => {
                let signals: Vec<String> = stop
                    .signals
                    .iter()
                    .map(|(signal, timeout)| format!("SIG{signal}, {}", humantime::format_duration(*timeout)))
                    .collect();
                match crate::process::Record::load(&stop.record) {
                    Some(record) => {
                        write!(f, "kill -{} {}  # {}", stop.signals[0].0, record.pid, signals.join(", then "))
                    }
                    None => write!(f, "# {} is not running", stop.service),
                }
            }
            Self::StopEach(stop) => {
                write!(f, "# stop every {} that {} tells of", stop.service, shell(&stop.record))
            }
            Self::Folder(folder) => {
                write!(f, "mkdir -p -m {:o} {}", folder.mode, shell(&folder.path))?;
                match &folder.owner {
                    Some(owner) => write!(f, " && chown {} {}", owner.name, shell(&folder.path)),
                    None => Ok(()),
                }
            }
            Self::Write(file) => {
                let lines = file.text.lines().count();
                write!(f, "# write {} ({lines} lines, mode {:o})", shell(&file.path), file.mode)
            }
            Self::Install(from, to) => write!(f, "mv -n {} {}", shell(from), shell(to)),
            Self::Links(list) => write!(f, "# make the links that {} lists", shell(list)),
            Self::Vacate(folder) => write!(f, "# wait until no process works in {} any more", shell(folder)),
            Self::Rename(from, to) => write!(f, "mv {} {}", shell(from), shell(to)),
            Self::Remove(path) => write!(f, "rm -rf {}", shell(path)),
            Self::Rotate(path) => write!(f, "# cut {} if it has grown large", shell(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str, after: &[&str]) -> Lane {
        let actions = after.iter().map(|other| Action::After((*other).to_owned())).collect();
        Lane { name: name.to_owned(), actions, result: String::new() }
    }

    #[test]
    fn a_dry_run_shows_each_lane_after_those_that_it_waits_for() {
        let plan = Plan { lanes: vec![lane("c", &["a", "b"]), lane("b", &["a"]), lane("a", &[]), lane("d", &["a"])] };
        // A lane in which nothing is done is not shown.
        let names: Vec<&str> = plan.in_order().iter().map(|lane| lane.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "d"]);
    }

    #[test]
    fn a_wait_for_a_lane_that_is_not_there_is_found_before_it_begins() {
        let check = |lanes| Plan { lanes }.check().map_err(|error| error.to_string());
        assert!(check(vec![lane("a", &[]), lane("b", &["a"])]).is_ok());
        assert!(check(vec![lane("a", &["c"])]).unwrap_err().starts_with("a waits for c, which is no lane"));
        assert!(check(vec![lane("a", &["a"])]).is_err(), "for itself");
        assert!(check(vec![lane("a", &[]), lane("a", &[])]).unwrap_err().contains("two lanes are named a"));
    }
}
