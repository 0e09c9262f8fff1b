//! The variables of the backend and of the clients of a stack.

use anyhow::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ports::Ports;
use super::service::{Service, local, mail};
use crate::product::ROLE;
use crate::product::setting::{
    APP_ENV, APP_ENV_LOCAL, DATABASE_URL, FOR_THE_STACK, GENERATED, HOST, MIGRATION_DRAFTS, PORT, POSTGRES_PASSWORD,
    REDIS_PASSWORD, REDIS_URL, RUN_MIGRATIONS, SET_BY_THE_STACK, SMTP_URL,
};
use crate::settings::{Settings, secret};
use crate::tool::backend::Variable;

/// How to reach a database of the stack.
pub fn database_url(settings: &Settings, ports: &Ports, database: &str) -> Result<String> {
    let password = percent_encoded(settings.require(POSTGRES_PASSWORD)?);
    Ok(format!("postgres://{ROLE}:{password}@{}/{database}", local(ports.of(Service::Postgres))))
}

/// How to reach the stack's Redis.
pub fn redis_url(settings: &Settings, ports: &Ports) -> Result<String> {
    let password = percent_encoded(settings.require(REDIS_PASSWORD)?);
    Ok(format!("redis://:{password}@{}", local(ports.of(Service::Redis))))
}

/// How to reach the database and Redis from another container of the stack.
pub fn addresses_in_containers(settings: &Settings, database: &str) -> Result<[Variable; 2]> {
    let at = |service: Service| format!("{service}:{}", service.definition().container_port());
    let postgres = percent_encoded(settings.require(POSTGRES_PASSWORD)?);
    let redis = percent_encoded(settings.require(REDIS_PASSWORD)?);
    Ok([
        Variable::secret(DATABASE_URL, format!("postgres://{ROLE}:{postgres}@{}/{database}", at(Service::Postgres))),
        Variable::secret(REDIS_URL, format!("redis://:{redis}@{}", at(Service::Redis))),
    ])
}

/// The backend's environment on the local stack.
pub fn of_backend(settings: &Settings, ports: &Ports, database: &str) -> Result<Vec<Variable>> {
    let mut environment = vec![
        Variable::secret(DATABASE_URL, database_url(settings, ports, database)?),
        Variable::secret(REDIS_URL, redis_url(settings, ports)?),
        Variable::plain(HOST, "127.0.0.1"),
        Variable::plain(PORT, ports.of(Service::Backend).to_string()),
        Variable::plain(APP_ENV, APP_ENV_LOCAL),
    ];
    if let Some(port) = ports.get(Service::Mail).filter(|_| settings.get(SMTP_URL).is_none()) {
        environment.push(Variable::declared(SMTP_URL, mail::smtp_url(port)));
    }
    for (name, value) in settings.iter() {
        if !value.is_empty() && !FOR_THE_STACK.contains(&name) {
            environment.push(Variable::declared(name, value));
        }
    }
    Ok(environment)
}

/// The backend's environment for work on a database that is not the stack's. What it asks for besides is made up: nothing
/// that works on a database uses it.
pub fn elsewhere(url: &str) -> Result<Vec<Variable>> {
    let mut environment = vec![
        Variable::secret(DATABASE_URL, url),
        Variable::plain(REDIS_URL, format!("redis://{}", local(0))),
        Variable::plain(APP_ENV, APP_ENV_LOCAL),
    ];
    for name in GENERATED {
        environment.push(Variable::secret(name, secret()?));
    }
    Ok(environment)
}

/// The backend's environment in its container: addresses as the container was given them, everything else from the
/// settings, which may have changed since.
pub fn in_container(settings: &Settings, given: impl Fn(&str) -> Option<String>) -> Result<Vec<Variable>> {
    let mut environment = of_backend(settings, &Ports::of_each(|_| 0), "")?;
    environment.retain(|variable| !SET_BY_THE_STACK.contains(&variable.name.as_str()));
    // The watcher migrates, and names the drafts by itself.
    let by_the_watcher = [RUN_MIGRATIONS, MIGRATION_DRAFTS];
    let set = SET_BY_THE_STACK.iter().filter(|name| !by_the_watcher.contains(name));
    // Where the settings name no server for mail, the container may have been told of the stack's.
    let mail = [SMTP_URL].into_iter().filter(|name| settings.get(name).is_none());
    for name in set.copied().chain(mail) {
        if let Some(value) = given(name).filter(|value| !value.is_empty()) {
            environment.push(Variable::declared(name, value));
        }
    }
    Ok(environment)
}

/// The variables that the clients of every service read, and those of the backend.
pub fn of_clients(settings: &Settings, ports: &Ports, database: &str) -> Result<Vec<Variable>> {
    let mut environment = of_backend(settings, ports, database)?;
    for service in Service::ALL {
        environment.extend(service.definition().client_variables(ports.of(service), settings)?);
    }
    Ok(environment)
}

/// The unreserved characters of RFC 3986 §2.3, which stay as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The text as a URL can hold it anywhere.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::parse(
            "POSTGRES_PASSWORD=p@ss/1\nREDIS_PASSWORD=r+2\nJWT_SECRET=s\nLOG_LEVEL=debug\nFRONTEND_URL=\n\
             BACKEND_PORT=3000\nPOSTGRES_PORT=5432\nREDIS_PORT=6379\n",
        )
        .unwrap()
    }

    fn ports() -> Ports {
        Ports::of_each(|service| 10 + service.definition().port_offset())
    }

    #[test]
    fn the_backend_gets_addresses_and_its_own_settings_and_nothing_else() {
        let environment = of_backend(&settings(), &ports(), "app").unwrap();
        let lines: Vec<String> =
            environment.iter().map(|one| format!("{}={} {}", one.name, one.value, one.is_secret)).collect();
        assert_eq!(
            lines,
            [
                &format!("DATABASE_URL=postgres://{ROLE}:p%40ss%2F1@127.0.0.1:11/app true"),
                "REDIS_URL=redis://:r%2B2@127.0.0.1:12 true",
                "HOST=127.0.0.1 false",
                "PORT=10 false",
                "APP_ENV=development false",
                "JWT_SECRET=s true",
                "LOG_LEVEL=debug false",
            ]
        );
    }

    #[test]
    fn in_its_container_it_gets_the_addresses_that_the_container_has() {
        let given = |name: &str| match name {
            "DATABASE_URL" => Some("postgres://postgres:5432/app".to_owned()),
            "RUN_MIGRATIONS" => Some("true".to_owned()),
            _ => None,
        };
        let environment = in_container(&settings(), given).unwrap();
        let lines: Vec<String> = environment.iter().map(|one| format!("{}={}", one.name, one.value)).collect();
        assert_eq!(lines, ["JWT_SECRET=s", "LOG_LEVEL=debug", "DATABASE_URL=postgres://postgres:5432/app"]);
    }

    #[test]
    fn clients_find_every_service() {
        let environment = of_clients(&settings(), &ports(), "app").unwrap();
        for name in ["PGHOST", "PGPORT", "PGPASSWORD", "REDIS_PORT", "REDISCLI_AUTH", "DATABASE_URL"] {
            assert!(environment.iter().any(|variable| variable.name == name), "{name}");
        }
        let is_secret = |name: &str| environment.iter().any(|variable| variable.name == name && variable.is_secret);
        assert!(is_secret("PGPASSWORD") && is_secret("REDISCLI_AUTH") && !is_secret("PGHOST"));
    }
}
