//! The command line: what can be typed, what it means, and the help. Nothing is done here.

mod arguments;

use clap::{Parser, Subcommand, ValueEnum};

use crate::stack::engine::EngineChoice;
use crate::stack::servers::Origin;
use crate::terminal;

pub use self::arguments::*;

/// Runs, migrates, tests and ships Thunder from its own repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
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

const GLOBAL: &str = "Everywhere";

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Check everything that is needed, and say how to get what is missing
    #[command(
        after_help = "Exits with 3 if the stack could not start.\n\nExamples:\n  cargo xtask doctor\n  cargo xtask doctor --json | jq '.checks[] | select(.status != \"ok\")'"
    )]
    Doctor(Json),
    /// Make, check or show the local settings
    Env(Env),
    /// Start PostgreSQL, Redis and the backend, or only those named
    #[command(after_help = UP)]
    Up(Up),
    /// Stop the stack and keep its data
    #[command(after_help = "Examples:\n  cargo xtask down\n  cargo xtask down --dry-run")]
    Down(Locked),
    /// Stop and start the stack, or only the services named
    #[command(
        after_help = "The backend is built first: one that does not compile leaves the old one running.\n\nExamples:\n  cargo xtask restart\n  cargo xtask restart backend"
    )]
    Restart(Restart),
    /// Show each service's state, health, address, process, age and version
    #[command(
        after_help = "Exits with 4 if anything that should run does not, or is not healthy.\n\nExamples:\n  cargo xtask status\n  cargo xtask status --json | jq -r .url"
    )]
    Status(Json),
    /// Show what the services say, merged in the order of time
    #[command(
        after_help = "Examples:\n  cargo xtask logs -f\n  cargo xtask logs backend -n 50\n  cargo xtask logs --since 10m postgres redis\n  cargo xtask logs --json | jq -r 'select(.service == \"backend\") | .line'"
    )]
    Logs(Logs),
    /// Run a command in a service's surroundings
    #[command(after_help = EXEC)]
    Exec(Exec),
    /// Open a shell or a client in a service's surroundings
    #[command(
        after_help = "For postgres this is psql, for redis redis-cli, for the backend your shell with the backend's environment.\n\nExamples:\n  cargo xtask shell\n  cargo xtask shell postgres"
    )]
    Shell(Shell),
    /// Stop the stack and remove its data: the next `up` migrates from nothing
    #[command(
        after_help = "Lists what is removed and asks. Settings (.env.docker) are kept.\n\nExamples:\n  cargo xtask clean\n  cargo xtask clean --yes && cargo xtask up\n  cargo xtask clean --dry-run"
    )]
    Clean(Clean),
    /// Run every test against a private, throw-away PostgreSQL and Redis
    #[command(after_help = TEST)]
    Test(Test),
    /// Check formatting, lints, dependencies, infrastructure and generated files
    #[command(
        after_help = "Every check is made, also after one has failed. A check that was skipped is not a check that passed.\n\nExamples:\n  cargo xtask check\n  cargo xtask check --fix"
    )]
    Check(Check),
    /// Walk through the running service as a client
    #[command(after_help = "Examples:\n  cargo xtask smoke\n  cargo xtask smoke --url https://api.example.com --json")]
    Smoke(Smoke),
    /// Add demo data where it is missing
    #[command(after_help = "Examples:\n  cargo xtask seed")]
    Seed,
    /// Measure what is promised, beside the same thing done by hand
    #[command(
        after_help = "Prints medians, spread and ratios; judges nothing.\n\nExamples:\n  cargo xtask bench stack\n  cargo xtask bench stack --engine docker\n  cargo xtask bench image --runs 3 --json\n  cargo xtask bench reload"
    )]
    Bench(Bench),
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS)]
    Completions(Completions),
    /// Apply migrations, or say where they stand
    #[command(after_help = "Examples:\n  cargo xtask migrate\n  cargo xtask migrate status --json")]
    Migrate(Migrate),
    /// Build the image that ships, look into it, and boot it as production would
    #[command(
        after_help = "Fails on an image that is too large, runs as root, or holds a shell, a secret or a key. Its tag is version and commit.\n\nExamples:\n  cargo xtask build-prod\n  cargo xtask build-prod --tag registry.example.com/thunder:1 --push\n  cargo xtask build-prod --json | jq .size_bytes"
    )]
    BuildProd(BuildProd),
    /// Do everything that CI does, in its order
    #[command(
        after_help = "Without a part it does all, in their order, and stops at the first that fails.\n\nExamples:\n  cargo xtask ci\n  cargo xtask ci journey --servers portable\n  cargo xtask ci journey --engine docker"
    )]
    Ci(Ci),
    /// Bring the stack up, build and reload the backend at each change, and show both
    #[command(after_help = WATCH)]
    Watch(Watch),
    /// Builds the backend at each change and lets the new one take over
    #[command(hide = true)]
    WatchBackend(WatchBackend),
    /// Becomes a service: records its own process, then is replaced by the program
    #[command(hide = true)]
    LaunchService(LaunchService),
}

