//! What it takes to start each service, as lanes of a plan: pure functions of what was found out before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::plan::{Action, Await, Folder, Lane, Probe, ServiceProcess, Stop, Write};
use crate::runner::Launch;
use crate::settings::Settings;
use crate::stack::folder::StackFolder;
use crate::stack::probe;
use crate::stack::servers::Found;
use crate::stack::state::Server;
use crate::stack::thunder::{self, POSTGRES_PASSWORD, Ports, REDIS_PASSWORD, ROLE, Service};
use crate::step::{Step, User};
use crate::tool::backend::Thunder;
use crate::tool::postgres::{Cluster, Durability, Programs};
use crate::tool::{backend, cargo, redis};

/// The lane that prepares the folder; the others wait for it.
pub const PREPARE: &str = "stack";

/// What all lanes of a stack share.
pub struct Recipe<'a> {
    /// Where its files lie.
    pub folder: &'a StackFolder,
    /// Its settings.
    pub settings: &'a Settings,
    /// Where it listens.
    pub ports: Ports,
    /// Whom PostgreSQL runs as.
    pub user: Option<User>,
    /// Whether it keeps what it stores.
    pub durability: Durability,
    /// How long a service may take to become ready.
    pub timeout: Duration,
    /// The database to make.
    pub database: &'a str,
    /// SQL to run in it when it is made.
    pub schema: Vec<String>,
}

/// What was found out about PostgreSQL's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFacts {
    /// Whether there is any.
    pub exists: bool,
    /// Whether the role's password is another one than the settings'.
    pub has_other_password: bool,
    /// Whether processes that a killed task or server left behind still work in its folder.
    pub is_occupied: bool,
    /// The lock file of a server that was killed and that its parent has not asked after: its number is still taken, so
    /// that PostgreSQL itself would think that it runs.
    pub dead_lock_file: Option<PathBuf>,
    /// The locale of new data.
    pub locale: &'static str,
}

/// What is built and run as the backend.
pub struct BackendFacts<'a> {
    /// The workspace.
    pub root: &'a Path,
    /// The binary that the build makes.
    pub binary: PathBuf,
    /// The commit that it reports.
    pub commit: String,
    /// Whether cargo may colour its messages.
    pub is_colored: bool,
    /// How long migrations may take.
    pub migration_timeout: Duration,
    /// What watches and serves it; none where it is only served.
    pub watcher: Option<Step>,
}

