//! PostgreSQL.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{Client, Definition, Service, local};
use crate::failure::{Exit, Failure};
use crate::plan::{Action, Folder, Lane, Probe, Unready, Write};
use crate::process;
use crate::product::setting::POSTGRES_PASSWORD;
use crate::product::{DATABASE, POSTGRES_IMAGE, ROLE};
use crate::runner::{Runner, read_well};
use crate::settings::Settings;
use crate::stack::host::recipe::{HostLane, PREPARE, Recipe};
use crate::stack::report::Health;
use crate::stack::servers::Found;
use crate::tool::backend::Variable;
use crate::tool::postgres::{self, Cluster, Programs};
use crate::tool::system::{self, Package};

/// The database.
pub struct Postgres;

/// What was found out about its data.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DataFacts {
    /// Whether there is any.
    exists: bool,
    /// Whether the role's password is another one than the settings'.
    has_other_password: bool,
    /// Whether processes that a killed task or server left behind still work in its folder.
    is_occupied: bool,
    /// The lock file of a server that was killed and that its parent has not asked after: its number is still taken, so
    /// that PostgreSQL itself would think that it runs.
    dead_lock_file: Option<PathBuf>,
    /// The locale of new data.
    locale: &'static str,
}

impl Definition for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn product(&self) -> &'static str {
        "PostgreSQL"
    }

    fn port_setting(&self) -> &'static str {
        crate::product::setting::PORTS[1]
    }

    fn password_setting(&self) -> Option<&'static str> {
        Some(POSTGRES_PASSWORD)
    }

    fn port_offset(&self) -> u16 {
        1
    }

    fn container_port(&self) -> u16 {
        5432
    }

    fn image(&self) -> Option<&'static str> {
        Some(POSTGRES_IMAGE)
    }

    fn sign_in(&self) -> Option<&'static str> {
        Some("cargo xtask shell postgres")
    }

    fn probe(&self, port: u16, _: &Settings) -> Result<Box<dyn Probe>> {
        Ok(Box::new(Answers { port }))
    }

    fn health(&self, address: SocketAddr, _: Option<&Settings>) -> Result<Health, String> {
        postgres::ping(address, ROLE, DATABASE).map(|()| Health::default())
    }

    /// `2026-11-21 14:03:37.954 UTC [12532] LOG:  …`
    fn log_time(&self, line: &str) -> Option<SystemTime> {
        humantime::parse_rfc3339_weak(line.get(..23)?).ok()
    }

    /// SIGTERM would wait for its clients.
    fn stop_signals(&self, _: Duration) -> Vec<(&'static str, Duration)> {
        vec![("INT", Duration::from_secs(20)), ("QUIT", Duration::from_secs(5)), ("KILL", Duration::from_secs(5))]
    }

    fn client_variables(&self, port: u16, settings: &Settings) -> Result<Vec<Variable>> {
        Ok(vec![
            Variable::plain("PGHOST", "127.0.0.1"),
            Variable::plain("PGPORT", port.to_string()),
            Variable::plain("PGUSER", ROLE),
            Variable::plain("PGDATABASE", DATABASE),
            Variable::secret("PGPASSWORD", settings.require(POSTGRES_PASSWORD)?),
        ])
    }

    fn client(&self) -> Option<Client> {
        Some(Client { programs: &["psql"], port_flag: None, package: Package::Psql })
    }

    fn host_lane(&self, recipe: &Recipe<'_>) -> Result<HostLane> {
        let data_major = postgres::data_major(&recipe.folder.postgres_data());
        check_data(recipe, data_major)?;
        let found = recipe.search.postgres(data_major)?;
        lane(recipe, found, facts(recipe)?)
    }
}

/// Data without its version would be taken for none, and new data could not take its place.
fn check_data(recipe: &Recipe<'_>, major: Option<u32>) -> Result<()> {
    let data = recipe.folder.postgres_data();
    let is_empty = std::fs::read_dir(&data).map_or(true, |mut entries| entries.next().is_none());
    if major.is_some() || is_empty {
        return Ok(());
    }
    let what = format!("{} has no PG_VERSION, so that no server can tell whose data it is", data.display());
    Err(Failure::new(Exit::Failed, what)
        .details(["nothing was changed".to_owned()])
        .hint(format!("echo 15 > {}, if the data was made by PostgreSQL 15", data.join("PG_VERSION").display()))
        .hint(format!("mv {} somewhere else, and then `cargo xtask up` makes new data", data.display()))
        .into())
}

