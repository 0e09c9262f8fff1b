//! The command line: the list of tasks, on a page. The arguments of each task stand in its group's file. Nothing is done
//! here.

mod database;
mod develop;
mod setup;
mod ship;
mod stack;
pub mod usage;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::stack::service::Service;
use crate::terminal;

pub use self::database::*;
pub use self::develop::*;
pub use self::setup::*;
pub use self::ship::*;
pub use self::stack::*;

/// Every command line.
#[derive(Debug, Parser)]
#[command(about = format!("Runs, migrates, tests and ships {} from its own repository", crate::product::NAME), name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 120)]
pub struct Cli {
    /// Print what would be done, as commands, and do nothing
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub dry_run: bool,
    /// Show each command before it is run
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub verbose: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t, global = true, help_heading = GLOBAL, value_name = "WHEN")]
    pub color: Color,
    /// What to do; without one, an overview
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// The heading of the flags that every task has.
pub const GLOBAL: &str = "Everywhere";

/// The groups in which the overview shows the tasks, each with the first of its tasks in the list below.
const GROUPS: [(&str, &str); 5] =
    [("Set-up", "doctor"), ("Stack", "up"), ("Develop", "watch"), ("Database", "migrate"), ("Ship", "build-prod")];

/// Every task, in the order of the overview.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Check everything that is needed, and say how to get what is missing
    Doctor(Doctor),
    /// Make, check or show the local settings
    Env(Env),
    /// Print or install completions for a shell
    Completions(Completions),

    /// Start PostgreSQL, Redis and the backend, or only those named
    #[command(alias = "start")]
    Up(Up),
    /// Stop the stack and keep its data
    #[command(alias = "stop")]
    Down(Down),
    /// Stop and start the stack, or only the services named
    Restart(Restart),
    /// Show each service's state, health, address, process, age and version
    #[command(alias = "ps")]
    Status(Status),
    /// Show the logs of the services, merged in time order
    Logs(Logs),
    /// Run a command in a service's environment
    Exec(Exec),
    /// Open a shell or a client in a service's environment
    Shell(Shell),
    /// Stop the stack and remove its data: the next `up` migrates from nothing
    Clean(Clean),

    /// Bring the stack up, build and reload the backend after each change, and show both
    Watch(Watch),
    /// Run every test against a private, throw-away PostgreSQL and Redis
    Test(Test),
    /// Check formatting, lints, dependencies, infrastructure and generated files
    Check(Check),
    /// Walk through the running service as a client
    Smoke(Smoke),
    /// Add demo data where it is missing
    Seed(Seed),
    /// Measure what is promised, beside the same thing done by hand
    Bench(Bench),

    /// Apply migrations, or show their state
    Migrate(Migrate),
    /// Open, save, restore or reset the database
    Db(Db),

    /// Build the production image, inspect it, and boot it as production would
    BuildProd(BuildProd),
    /// Deploy what is checked out, and come back when it answers
    Deploy(Deploy),
    /// Go back to a version that was live before
    Rollback(Rollback),
    /// Show what was released, by whom, and what came of it
    Releases(Releases),
    /// Do everything that CI does, in its order
    Ci(Ci),

    /// Builds the backend after each change and lets the new one take over
    #[command(hide = true)]
    WatchBackend(WatchBackend),
    /// Becomes a service: records its own process, then is replaced by the program
    #[command(hide = true)]
    LaunchService(LaunchService),
}

/// Whether to print JSON.
#[derive(Debug, Args)]
pub struct Json {
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// How long to wait for another task.
#[derive(Debug, Args)]
pub struct Locked {
    /// How long to wait for another task that is changing the stack
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub lock_timeout: u64,
}

/// How long to wait for services.
#[derive(Debug, Args)]
pub struct Ready {
    /// How long each service may take to become ready
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub timeout: u64,
}

/// Offers the names in help and completions, and gives a `Service`.
fn service() -> impl TypedValueParser<Value = Service> {
    PossibleValuesParser::new(Service::ALL.map(Service::name)).try_map(|word| word.parse::<Service>())
}

/// The same for those that are off unless somebody asks for them.
fn optional_service() -> impl TypedValueParser<Value = Service> {
    PossibleValuesParser::new(Service::optional().map(Service::name)).try_map(|word| word.parse::<Service>())
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Also into pipes
    Always,
    /// Not at all
    Never,
}

impl From<Color> for terminal::Color {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// Every task with its sentence, in groups.
pub fn overview() -> Vec<(&'static str, Vec<(String, String)>)> {
    let mut groups: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    for task in Cli::command().get_subcommands().filter(|task| !task.is_hide_set() && task.get_name() != "help") {
        let name = task.get_name();
        if let Some((title, _)) = GROUPS.iter().find(|(_, first)| *first == name) {
            groups.push((title, Vec::new()));
        }
        let about = task.get_about().map(ToString::to_string).unwrap_or_default();
        if let Some((_, tasks)) = groups.last_mut() {
            tasks.push((name.to_owned(), about));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_group_has_tasks_and_every_task_a_group() {
        let groups = overview();
        assert_eq!(groups.iter().map(|(title, _)| *title).collect::<Vec<_>>(), GROUPS.map(|(title, _)| title));
        let command = Cli::command();
        let visible = command.get_subcommands().filter(|task| !task.is_hide_set() && task.get_name() != "help");
        assert_eq!(groups.iter().map(|(_, tasks)| tasks.len()).sum::<usize>(), visible.count());
    }

    #[test]
    fn every_task_explains_itself_with_an_example() {
        for (_, tasks) in overview() {
            for (name, about) in tasks {
                let error = Cli::try_parse_from(["x", &name, "--help"]).unwrap_err().to_string();
                assert!(!about.is_empty(), "{name}");
                assert!(error.contains(&format!("cargo xtask {name}")) && error.contains("Examples:"), "{error}");
            }
        }
    }

    #[test]
    fn arguments_after_the_dashes_go_to_the_command() {
        let cli = Cli::try_parse_from(["x", "exec", "postgres", "--", "psql", "-c", "SELECT 1"]).unwrap();
        let Some(Task::Exec(exec)) = cli.task else { panic!("exec") };
        assert_eq!(
            (exec.service, exec.command),
            (Service::Postgres, vec!["psql".into(), "-c".into(), "SELECT 1".into()])
        );
    }

    #[test]
    fn a_service_that_does_not_exist_is_refused_with_the_names_that_do() {
        let error = Cli::try_parse_from(["x", "up", "postgre"]).unwrap_err().to_string();
        assert!(error.contains("[possible values: postgres, redis, mail, backend]"), "{error}");
    }
}
