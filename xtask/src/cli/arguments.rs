//! What each task takes.

use std::time::SystemTime;

use clap::{Args, Subcommand, ValueEnum};

use crate::stack::detect::EngineChoice;
use crate::stack::logs;
use crate::stack::servers::Origin;
use crate::stack::service::Service;

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

/// `down`
#[derive(Debug, Args)]
pub struct Down {
    /// postgres, redis, backend, with what needs them; all, if none is named
    #[arg(value_name = "SERVICE", value_parser = service())]
    pub services: Vec<Service>,
    #[command(flatten)]
    pub lock: Locked,
}

/// `env`
#[derive(Debug, Args)]
pub struct Env {
    /// Which of the three
    #[command(subcommand)]
    pub command: EnvCommand,
}

/// `env …`
#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// Make .env.docker from .env.docker.example, with generated secrets (mode 0600)
    Init {
        /// Make it anew where there is one; the old one is kept as .env.docker.old
        #[arg(long)]
        force: bool,
        /// Add the settings that the file lacks, as the example has them
        #[arg(long, conflicts_with = "force")]
        add_missing: bool,
    },
    /// Compare .env.docker with .env.docker.example
    Check(Json),
    /// Show the settings, and what the stack makes of them; secrets as ***
    #[command(
        after_help = "Examples:\n  cargo xtask env show\n  set -a; source <(cargo xtask env show --reveal); set +a; cargo run"
    )]
    Show {
        /// Show secrets too
        #[arg(long)]
        reveal: bool,
        /// Print one JSON document on stdout
        #[arg(long)]
        json: bool,
    },
}

/// Which servers to use.
#[derive(Debug, Args)]
pub struct Servers {
    /// What runs the stack: Docker where it answers, else processes of this machine
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineChoice,
    /// Which PostgreSQL and Redis: the machine's own, portable ones that are fetched once, or the first that is there
    #[arg(long, value_enum, default_value_t)]
    pub servers: Origin,
}

/// Whether and how `up` has the backend watched.
#[derive(Debug, Args)]
pub struct Watching {
    /// Run the backend as it is now, without building and reloading it at each change
    #[arg(long, conflicts_with = "poll")]
    pub no_watch: bool,
    /// Look for changes at intervals; for folders whose changes the system does not tell of
    #[arg(long, conflicts_with = "production")]
    pub poll: bool,
}

/// `up`
#[derive(Debug, Args)]
pub struct Up {
    /// postgres, redis, backend; all, if none is named
    #[arg(value_name = "SERVICE", value_parser = service())]
    pub services: Vec<Service>,
    #[command(flatten)]
    pub servers: Servers,
    /// Run the image that ships, in Docker, instead of what is built from source
    #[arg(long)]
    pub production: bool,
    /// How many backends, with --production; on ports in a row
    #[arg(long, value_name = "backend=N", value_parser = scale, requires = "production")]
    pub scale: Option<u16>,
    #[command(flatten)]
    pub watching: Watching,
    /// How long each service may take to become ready
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub timeout: u64,
    #[command(flatten)]
    pub lock: Locked,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

impl Servers {
    /// Which engine is meant: other servers of this machine say so as well.
    pub fn engine_choice(&self) -> EngineChoice {
        match (self.engine, self.servers) {
            (EngineChoice::Auto, Origin::System | Origin::Portable) => EngineChoice::Host,
            (engine, _) => engine,
        }
    }
}

impl Up {
    /// Which engine is meant: the image that ships says so as well.
    pub fn engine_choice(&self) -> EngineChoice {
        if self.production && self.servers.engine == EngineChoice::Auto {
            EngineChoice::Docker
        } else {
            self.servers.engine_choice()
        }
    }
}

/// How many of the one service that can be several.
fn scale(word: &str) -> Result<u16, String> {
    let count = word.strip_prefix("backend=").unwrap_or(word).parse::<u16>();
    count.ok().filter(|count| (1..=20).contains(count)).ok_or_else(|| "backend=N, with N from 1 to 20".to_owned())
}

/// `watch`
#[derive(Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    pub servers: Servers,
    /// Look for changes at intervals; for folders whose changes the system does not tell of
    #[arg(long)]
    pub poll: bool,
    /// How long each service may take to become ready
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub timeout: u64,
    #[command(flatten)]
    pub lock: Locked,
}

/// `restart`
#[derive(Debug, Args)]
pub struct Restart {
    /// postgres, redis, backend; all that run, if none is named
    #[arg(value_name = "SERVICE", value_parser = service())]
    pub services: Vec<Service>,
    /// How long each service may take to become ready
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub timeout: u64,
    #[command(flatten)]
    pub lock: Locked,
}