fn facts(recipe: &Recipe<'_>) -> Result<DataFacts> {
    let data = recipe.folder.postgres_data();
    let exists = data.join("PG_VERSION").is_file();
    let password = std::fs::read_to_string(recipe.folder.postgres_password()).unwrap_or_default();
    let locale = if exists {
        "C"
    } else {
        system::choose_locale(&read_well(recipe.search.runner, &system::locales()).unwrap_or_default())
    };
    Ok(DataFacts {
        exists,
        has_other_password: exists && password != recipe.settings.require(POSTGRES_PASSWORD)?,
        is_occupied: !process::working_in(recipe.folder.postgres()).is_empty(),
        dead_lock_file: postgres::lock_file(&data, process::is_zombie),
        locale,
    })
}

/// Its data made where there is none, its password set where it changed, started.
fn lane(recipe: &Recipe<'_>, found: Found, facts: DataFacts) -> Result<HostLane> {
    let Found { server, fetch } = found;
    let password = recipe.settings.require(POSTGRES_PASSWORD)?;
    let home = recipe.folder.postgres();
    let cluster =
        |data: PathBuf| Cluster { programs: Programs { folder: server.path.clone() }, data, user: recipe.user.clone() };
    let mut actions = vec![Action::After(PREPARE.to_owned())];
    actions.extend(fetch);
    let remember =
        Action::Write(Write { path: recipe.folder.postgres_password(), text: password.to_owned(), mode: 0o600 });
    let serving = cluster(recipe.folder.postgres_data());
    if facts.is_occupied || facts.dead_lock_file.is_some() {
        actions.push(Action::Vacate(home.to_owned()));
    }
    actions.extend(facts.dead_lock_file.map(Action::Remove));
    if !facts.exists {
        if recipe.folder.is_split() {
            let parent = home.parent().unwrap_or(home).to_owned();
            actions.push(Action::Folder(Folder { path: parent, mode: 0o755, owner: None }));
        }
        let owner = recipe.user.clone();
        actions.push(Action::Folder(Folder { path: home.to_owned(), mode: 0o700, owner }));
        // Made beside its place and moved there when it is whole, so that data is either there or not.
        let draft = cluster(recipe.folder.postgres_draft());
        actions.push(Action::Remove(draft.data.clone()));
        actions.push(Action::Run(draft.initialise(facts.locale)));
        actions.push(Action::Run(draft.create_role_and_database(ROLE, password, recipe.database)));
        actions.extend(recipe.schema.iter().map(|sql| Action::Run(draft.run_sql(ROLE, recipe.database, sql))));
        actions.push(remember);
        actions.push(Action::Rename(draft.data, serving.data.clone()));
    } else if facts.has_other_password {
        actions.push(Action::Run(serving.set_password(ROLE, password)));
        actions.push(remember);
    }
    let port = recipe.ports.of(Service::Postgres);
    actions.extend(recipe.start(Service::Postgres, serving.serve(port, recipe.durability)));
    actions.push(recipe.wait(Service::Postgres)?);
    let result = format!("{} {} on {}", server.product, server.version, Postgres.address(port));
    Ok(HostLane { lane: Lane { name: Postgres.name().to_owned(), actions, result }, server: Some(server) })
}

/// It takes connections.
struct Answers {
    port: u16,
}

impl Probe for Answers {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        Ok(postgres::ping(local(self.port), ROLE, DATABASE)?)
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL takes connections on {}", Postgres.address(self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::host::recipe::tests::{lines, server, with_recipe};

    const FRESH: DataFacts = DataFacts {
        exists: false,
        has_other_password: false,
        is_occupied: false,
        dead_lock_file: None,
        locale: "C.UTF-8",
    };

    fn lane_of(facts: DataFacts) -> Vec<String> {
        with_recipe(|recipe| lines(&lane(recipe, server("PostgreSQL", "15.18", "/pg/bin"), facts).unwrap()))
    }

    #[test]
    fn new_data_is_made_beside_its_place_and_moved_there_whole() {
        assert_eq!(
            lane_of(FRESH),
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
        let lines = lane_of(DataFacts { exists: true, ..FRESH });
        assert!(!lines.iter().any(|line| line.contains("initdb") || line.starts_with("rm")), "{lines:?}");
    }

    #[test]
    fn another_password_in_the_settings_is_given_to_the_role() {
        let lines = lane_of(DataFacts { exists: true, has_other_password: true, ..FRESH });
        assert!(lines[1].contains("postgres --single -D /p/.stack/postgres/data "), "{lines:?}");
    }
}
