//! The arguments of the tasks that start, stop and show the stack.

use std::time::SystemTime;

use clap::Args;

use super::{Json, Locked, Ready, optional_service, service};
use crate::product::BINARY;
use crate::stack::detect::EngineChoice;
use crate::stack::logs;
use crate::stack::servers::Origin;
use crate::stack::service::Service;

/// Which servers to use.
#[derive(Debug, Args)]
pub struct Servers {
    /// What runs the stack: Docker if it answers, else processes of this machine
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineChoice,
    /// Which PostgreSQL and Redis: the machine's own, portable ones that are fetched once, or the first found
    #[arg(long, value_enum, default_value_t)]
    pub servers: Origin,
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

/// Whether and how `up` has the backend watched.
#[derive(Debug, Args)]
pub struct Watching {
    /// Run the backend as it is now, without building and reloading it after each change
    #[arg(long, conflicts_with = "poll")]
    pub no_watch: bool,
    /// Scan for changes at intervals, where the file system does not report them
    #[arg(long, conflicts_with = "production")]
    pub poll: bool,
}

/// `up`
#[derive(Debug, Args)]
#[command(after_help = "\
Returns when all services are healthy. After that, each edit is built and reloaded while the build before it goes on \
serving; --no-watch turns this off. The first run makes .env.docker with secrets of its own. A second `up` reports \
what runs. An `up` that fails says why and stops what it had started.

Examples:
  cargo xtask up
  cargo xtask up postgres redis        # then run the backend in your editor
  cargo xtask up --servers portable    # fetch servers, even if some are installed
  cargo xtask up --engine docker       # in containers
  cargo xtask up --with mail           # look at the mails that the backend sends
  cargo xtask up --no-watch
  cargo xtask up --production --scale backend=3
  cargo xtask up --dry-run             # print the commands only")]
pub struct Up {
    /// postgres, redis, backend; these three, if none is named
    #[arg(value_name = "SERVICE", value_parser = service())]
    pub services: Vec<Service>,
    /// Start this as well, which is off otherwise: mail, a catcher for what the backend sends, with a page to read it
    #[arg(long, value_name = "SERVICE", value_parser = optional_service())]
    pub with: Vec<Service>,
    #[command(flatten)]
    pub servers: Servers,
    /// Run the image that ships, in Docker, instead of a build from source
    #[arg(long)]
    pub production: bool,
    /// How many backends, with --production; they get consecutive ports
    #[arg(long, value_name = "backend=N", value_parser = scale, requires = "production")]
    pub scale: Option<u16>,
    #[command(flatten)]
    pub watching: Watching,
    #[command(flatten)]
    pub ready: Ready,
    #[command(flatten)]
    pub lock: Locked,
    #[command(flatten)]
    pub output: Json,
}

impl Up {
    /// What is to be started, in order. Without names that is also what was asked for before.
    pub fn wanted(&self, before: &[Service]) -> Vec<Service> {
        let mut services = Service::with_needs(&self.services);
        services.extend(&self.with);
        services.extend(before.iter().filter(|service| self.services.is_empty() && service.is_optional()));
        Service::ALL.into_iter().filter(|service| services.contains(service)).collect()
    }

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

/// `down`
#[derive(Debug, Args)]
#[command(after_help = "\
Stopping a service stops what needs it as well.

Examples:
  cargo xtask down
  cargo xtask down backend
  cargo xtask down --dry-run")]
pub struct Down {
    /// postgres, redis, backend, with what needs them; all, if none is named
    #[arg(value_name = "SERVICE", value_parser = service())]
    pub services: Vec<Service>,
    #[command(flatten)]
    pub lock: Locked,
}

/// `restart`
#[derive(Debug, Args)]
#[command(after_help = "\
The backend is built first. If it does not compile, the old one keeps running.

Examples:
  cargo xtask restart
  cargo xtask restart backend")]
pub struct Restart {
    /// postgres, redis, backend; all that run, if none is named
    #[arg(value_name = "SERVICE", value_parser = service())]
    pub services: Vec<Service>,
    #[command(flatten)]
    pub ready: Ready,
    #[command(flatten)]
    pub lock: Locked,
}

/// `status`
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 4 if a service that should run does not, or is not healthy.

Examples:
  cargo xtask status
  cargo xtask status --json | jq -r .url")]
pub struct Status {
    #[command(flatten)]
    pub output: Json,
}

/// `logs`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo xtask logs -f
  cargo xtask logs backend -n 50
  cargo xtask logs --since 10m postgres redis
  cargo xtask logs --json | jq -r 'select(.service == \"backend\") | .line'")]
pub struct Logs {
    /// postgres, redis, backend; all, if none is named
    #[arg(value_name = "SERVICE", value_parser = service())]
    pub services: Vec<Service>,
    /// Keep printing new lines
    #[arg(short, long)]
    pub follow: bool,
    /// How many of the last lines to start with
    #[arg(short = 'n', long = "lines", visible_alias = "tail", default_value_t = 200, value_name = "N")]
    pub lines: usize,
    /// Only lines since then: 10m, 2h, 2026-11-21T14:00:00Z
    #[arg(long, value_parser = logs::since, value_name = "TIME")]
    pub since: Option<SystemTime>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `exec`
#[derive(Debug, Args)]
#[command(after_help = format!("\
The command finds the service's client programs on PATH, and the service's address in the variables that clients \
read: PGHOST, PGPASSWORD, REDISCLI_AUTH, DATABASE_URL and so on. Its exit code becomes the exit code of `exec`.

Examples:
  cargo xtask exec postgres -- psql -c 'SELECT count(*) FROM reports'
  cargo xtask exec redis -- sh -c 'redis-cli -p $REDIS_PORT info server'
  cargo xtask exec backend -- {BINARY} migrate status"))]
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
#[command(after_help = "\
Opens psql for postgres, redis-cli for redis, and your shell with the backend's environment for the backend.

Examples:
  cargo xtask shell
  cargo xtask shell postgres")]
pub struct Shell {
    /// postgres, redis or backend
    #[arg(default_value = "backend", value_parser = service())]
    pub service: Service,
}

/// `clean`
#[derive(Debug, Args)]
#[command(after_help = "\
Lists what it removes, and asks. Settings (.env.docker) are kept.

Examples:
  cargo xtask clean
  cargo xtask clean --yes && cargo xtask up
  cargo xtask clean --dry-run")]
pub struct Clean {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub lock: Locked,
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
    /// Scan for changes at intervals
    #[arg(long)]
    pub poll: bool,
    /// The backend has just been built, and the database migrated
    #[arg(long)]
    pub prepared: bool,
}