/// `logs`
#[derive(Debug, Args)]
pub struct Logs {
    /// postgres, redis, backend; all, if none is named
    #[arg(value_name = "SERVICE", value_parser = service())]
    pub services: Vec<Service>,
    /// Go on showing what comes
    #[arg(short, long)]
    pub follow: bool,
    /// How many lines of what was said before
    #[arg(short = 'n', long = "lines", visible_alias = "tail", default_value_t = 200, value_name = "N")]
    pub lines: usize,
    /// Only what was said since then: 10m, 2h, 2026-11-21T14:00:00Z
    #[arg(long, value_parser = logs::since, value_name = "TIME")]
    pub since: Option<SystemTime>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `exec`
#[derive(Debug, Args)]
pub struct Exec {
    /// postgres, redis or backend
    #[arg(value_parser = service())]
    pub service: Service,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `shell`
#[derive(Debug, Args)]
pub struct Shell {
    /// postgres, redis or backend
    #[arg(default_value = "backend", value_parser = service())]
    pub service: Service,
}

/// `clean`
#[derive(Debug, Args)]
pub struct Clean {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub lock: Locked,
}

/// `test`
#[derive(Debug, Args)]
pub struct Test {
    /// Whose tests; both packages', if none is named
    #[arg(value_enum)]
    pub package: Option<TestPackage>,
    #[command(flatten)]
    pub servers: Servers,
    /// Arguments for cargo nextest run, or cargo test
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// A package that has tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TestPackage {
    /// The API
    Backend,
    /// The automation itself
    Xtask,
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// Mend what can be mended: formatting and generated files
    #[arg(long)]
    pub fix: bool,
}

/// `smoke`
#[derive(Debug, Args)]
pub struct Smoke {
    /// Where the service is; the local stack, if left away
    #[arg(long)]
    pub url: Option<String>,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// `bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[arg(value_enum, default_value_t)]
    pub what: BenchWhat,
    /// How many runs the medians are of; 5 for the stack and the backend, 1 for the image, 30 for reloads
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100), value_name = "N")]
    pub runs: Option<u16>,
    /// Which engine's stack
    #[arg(long, value_enum, default_value = "host")]
    pub engine: EngineChoice,
    /// Which PostgreSQL and Redis
    #[arg(long, value_enum, default_value_t)]
    pub servers: Origin,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum BenchWhat {
    /// xtask's build, its overhead, and `up` from nothing and with data
    #[default]
    Stack,
    /// Builds of the image that ships, its size, start and memory
    Image,
    /// From an edit to the first answer that shows it, and 200 reloads under load
    Reload,
    /// Requests to a release build, beside bare handlers that do the same queries, and its memory
    Backend,
}

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
    /// The name that is typed
    #[arg(long, default_value = "xtask")]
    pub name: String,
    /// Write them to the file in which the shell looks for them, instead of to stdout
    #[arg(long)]
    pub install: bool,
}

/// `migrate`
#[derive(Debug, Args)]
pub struct Migrate {
    /// Apply what is pending, if left away
    #[command(subcommand)]
    pub command: Option<MigrateCommand>,
}

/// `migrate …`
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply what is pending
    Run,
    /// Write the files of a new migration, with the time as their version
    #[command(
        after_help = "Examples:\n  cargo xtask migrate add report_severity\n  cargo xtask migrate add 'index reports by program'"
    )]
    Add {
        /// What it does, in a few words
        name: String,
    },
    /// Revert the newest migration by its down file as it was applied, and apply it as it is now; its data is lost
    Redo {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Show every migration; exits with 5 unless all are applied
    Status(Json),
}

/// `build-prod`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct BuildProd {
    /// Another name than thunder:VERSION-COMMIT
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,
    /// Push it to the registry in its name
    #[arg(long)]
    pub push: bool,
    /// Build every layer anew
    #[arg(long)]
    pub no_cache: bool,
    /// Ask the registry for newer base images
    #[arg(long)]
    pub pull: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// `ci`
#[derive(Debug, Args)]
pub struct Ci {
    /// check, systems, test, journey; all, if none is named
    #[arg(value_name = "PART", value_enum)]
    pub parts: Vec<CiPart>,
    /// What runs the journey's stack; processes, if left away
    #[arg(long, value_enum, default_value = "host")]
    pub engine: EngineChoice,
    /// Which PostgreSQL and Redis
    #[arg(long, value_enum, default_value_t)]
    pub servers: Origin,
}

/// A part of `ci`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum CiPart {
    /// What `cargo xtask check` does
    Check,
    /// Type-check xtask for macOS and Windows
    Systems,
    /// What `cargo xtask test` does
    Test,
    /// Take a fresh clone of HEAD from `up` to `clean`, killing every service on the way
    Journey,
}

/// `launch-service`
#[derive(Debug, Args)]
pub struct LaunchService {
    /// The file to record the process in
    #[arg(long)]
    pub record: std::path::PathBuf,
    /// Tell the program of the socket that was passed on
    #[arg(long)]
    pub with_socket: bool,
    /// The user to be
    #[arg(long, requires = "gid")]
    pub uid: Option<u32>,
    /// The group to be in
    #[arg(long, requires = "uid")]
    pub gid: Option<u32>,
    /// The program and its arguments
    #[arg(required = true, last = true)]
    pub command: Vec<std::ffi::OsString>,
}

/// `watch-backend`
#[derive(Debug, Args)]
pub struct WatchBackend {
    /// Where to keep what is known of the servers
    #[arg(long)]
    pub folder: std::path::PathBuf,
    /// The servers run in this container, whose environment says where the others are
    #[arg(long)]
    pub in_container: bool,
    /// Look for changes at intervals
    #[arg(long)]
    pub poll: bool,
    /// The backend has just been built, and the database migrated
    #[arg(long)]
    pub prepared: bool,
}

/// Offers the names in help and completions, and gives a `Service`.
fn service() -> impl clap::builder::TypedValueParser<Value = Service> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(Service::ALL.map(Service::name)).try_map(|word| word.parse::<Service>())
}
