//! The stack as somebody would start it from a shell: the yardstick of `bench stack`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::word;
use crate::file;
use crate::product::setting::{POSTGRES_PASSWORD, REDIS_PASSWORD};
use crate::product::{DATABASE, PACKAGE, ROLE};
use crate::settings::Settings;
use crate::stack::host::{self, service_user};
use crate::stack::service::Service;
use crate::stack::state::State;
use crate::stack::{environment, ports};
use crate::step::Step;
use crate::tool::backend::Variable;
use crate::tool::cargo;

/// Scripts that do what `up`, `down` and `clean` do.
pub struct Script {
    folder: PathBuf,
    root: PathBuf,
    environment: Vec<Variable>,
    initialise: String,
    start: String,
}

impl Script {
    /// Scripts that work in `folder`, with the servers of `stack`.
    pub fn new(folder: &Path, root: &Path, stack: &State, settings: &Settings) -> Result<Self> {
        let server = |service| stack.servers.get(&service).context("the stack lacks a server");
        let (postgres, redis) = (&server(Service::Postgres)?.path, &server(Service::Redis)?.path);
        let ports = ports::throw_away_block(&mut ports::Claims::new(false))?;
        let program = word(&host::binary()?);
        let user = service_user()?;
        // PostgreSQL refuses to be root.
        let (become_user, give) = match &user {
            Some(user) => (format!("runuser -u {} -- ", user.name), format!("chown {} pg", user.name)),
            None => (String::new(), "true".to_owned()),
        };
        let (initdb, server) = (word(&postgres.join("initdb")), word(&postgres.join("postgres")));
        let data = word(&folder.join("pg/data"));
        let password = settings.require(POSTGRES_PASSWORD)?;
        // Passwords are no arguments: everybody can read those.
        let sql = format!(
            "CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '$BY_HAND_PASSWORD'\nCREATE DATABASE {DATABASE} OWNER {ROLE}\n"
        );
        let initialise = format!(
            "mkdir pg redis && {give}\n\
             {become_user}{initdb} -D {data} -U postgres -E UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256 \
             --auth-local=peer --no-sync >/dev/null\n\
             printf '%s' \"{sql}\" | {become_user}{server} --single -D {data} postgres >/dev/null 2>&1\n"
        );
        let mut environment = environment::of_backend(settings, &ports, DATABASE)?;
        environment.push(Variable::secret("BY_HAND_PASSWORD", password));
        let redis_configuration = crate::tool::redis::configuration(
            ports.of(Service::Redis),
            settings.require(REDIS_PASSWORD)?,
            &folder.join("redis"),
            true,
        );
        file::create(folder)?;
        file::write(&folder.join("redis.conf"), redis_configuration.as_bytes(), 0o600)?;
        let start = format!(
            "{become_user}{server} -D {data} -p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
             >pg.log 2>&1 & echo $! >pg.pid\n\
             {} redis.conf >redis.log 2>&1 & echo $! >redis.pid\n\
             (cd {} && {} build --quiet --package {})\n\
             {program} migrate run >/dev/null\n\
             {program} serve >backend.log 2>&1 & echo $! >backend.pid\n\
             until {program} healthcheck >/dev/null 2>&1; do sleep 0.02; done\n",
            ports.of(Service::Postgres),
            word(redis),
            word(root),
            word(&cargo::program()),
            PACKAGE,
        );
        Ok(Self { folder: folder.to_owned(), root: root.to_owned(), environment, initialise, start })
    }

    fn script(&self, purpose: &str, text: &str) -> Step {
        // The programs that stay must not keep our pipes open.
        let text = format!("set -e\ncd {}\n{text}", word(&self.folder));
        let step = Step::new(purpose, "sh").arg("-c").arg(text).env("RUNNING_IN", self.root.as_os_str());
        self.environment.iter().fold(step, |step, variable| variable.give_to(step))
    }

    /// Starts everything, on new data or on what is there.
    pub fn up(&self, from_nothing: bool) -> Step {
        let initialise = if from_nothing { self.initialise.as_str() } else { "" };
        self.script("start the stack by hand", &format!("{initialise}{}", self.start))
    }

    /// Stops everything.
    pub fn down(&self) -> Step {
        self.script("stop the stack by hand", STOP)
    }

    /// Stops everything and removes its data.
    pub fn clean(&self) -> Step {
        self.script("remove the stack by hand", &format!("{STOP}rm -rf pg redis\n"))
    }
}

/// `runuser` waits for PostgreSQL and does not pass SIGINT on, so that the server itself is asked: its number is the
/// first line of its own file. A process that has ended and that nobody has asked after yet is still there for `kill`.
const STOP: &str = "\
    gone() { while kill -0 $1 2>/dev/null && ! grep -q '^State:.Z' /proc/$1/status 2>/dev/null; do sleep 0.02; done; }\n\
    kill $(cat backend.pid)\ngone $(cat backend.pid)\n\
    server=$(head -n 1 pg/data/postmaster.pid)\nkill $(cat redis.pid)\nkill -INT $server\n\
    gone $server\ngone $(cat redis.pid)\n";
