//! Redis, or Valkey in its place.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{Client, Definition, Service, local};
use crate::plan::{Action, Folder, Lane, Probe, Unready, Write};
use crate::product::REDIS_IMAGE;
use crate::product::setting::REDIS_PASSWORD;
use crate::runner::Runner;
use crate::settings::Settings;
use crate::stack::host::recipe::{HostLane, PREPARE, Recipe};
use crate::stack::report::Health;
use crate::stack::servers::Found;
use crate::tool::backend::Variable;
use crate::tool::postgres::Durability;
use crate::tool::system::Package;
use crate::tool::{redis, version};

/// The cache.
pub struct Redis;

impl Definition for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn product(&self) -> &'static str {
        "Redis"
    }

    fn port_setting(&self) -> &'static str {
        crate::product::setting::PORTS[2]
    }

    fn password_setting(&self) -> Option<&'static str> {
        Some(REDIS_PASSWORD)
    }

    fn port_offset(&self) -> u16 {
        2
    }

    fn container_port(&self) -> u16 {
        6379
    }

    fn image(&self) -> Option<&'static str> {
        Some(REDIS_IMAGE)
    }

    fn sign_in(&self) -> Option<&'static str> {
        Some("cargo xtask shell redis")
    }

    fn probe(&self, port: u16, settings: &Settings) -> Result<Box<dyn Probe>> {
        Ok(Box::new(Answers { port, password: settings.require(REDIS_PASSWORD)?.to_owned() }))
    }

    fn health(&self, address: SocketAddr, settings: Option<&Settings>) -> Result<Health, String> {
        match settings.and_then(|settings| settings.get(REDIS_PASSWORD)) {
            Some(password) => redis::ping(address, password).map(|()| Health::default()),
            None => Err("its password is not in the settings".to_owned()),
        }
    }

    /// `12345:M 21 Nov 2026 14:03:37.954 * …`
    fn log_time(&self, line: &str) -> Option<SystemTime> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let mut words = line.split_ascii_whitespace().skip(1);
        let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        humantime::parse_rfc3339_weak(&format!("{year}-{month:02}-{day} {time}")).ok()
    }

    fn stop_signals(&self, _: Duration) -> Vec<(&'static str, Duration)> {
        vec![("TERM", Duration::from_secs(20)), ("KILL", Duration::from_secs(5))]
    }

    fn client_variables(&self, port: u16, settings: &Settings) -> Result<Vec<Variable>> {
        Ok(vec![
            Variable::plain("REDIS_HOST", "127.0.0.1"),
            Variable::plain("REDIS_PORT", port.to_string()),
            Variable::secret("REDISCLI_AUTH", settings.require(REDIS_PASSWORD)?),
        ])
    }

    /// Valkey's client speaks the same language.
    fn client(&self) -> Option<Client> {
        Some(Client { programs: &["redis-cli", "valkey-cli"], port_flag: Some("-p"), package: Package::RedisCli })
    }

    fn host_lane(&self, recipe: &Recipe<'_>) -> Result<HostLane> {
        lane(recipe, recipe.search.redis()?)
    }
}

/// Its configuration written, started. Each kind of server has data of its own.
fn lane(recipe: &Recipe<'_>, found: Found) -> Result<HostLane> {
    let Found { server, fetch } = found;
    let password = recipe.settings.require(REDIS_PASSWORD)?;
    let kind = format!("{}-{}", server.product.to_lowercase(), version::major(&server.version).unwrap_or(0));
    let data = recipe.folder.redis_data(&kind);
    let path = recipe.folder.redis_configuration();
    let port = recipe.ports.of(Service::Redis);
    let text = redis::configuration(port, password, &data, recipe.durability == Durability::Safe);
    let mut actions = vec![Action::After(PREPARE.to_owned())];
    actions.extend(fetch);
    actions.push(Action::Folder(Folder { path: recipe.folder.redis(), mode: 0o700, owner: None }));
    actions.push(Action::Folder(Folder { path: data, mode: 0o700, owner: None }));
    actions.push(Action::Write(Write { path: path.clone(), text, mode: 0o600 }));
    actions.extend(recipe.start(Service::Redis, redis::serve(&server.path, &path)));
    actions.push(recipe.wait(Service::Redis)?);
    let result = format!("{} {} on {}", server.product, server.version, Redis.address(port));
    Ok(HostLane { lane: Lane { name: Redis.name().to_owned(), actions, result }, server: Some(server) })
}

/// It answers.
struct Answers {
    port: u16,
    password: String,
}

impl Probe for Answers {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        Ok(redis::ping(local(self.port), &self.password)?)
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis answers on {}", Redis.address(self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::host::recipe::tests::{lines, server, with_recipe};

    #[test]
    fn each_kind_of_redis_has_data_of_its_own() {
        let found = || server("Valkey", "9.1.2", "/v/valkey-server");
        let lines = with_recipe(|recipe| lines(&lane(recipe, found()).unwrap()));
        assert!(lines.contains(&"mkdir -p -m 700 /p/.stack/redis/valkey-9".to_owned()), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains("hunter33")), "{lines:?}");
    }
}