impl Recipe<'_> {
    fn cluster(&self, server: &Server, data: PathBuf) -> Cluster {
        Cluster { programs: Programs { folder: server.path.clone() }, data, user: self.user.clone() }
    }

    fn start(&self, service: Service, step: Step) -> [Action; 2] {
        let (record, log) = (self.folder.record(service), self.folder.log(service));
        let rotate = Action::Rotate(log.clone());
        [rotate, Action::Start(Launch { step, record, log: Some(log), socket: None })]
    }

    fn wait(&self, service: Service) -> Result<Action> {
        let probe = probe::of(service, self.ports, self.settings)?;
        Ok(self.wait_for(service, probe, self.folder.record(service)))
    }

    /// Waits for the server that the watcher starts.
    fn wait_for_watched(&self) -> Action {
        let files = self.folder.watch();
        self.wait_for(Service::Backend, probe::of_watched(&files, self.ports), files.watcher())
    }

    /// Waits until the service is ready, for as long as the process of that record lives.
    fn wait_for(&self, service: Service, probe: Box<dyn Probe>, record: PathBuf) -> Action {
        let process = Some(ServiceProcess { record, log: self.folder.log(service) });
        Action::Await(Await { service: service.to_string(), probe, timeout: self.timeout, process })
    }

    /// A service that runs already and is not ready yet: a task that is gone has started it, or its watcher is at it.
    pub fn waiting(&self, service: Service, is_watched: bool) -> Result<Lane> {
        let watched = is_watched && service == Service::Backend;
        let wait = if watched { self.wait_for_watched() } else { self.wait(service)? };
        let actions = vec![Action::After(PREPARE.to_owned()), wait];
        Ok(Lane { name: service.to_string(), actions, result: "ready".to_owned() })
    }

    /// PostgreSQL: its data made where there is none, its password set where it changed, started.
    pub fn postgres(&self, found: Found, facts: DataFacts) -> Result<Lane> {
        let Found { server, fetch } = found;
        let password = self.settings.require(POSTGRES_PASSWORD)?;
        let home = self.folder.postgres();
        let mut actions = vec![Action::After(PREPARE.to_owned())];
        actions.extend(fetch);
        let remember =
            Action::Write(Write { path: self.folder.postgres_password(), text: password.to_owned(), mode: 0o600 });
        let cluster = self.cluster(&server, self.folder.postgres_data());
        if facts.is_occupied || facts.dead_lock_file.is_some() {
            actions.push(Action::Vacate(home.to_owned()));
        }
        actions.extend(facts.dead_lock_file.map(Action::Remove));
        if !facts.exists {
            if self.folder.is_split() {
                let parent = home.parent().unwrap_or(home).to_owned();
                actions.push(Action::Folder(Folder { path: parent, mode: 0o755, owner: None }));
            }
            let owner = self.user.clone();
            actions.push(Action::Folder(Folder { path: home.to_owned(), mode: 0o700, owner }));
            // Made beside its place and moved there when it is whole, so that data is either there or not.
            let draft = self.cluster(&server, self.folder.postgres_draft());
            actions.push(Action::Remove(draft.data.clone()));
            actions.push(Action::Run(draft.initialise(facts.locale)));
            actions.push(Action::Run(draft.create_role_and_database(ROLE, password, self.database)));
            let schema = self.schema.iter().map(|sql| Action::Run(draft.run_sql(ROLE, self.database, sql)));
            actions.extend(schema);
            actions.push(remember);
            actions.push(Action::Rename(draft.data, cluster.data.clone()));
        } else if facts.has_other_password {
            actions.push(Action::Run(cluster.set_password(ROLE, password)));
            actions.push(remember);
        }
        actions.extend(self.start(Service::Postgres, cluster.serve(self.ports.postgres, self.durability)));
        actions.push(self.wait(Service::Postgres)?);
        let result = format!("{} {} on 127.0.0.1:{}", server.product, server.version, self.ports.postgres);
        Ok(Lane { name: Service::Postgres.to_string(), actions, result })
    }

    /// Redis: its configuration written, started.
    pub fn redis(&self, found: Found) -> Result<Lane> {
        let Found { server, fetch } = found;
        let password = self.settings.require(REDIS_PASSWORD)?;
        let kind = format!("{}-{}", server.product.to_lowercase(), redis::major(&server.version).unwrap_or(0));
        let data = self.folder.redis_data(&kind);
        let path = self.folder.redis_configuration();
        let keeps_data = self.durability == Durability::Safe;
        let text = redis::configuration(self.ports.redis, password, &data, keeps_data);
        let mut actions = vec![Action::After(PREPARE.to_owned())];
        actions.extend(fetch);
        actions.push(Action::Folder(Folder { path: self.folder.redis(), mode: 0o700, owner: None }));
        actions.push(Action::Folder(Folder { path: data, mode: 0o700, owner: None }));
        actions.push(Action::Write(Write { path: path.clone(), text, mode: 0o600 }));
        actions.extend(self.start(Service::Redis, redis::serve(&server.path, &path)));
        actions.push(self.wait(Service::Redis)?);
        let result = format!("{} {} on 127.0.0.1:{}", server.product, server.version, self.ports.redis);
        Ok(Lane { name: Service::Redis.to_string(), actions, result })
    }

    /// The backend: built while the servers start, the database migrated, started, by its watcher where it is to have
    /// one. `beside` are the services that have lanes too.
    pub fn backend(&self, facts: &BackendFacts<'_>, beside: &[Service]) -> Result<Lane> {
        let environment = thunder::backend_environment(self.settings, self.ports, &facts.commit)?;
        let mut actions = vec![Action::After(PREPARE.to_owned()), build(facts)];
        let after = |service: Service| beside.contains(&service).then(|| Action::After(service.to_string()));
        actions.extend(after(Service::Postgres));
        actions.push(Action::Run(Thunder::with(&facts.binary, &environment).migrate(facts.migration_timeout)));
        actions.extend(after(Service::Redis));
        if let Some(watcher) = &facts.watcher {
            let (record, log) = (self.folder.watch().watcher(), self.folder.log(Service::Backend));
            actions.push(Action::Rotate(log.clone()));
            let launch = Launch { step: watcher.clone(), record, log: Some(log), socket: None };
            // What an earlier one said is not to be taken for what this one says.
            actions.push(Action::Remove(self.folder.watch().report()));
            actions.push(Action::Start(launch));
            actions.push(self.wait_for_watched());
        } else {
            actions.extend(self.start(Service::Backend, backend::serve(&facts.binary, &environment, facts.root)));
            actions.push(self.wait(Service::Backend)?);
        }
        let result = format!("healthy on {}", thunder::backend_url(self.ports));
        Ok(Lane { name: Service::Backend.to_string(), actions, result })
    }
}

