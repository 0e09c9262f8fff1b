//! What a database holds, in numbers that two databases can be compared by.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What each script begins with: rows read as the same text everywhere.
const HEAD: &str = r"
SET timezone = 'UTC'; SET datestyle = 'ISO'; SET extra_float_digits = 1; SET bytea_output = 'hex';
SELECT 'server', current_setting('server_version'), pg_database_size(current_database());
";

/// The sum over the hash of each row's text: it does not depend on the order of rows, and every type has a text.
const BY_TEXT: &str = "coalesce(sum((''x'' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)";

/// The same over PostgreSQL's own hash of a row, which takes a quarter of the time. It is the same in every version,
/// because hash partitions rely on it.
const BY_HASH: &str = "''h:'' || coalesce(sum(hash_record_extended(t, 0)), 0)";

/// Whether every column of the table `c` is of a type that has such a hash.
const HAS_HASH: &str = "NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid \
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT \
    (y.typcategory IN ('N', 'S', 'B', 'D', 'T', 'E', 'I') AND y.typname <> 'money' OR \
    y.typname IN ('uuid', 'jsonb', 'bytea')))";

/// Which tables are the product's: the condition on `pg_class c` and `pg_namespace n`. Those of the migrator hold times that
/// differ from one database to the next.
pub const OWN_TABLES: &str = "NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema' \
    AND NOT (n.nspname = 'public' AND c.relname IN ('_sqlx_migrations', '_migration_progress', '_migration_texts'))";

/// What such a table is called: with its schema, unless that is `public`.
pub const TABLE_NAME: &str =
    "CASE n.nspname WHEN 'public' THEN c.relname::text ELSE format('%I.%I', n.nspname, c.relname) END";

/// Asks for everything that a [`Survey`] holds. `only_text` is for manifests of dumps that were counted by text alone.
pub fn script(only_text: bool) -> String {
    let sum = if only_text {
        format!("'{BY_TEXT}'")
    } else {
        format!("CASE WHEN {HAS_HASH} THEN '{BY_HASH}' ELSE '{BY_TEXT}' END")
    };
    format!(
        r"{HEAD}
SELECT 'SELECT ''migration'', version FROM _sqlx_migrations ORDER BY version'
WHERE to_regclass('_sqlx_migrations') IS NOT NULL
\gexec
SELECT format('SELECT ''table'', %L, count(*), %s FROM %I.%I t', {TABLE_NAME}, {sum}, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND {OWN_TABLES}
ORDER BY n.nspname, c.relname
\gexec
"
    )
}

/// Asks for a [`Mark`].
pub fn mark_script() -> String {
    format!("{HEAD}SELECT 'mark', pg_current_snapshot();\n")
}

/// A moment in the life of a server, by which one can tell whether anybody wrote until another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The bytes that the database takes on its server's disk.
    pub bytes: u64,
    /// `pg_current_snapshot()`: the first transaction that may be under way, the next that will be, and those between.
    snapshot: Option<String>,
}

impl Mark {
    /// The answer to [`mark_script`].
    pub fn parse(said: &str) -> Result<Self> {
        let field = |name: &str, place: usize| {
            let line = said.lines().find(|line| line.split('\t').next() == Some(name))?;
            line.split('\t').nth(place).map(str::to_owned)
        };
        let bytes = field("server", 2).and_then(|bytes| bytes.parse().ok());
        Ok(Self { bytes: bytes.context("the database does not say its size")?, snapshot: field("mark", 1) })
    }

    /// Whether whoever looked between this moment and a later one saw the same: no transaction that writes has ended
    /// meanwhile. One that is still under way is seen by nobody.
    pub fn sees_the_same_as(&self, later: &Self) -> bool {
        self.snapshot.is_some() && self.snapshot == later.snapshot
    }
}

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
    /// Each table, by its name; one that is not in the schema `public` has that of its schema before it.
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
    fn the_same_is_seen_until_a_transaction_that_writes_has_ended() {
        let mark = |snapshot: &str| Mark::parse(&format!("server\t15.18\t8000\nmark\t{snapshot}\n")).unwrap();
        for same in ["850:850:", "849:851:849"] {
            assert!(mark(same).sees_the_same_as(&mark(same)));
        }
        for (before, after) in
            [("850:850:", "851:851:"), ("849:851:849", "851:851:"), ("849:851:849,850", "849:851:849")]
        {
            assert!(!mark(before).sees_the_same_as(&mark(after)), "{before} {after}");
        }
        let without = Mark::parse("server\t15.18\t8000\n").unwrap();
        assert!(!without.sees_the_same_as(&without), "a server that does not tell is not trusted");
        assert_eq!(without.bytes, 8000);
        assert!(Mark::parse("").is_err());
    }

    #[test]
    fn tables_are_summed_by_their_hash_unless_only_their_text_is_wanted() {
        assert!(script(false).contains("hash_record_extended") && script(false).contains("md5"));
        assert!(!script(true).contains("hash_record_extended") && script(true).contains("md5"));
    }

    #[test]
    fn only_the_tables_of_the_server_and_of_the_migrator_are_left_out() {
        for script in [script(false), script(true)] {
            assert!(!script.contains("n.nspname = 'public' AND NOT") && !script.contains("c.relname, '_'"), "{script}");
            assert!(script.contains("format('%I.%I', n.nspname, c.relname)"), "{script}");
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
