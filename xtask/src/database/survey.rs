//! What a database holds, in numbers that two databases can be compared by.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Asks for everything that a [`Survey`] holds. The sum over a row's hash does not depend on the order of rows; tables of
/// the migrator, whose names begin with an underscore, hold times that differ from one database to the next.
pub const SCRIPT: &str = r"
SET timezone = 'UTC'; SET datestyle = 'ISO'; SET extra_float_digits = 1; SET bytea_output = 'hex';
SELECT 'server', current_setting('server_version'), pg_database_size(current_database());
SELECT 'SELECT ''migration'', version FROM _sqlx_migrations ORDER BY version'
WHERE to_regclass('_sqlx_migrations') IS NOT NULL
\gexec
SELECT format(
    'SELECT ''table'', %L, count(*), coalesce(sum((''x'' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0) FROM %I.%I t',
    c.relname, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public' AND NOT starts_with(c.relname, '_')
ORDER BY c.relname
\gexec
";

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// How many rows.
    pub rows: u64,
    /// The sum of their hashes.
    pub checksum: String,
}

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The server's version, as `15.18`.
    pub server: String,
    /// The bytes that it takes on the server's disk.
    pub bytes: u64,
    /// The versions of the migrations that are applied, in order.
    pub migrations: Vec<u64>,
    /// Each table of the schema `public`, by its name.
    pub tables: BTreeMap<String, Table>,
}

impl Survey {
    /// The answer to [`SCRIPT`].
    pub fn parse(said: &str) -> Result<Self> {
        let (mut server, mut migrations, mut tables) = (None, Vec::new(), BTreeMap::new());
        for line in said.lines().filter(|line| !line.is_empty()) {
            let unreadable = || format!("cannot read what the database says: {line:?}");
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["server", version, bytes] => {
                    // Debian adds its own: `15.18 (Debian 15.18-0+deb12u1)`.
                    let version = version.split(' ').next().unwrap_or_default().to_owned();
                    server = Some((version, bytes.parse().with_context(unreadable)?));
                }
                ["migration", version] => migrations.push(version.parse().with_context(unreadable)?),
                ["table", name, rows, checksum] => {
                    let rows = rows.parse().with_context(unreadable)?;
                    tables.insert(name.to_owned(), Table { rows, checksum: checksum.to_owned() });
                }
                _ => anyhow::bail!(unreadable()),
            }
        }
        let (server, bytes) = server.context("the database does not say its version")?;
        Ok(Self { server, bytes, migrations, tables })
    }

    /// How many rows there are in all.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }

    /// Each table that differs in another database, in a sentence.
    pub fn differences(&self, other: &BTreeMap<String, Table>) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.tables.keys().chain(other.keys()).collect();
        let difference = |name: &String| match (self.tables.get(name), other.get(name)) {
            (Some(own), Some(other)) if own == other => None,
            (Some(own), Some(other)) if own.rows == other.rows => Some(format!("{name} has other rows")),
            (Some(own), Some(other)) => Some(format!("{name} has {} rows instead of {}", own.rows, other.rows)),
            (None, _) => Some(format!("{name} is missing")),
            (_, None) => Some(format!("{name} was not there")),
        };
        names.into_iter().filter_map(difference).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "server\t15.18 (Debian 15.18-1)\t8000\n\nmigration\t20260101000000\nmigration\t20260102000000\n\
                        table\tprograms\t2\t99\ntable\treports\t0\t0\n";

    #[test]
    fn what_psql_says_is_read() {
        let survey = Survey::parse(SAID).unwrap();
        assert_eq!((survey.server.as_str(), survey.bytes, survey.rows()), ("15.18", 8000, 2));
        assert_eq!(survey.migrations, [20_260_101_000_000, 20_260_102_000_000]);
        for wrong in ["", "table\ta\t1\t2", "server\t15\tmany", "server\t15\t1\nnonsense"] {
            assert!(Survey::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn tables_that_differ_are_named() {
        let one = Survey::parse(SAID).unwrap();
        let other = |said: &str| Survey::parse(said).unwrap().tables;
        assert_eq!(one.differences(&one.tables.clone()), Vec::<String>::new());
        let changed = other("server\t15\t1\ntable\tprograms\t2\t98\ntable\treports\t1\t5\ntable\tusers\t0\t0\n");
        let expected = ["programs has other rows", "reports has 0 rows instead of 1", "users is missing"];
        assert_eq!(one.differences(&changed), expected);
        assert_eq!(one.differences(&other("server\t15\t1\ntable\tprograms\t2\t99\n")), ["reports was not there"]);
    }
}