/// The backend's binary.
pub fn build(facts: &BackendFacts<'_>) -> Action {
    Action::Follow(cargo::build(facts.root, thunder::PACKAGE, facts.is_colored), cargo::progress)
}

/// How a service is stopped: PostgreSQL by SIGINT, because SIGTERM would wait for its clients.
pub fn stop(folder: &StackFolder, service: Service, shutdown_timeout: Duration) -> Stop {
    let signals = match service {
        Service::Postgres => {
            vec![("INT", Duration::from_secs(20)), ("QUIT", Duration::from_secs(5)), ("KILL", Duration::from_secs(5))]
        }
        Service::Redis => vec![("TERM", Duration::from_secs(20)), ("KILL", Duration::from_secs(5))],
        Service::Backend => {
            vec![("TERM", shutdown_timeout + Duration::from_secs(5)), ("KILL", Duration::from_secs(5))]
        }
    };
    Stop { service: service.to_string(), record: folder.record(service), signals }
}

/// What stops a service, whatever of it there is: the backend's watcher goes first, and takes its servers along.
pub fn stops(folder: &StackFolder, service: Service, shutdown_timeout: Duration) -> Vec<Action> {
    let stop = stop(folder, service, shutdown_timeout);
    if service != Service::Backend {
        return vec![Action::Stop(stop)];
    }
    let files = folder.watch();
    let mut watcher = Stop { record: files.watcher(), ..stop.clone() };
    // It waits for its servers as long as they are waited for here.
    watcher.signals[0].1 += Duration::from_secs(10);
    vec![Action::Stop(watcher), Action::StopEach(Stop { record: files.servers(), ..stop.clone() }), Action::Stop(stop)]
}