const UP: &str = "\
Returns when all are healthy. From then on each edit is built and reloaded, while the one before goes on serving;
--no-watch leaves that out. On the first run it makes .env.docker with secrets of its own. A second `up` reports
what runs; a failed one says why and stops what it had started.

Examples:
  cargo xtask up
  cargo xtask up postgres redis        the backend then runs in your editor: cargo xtask env show --reveal
  cargo xtask up --servers portable    with fetched servers, whatever is installed
  cargo xtask up --engine docker       in containers
  cargo xtask up --no-watch
  cargo xtask up --production --scale backend=3
  cargo xtask up --dry-run             what it would do, as commands";

const WATCH: &str = "\
`up` does the same in the background; this shows the builds and what the backend says, until Ctrl-C, which stops what it
has started. The old backend serves until the new one is ready. A compile error leaves it serving, and `status` tells.

Examples:
  cargo xtask watch
  cargo xtask watch --poll            where the system does not tell of changes, as in some shared folders
  cargo xtask watch --engine docker   in containers";

const EXEC: &str = "\
The command sees the service's programs on PATH and its address in the variables that clients read (PGHOST,
PGPASSWORD, REDISCLI_AUTH, DATABASE_URL …). Its exit code is ours.

Examples:
  cargo xtask exec postgres -- psql -c 'SELECT count(*) FROM reports'
  cargo xtask exec redis -- sh -c 'redis-cli -p $REDIS_PORT info server'
  cargo xtask exec backend -- thunder migrate status";

const TEST: &str = "\
Each test that needs a database gets a copy of one that was migrated once. Uses cargo-nextest where it is installed.
Arguments after -- go to it, or to cargo test, as they are.

Examples:
  cargo xtask test
  cargo xtask test backend
  cargo xtask test -- reports             tests whose name holds this word
  cargo xtask test backend -- --no-capture
  cargo xtask test --servers portable";

const COMPLETIONS: &str = "\
cargo cannot complete the words after an alias, so that these are for the binary, or for a name that you give it.

Examples:
  alias x='cargo xtask'; source <(cargo xtask completions bash --name x)
  cargo xtask completions zsh --name x > ~/.zfunc/_x
  cargo xtask completions fish --name x > ~/.config/fish/completions/x.fish";

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

/// What runs the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Engine {
    /// The best there is
    #[default]
    Auto,
    /// Containers
    Docker,
    /// Processes of this machine
    Host,
}

impl From<Engine> for EngineChoice {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Auto => Self::Auto,
            Engine::Docker => Self::Docker,
            Engine::Host => Self::Host,
        }
    }
}

/// Which servers to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ServerOrigin {
    /// The machine's own, portable ones where there are none
    #[default]
    Auto,
    /// The machine's own only
    System,
    /// Portable ones only
    Portable,
}

impl From<ServerOrigin> for Origin {
    fn from(origin: ServerOrigin) -> Self {
        match origin {
            ServerOrigin::Auto => Self::Auto,
            ServerOrigin::System => Self::System,
            ServerOrigin::Portable => Self::Portable,
        }
    }
}

/// The groups in which the overview shows the tasks.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("Set-up", &["doctor", "env"]),
    ("Stack", &["up", "down", "restart", "status", "logs", "exec", "shell", "clean"]),
    ("Develop", &["watch", "test", "check", "smoke", "seed", "bench", "completions"]),
    ("Database", &["migrate"]),
    ("Ship", &["build-prod", "ci"]),
];

/// Every task with its sentence, in groups.
pub fn overview() -> Vec<(&'static str, Vec<(String, String)>)> {
    let command = <Cli as clap::CommandFactory>::command();
    let about = |name: &str| {
        let about = command.find_subcommand(name).and_then(clap::Command::get_about);
        about.map(ToString::to_string).unwrap_or_default()
    };
    GROUPS
        .iter()
        .map(|(group, names)| (*group, names.iter().map(|name| ((*name).to_owned(), about(name))).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::stack::thunder::Service;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_task_stands_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = Cli::command();
        let mut tasks: Vec<&str> =
            command.get_subcommands().filter(|task| !task.is_hide_set()).map(clap::Command::get_name).collect();
        grouped.sort_unstable();
        tasks.sort_unstable();
        assert_eq!(grouped, tasks);
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
        assert!(error.contains("[possible values: postgres, redis, backend]"), "{error}");
    }
}
