//! The URL of a database that is not the stack's, taken apart for PostgreSQL's clients.

use std::fmt;

use anyhow::Result;
use percent_encoding::percent_decode_str;

use crate::failure::{Exit, Failure};
use crate::tool::backend::Variable;

/// The address of a database, with the role that connects to it. `Display` names the database and the server, and no
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    host: String,
    port: u16,
    user: String,
    password: String,
    /// The database's name.
    pub database: String,
    sslmode: Option<String>,
}

impl Address {
    /// Takes a URL apart. Nothing of a wrong one is repeated, because its password may stand anywhere.
    pub fn parse(url: &str) -> Result<Self> {
        Self::parts(url.trim()).ok_or_else(|| {
            Failure::new(Exit::Failed, "that is no URL of a PostgreSQL database")
                .hint("postgres://USER:PASSWORD@HOST:PORT/DATABASE, with each special character of the password as %XX")
                .into()
        })
    }

    fn parts(url: &str) -> Option<Self> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/')?;
        let (who, at) = authority.rsplit_once('@')?;
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, port) = match at.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (at, 5432),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let sslmode = query.split('&').find_map(|pair| pair.strip_prefix("sslmode="));
        let is_whole = matches!(scheme, "postgres" | "postgresql")
            && ![host, user, database].iter().any(|part| part.is_empty())
            && !url.contains(char::is_whitespace);
        is_whole.then_some(Self {
            url: url.to_owned(),
            host: decoded(host)?,
            port,
            user: decoded(user)?,
            password: decoded(password)?,
            database: decoded(database)?,
            sslmode: sslmode.map(str::to_owned),
        })
    }

    /// All of it, as the backend reads it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What must not be shown.
    pub fn secrets(&self) -> [&str; 2] {
        // The longer one first: the shorter is part of it.
        [&self.url, &self.password]
    }

    /// The environment of PostgreSQL's clients.
    pub fn variables(&self) -> Vec<Variable> {
        let mut all = vec![
            Variable::plain("PGHOST", &self.host),
            Variable::plain("PGPORT", self.port.to_string()),
            Variable::plain("PGUSER", &self.user),
            Variable::secret("PGPASSWORD", &self.password),
        ];
        all.extend(self.sslmode.iter().map(|mode| Variable::plain("PGSSLMODE", mode)));
        all
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.database, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::exit_code;

    #[test]
    fn a_url_is_taken_apart_and_its_password_is_not_shown() {
        let address =
            Address::parse("postgresql://ada:p%40ss%2F1@db.example.com:6543/app?sslmode=require&x=1\n").unwrap();
        assert_eq!(address.to_string(), "app at db.example.com:6543");
        let variables: Vec<String> =
            address.variables().iter().map(|one| format!("{}={} {}", one.name, one.value, one.is_secret)).collect();
        assert_eq!(
            variables,
            [
                "PGHOST=db.example.com false",
                "PGPORT=6543 false",
                "PGUSER=ada false",
                "PGPASSWORD=p@ss/1 true",
                "PGSSLMODE=require false"
            ]
        );
        assert_eq!(Address::parse("postgres://u@[::1]/a").unwrap().to_string(), "a at ::1:5432");
    }

    #[test]
    fn what_is_wrong_is_told_without_any_of_it() {
        for wrong in [
            "",
            "hunter2",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h",
            "postgres://u:hunter2@h/",
            "postgres://h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hun ter2@h/d",
            "postgres://:hunter2@h/d",
        ] {
            let error = Address::parse(wrong).err().unwrap_or_else(|| panic!("{wrong} is taken"));
            assert_eq!(exit_code(&error), 1);
            assert!(!format!("{error:#}").contains("ter2"), "{error:#}");
        }
    }
}