/// Stops services, each after those that need it.
pub fn stopping(folder: &StackFolder, services: &[Service], shutdown_timeout: Duration) -> Vec<Lane> {
    services
        .iter()
        .map(|service| {
            let users = services.iter().filter(|other| other.needs().contains(service));
            let mut actions: Vec<Action> = users.map(|user| Action::After(user.to_string())).collect();
            actions.extend(stops(folder, *service, shutdown_timeout));
            Lane { name: service.to_string(), actions, result: "stopped".to_owned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::state::Source;

    fn settings() -> Settings {
        Settings::parse("POSTGRES_PASSWORD=hunter22\nREDIS_PASSWORD=hunter33\nJWT_SECRET=hunter44\n").unwrap()
    }

    fn server(product: &str, version: &str, path: &str) -> Found {
        let server = Server {
            product: product.to_owned(),
            version: version.to_owned(),
            source: Source::System,
            path: PathBuf::from(path),
        };
        Found { server, fetch: Vec::new() }
    }

    fn lines(lane: &Lane) -> Vec<String> {
        lane.actions.iter().map(ToString::to_string).collect()
    }

    fn with_recipe<T>(check: impl FnOnce(Recipe<'_>) -> T) -> T {
        let folder = StackFolder::at(PathBuf::from("/p/.stack"), None, "thunder-1");
        let settings = settings();
        check(Recipe {
            folder: &folder,
            settings: &settings,
            ports: Ports { postgres: 5432, redis: 6379, backend: 3000 },
            user: None,
            durability: Durability::Safe,
            timeout: Duration::from_mins(1),
            database: "thunder",
            schema: Vec::new(),
        })
    }

    const FRESH: DataFacts = DataFacts {
        exists: false,
        has_other_password: false,
        is_occupied: false,
        dead_lock_file: None,
        locale: "C.UTF-8",
    };

    #[test]
    fn new_data_is_made_beside_its_place_and_moved_there_whole() {
        let lane = with_recipe(|recipe| recipe.postgres(server("PostgreSQL", "15.18", "/pg/bin"), FRESH).unwrap());
        assert_eq!(
            lines(&lane),
            [
                "# wait until stack is done",
                "mkdir -p -m 700 /p/.stack/postgres",
                "rm -rf /p/.stack/postgres/data.new",
                "cd /p/.stack/postgres && env -i PATH=\"$PATH\" /pg/bin/initdb --pgdata /p/.stack/postgres/data.new \
                 --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256 --auth-local=peer \
                 --no-sync --no-instructions",
                "cd /p/.stack/postgres && printf '***' | env -i PATH=\"$PATH\" /pg/bin/postgres --single -D \
                 /p/.stack/postgres/data.new -c exit_on_error=true -c log_min_error_statement=panic -c \
                 log_checkpoints=off postgres",
                "# write /p/.stack/run/postgres.password (1 lines, mode 600)",
                "mv /p/.stack/postgres/data.new /p/.stack/postgres/data",
                "# cut /p/.stack/logs/postgres.log if it has grown large",
                "cd /p/.stack/postgres && env -i PATH=\"$PATH\" TZ=UTC /pg/bin/postgres -D /p/.stack/postgres/data -p \
                 5432 -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c log_timezone=UTC -c \
                 'log_line_prefix=%m [%p] ' >>/p/.stack/logs/postgres.log 2>&1 &",
                "# wait until PostgreSQL takes connections on 127.0.0.1:5432, for at most 1m",
            ]
        );
    }

    #[test]
    fn data_that_is_there_is_left_alone() {
        let facts = DataFacts { exists: true, ..FRESH };
        let lane = with_recipe(|recipe| recipe.postgres(server("PostgreSQL", "15.18", "/pg/bin"), facts).unwrap());
        assert!(
            !lines(&lane).iter().any(|line| line.contains("initdb") || line.starts_with("rm")),
            "{:?}",
            lines(&lane)
        );
    }

    #[test]
    fn another_password_in_the_settings_is_given_to_the_role() {
        let facts = DataFacts { exists: true, has_other_password: true, ..FRESH };
        let lane = with_recipe(|recipe| recipe.postgres(server("PostgreSQL", "15.18", "/pg/bin"), facts).unwrap());
        assert!(lines(&lane)[1].contains("postgres --single -D /p/.stack/postgres/data "), "{:?}", lines(&lane));
    }

    #[test]
    fn each_kind_of_redis_has_data_of_its_own() {
        let lane = with_recipe(|recipe| recipe.redis(server("Valkey", "9.1.2", "/v/valkey-server")).unwrap());
        assert!(lines(&lane).contains(&"mkdir -p -m 700 /p/.stack/redis/valkey-9".to_owned()));
        assert!(lines(&lane).iter().all(|line| !line.contains("hunter33")), "{:?}", lines(&lane));
    }

    #[test]
    fn the_backend_is_built_while_the_servers_start() {
        let facts = BackendFacts {
            root: Path::new("/p"),
            binary: PathBuf::from("/t/debug/thunder"),
            commit: "abc".to_owned(),
            is_colored: false,
            migration_timeout: Duration::from_mins(10),
            watcher: None,
        };
        let lane = with_recipe(|recipe| recipe.backend(&facts, &Service::ALL).unwrap());
        let found = lines(&lane);
        let place = |word: &str| found.iter().position(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}"));
        let order =
            ["build --package backend", "until postgres is done", "migrate run", "until redis is done", "serve"];
        assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{found:?}");
        assert!(found.iter().all(|line| !line.contains("hunter")), "{found:?}");
    }

    #[test]
    fn services_stop_before_what_they_need() {
        let folder = StackFolder::at(PathBuf::from("/p/.stack"), None, "thunder-1");
        let lanes = stopping(&folder, &Service::ALL, Duration::from_secs(10));
        let waits: Vec<(String, usize)> =
            lanes.iter().map(|lane| (lane.name.clone(), lane.actions.len() - 1)).collect();
        assert_eq!(waits, [("postgres".to_owned(), 1), ("redis".to_owned(), 1), ("backend".to_owned(), 2)]);
    }
}
